// How likely a year passes without losing data, against the time a repair takes; with the assumptions beside the number.
import { useMemo, useState } from "react";
import { useLoad } from "../../app/useLoad";
import { Chart, SeriesMark, type Series } from "../../parts/Chart";
import { THIN, duration } from "../../parts/format";
import { ErrorNote, Waiting } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import { durability, type DurabilityLine } from "./api";
import { annualNines } from "./durability";

const CODES: (Series & { k: number; m: number })[] = [
  { label: "4+2 (this pool)", k: 4, m: 2, color: 1 },
  { label: "3 copies", k: 1, m: 2, color: 2, dash: [8, 4] },
  { label: "8+4", k: 8, m: 4, color: 3, dash: [3, 3] },
];
const HOURS_MIN = 0.5;
const HOURS_MAX = 720;
const POINTS = 120;

const hours = (value: number): string => {
  if (value < 1) return `${Math.round(value * 60)}${THIN}min`;
  return value < 48 ? `${Number(value.toPrecision(3))}${THIN}h` : `${Number((value / 24).toPrecision(3))}${THIN}d`;
};

function percentOf(nines: number): string {
  const digits = Math.max(0, Math.min(14, Math.floor(nines)));
  return digits < 2 ? `${(100 * (1 - 10 ** -nines)).toFixed(2)}${THIN}%` : `99.${"9".repeat(digits - 2)}${THIN}%`;
}

export function DurabilityPlot() {
  const [rate, setRate] = useState("0.81");
  const [repair, setRepair] = useState("");
  const failureRate = Number(rate) / 100;
  const valid = failureRate > 0 && failureRate <= 1;
  const repairHours = repair === "" ? undefined : Number(repair);
  const repairValid = repairHours === undefined || (repairHours >= 0.001 && repairHours <= 8766);
  const loaded = useLoad(
    () =>
      valid && repairValid
        ? durability({ k: 4, m: 2, afr: failureRate, ...(repairHours !== undefined && { repair_hours: repairHours }) })
        : Promise.reject(new Error("The failure rate lies between 0 and 100 %, the repair between 0.001 and 8 766 hours.")),
    [failureRate, repairHours],
  );
  const data = useMemo(() => {
    const x = Array.from({ length: POINTS }, (_, at) => HOURS_MIN * (HOURS_MAX / HOURS_MIN) ** (at / (POINTS - 1)));
    return [x, ...CODES.map(({ k, m }) => x.map((at) => (valid ? annualNines(k, m, failureRate, at) : null)))];
  }, [failureRate, valid]);
  const answer = loaded.value;
  const columns: Column<DurabilityLine>[] = [
    { title: "Code and repair", className: "grow", cell: (line) => line.what },
    { title: "Nines", className: "right", cell: (line) => line.nines.toFixed(2) },
    { title: "Loss a year", className: "right", cell: (line) => line.loss_a_year.toExponential(2) },
  ];
  return (
    <>
      <section className="card" aria-label="Durability">
        <div className="card-head">
          <h2>Nines a year against the time to repair</h2>
          <div className="aside chart-legend">
            {CODES.map((code) => (
              <span className="key" key={code.label}>
                <SeriesMark color={code.color} dash={code.dash} /> {code.label}
              </span>
            ))}
          </div>
        </div>
        <div className="card-body">
          <Chart
            label="Nines of annual durability against repair time for 4+2, three copies and 8+4"
            data={data}
            series={CODES}
            format={(value) => value.toFixed(0)}
            xFormat={hours}
            xLog
            xRange={[HOURS_MIN, HOURS_MAX]}
            axisWidth={34}
            height={260}
          />
        </div>
        <div className="card-body durability-fields">
          <label className="field">
            Drives that fail a year, %
            <input className="input" inputMode="decimal" value={rate} onChange={(event) => setRate(event.target.value)} />
          </label>
          <label className="field">
            Hours to repair
            <input
              className="input"
              inputMode="decimal"
              placeholder={answer ? duration(answer.assumptions.repair_hours * 3600) : ""}
              value={repair}
              onChange={(event) => setRepair(event.target.value)}
            />
          </label>
          {answer && (
            <div className="figure">
              <dt className="soft">
                4+2, repaired in {duration(answer.assumptions.repair_hours * 3600)}
                {repair === "" && (answer.assumptions.repair_measured
                    ? " (measured here on the bytes stored today; fuller drives take longer)"
                    : " (assumed: no repair measured yet)")}
              </dt>
              <dd data-testid="nines">
                {answer.nines.toFixed(2)} nines <small>{percentOf(answer.nines)}</small>
              </dd>
            </div>
          )}
        </div>
        <ErrorNote error={loaded.error} />
        {answer && (
          <p className="card-body soft">
            Assumed: drives fail independently at a constant rate; a loss is more than 2 of 6 failing within one repair. Left out:{" "}
            {answer.assumptions.leaves_out}. With all drives in one machine, that machine is the limit.
          </p>
        )}
      </section>
      <section className="card" aria-label="Figures to compare">
        <div className="card-head">
          <h2>The same model, other choices</h2>
        </div>
        {answer ? <Table caption="Durability" columns={columns} rows={answer.table} id={(line) => line.what} /> : <Waiting />}
      </section>
    </>
  );
}
