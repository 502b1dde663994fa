// How likely a year passes without losing data, against the time a repair takes; with the assumptions beside the number.
import { useMemo, useState } from "react";
import { useLoad } from "../../app/useLoad";
import { Chart, SeriesMark, type Series } from "../../parts/Chart";
import { THIN, bytes, bytesPerSecond, duration, percent } from "../../parts/format";
import { ErrorNote, Note, Waiting } from "../../parts/Note";
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

// "Eleven nines for 4+2, six for three copies": both are right, of different worlds.
function ElevenAndSix({ failureRate }: { failureRate: number }) {
  const NEVER = 8766;
  const rows = [
    { what: "repaired within 8.5 h", at: 8.5 },
    { what: "repaired within a day", at: 24 },
    { what: "repaired within 6.5 days", at: 156 },
    { what: "never repaired", at: NEVER },
  ].map((row) => ({ ...row, coded: annualNines(4, 2, failureRate, row.at), copies: annualNines(1, 2, failureRate, row.at) }));
  const columns: Column<(typeof rows)[number]>[] = [
    { title: "Lost drives are", className: "grow", cell: (row) => row.what },
    { title: "4+2", className: "right", cell: (row) => (row.at === 8.5 ? <b>{row.coded.toFixed(2)}</b> : row.coded.toFixed(2)) },
    { title: "3 copies", className: "right", cell: (row) => (row.at === NEVER ? <b>{row.copies.toFixed(2)}</b> : row.copies.toFixed(2)) },
  ];
  return (
    <section className="card" aria-label="Eleven nines against six">
      <div className="card-head">
        <h2>“Eleven nines against six”</h2>
      </div>
      <div className="card-body lesson">
        <p>
          Erasure coding is often quoted with 11 nines, three copies with 6, at 0.81{THIN}% of drives failing a year. Both figures are right, and do not belong side by side: the 11 are of
          4+2 that is repaired within 8.5 hours, the 6 of copies that nobody repairs (bold below). Repaired alike, three copies are the safer by about one nine; what coding wins is space:
          50{THIN}% more against 200{THIN}%.
        </p>
        <Table caption="Nines by code and repair" columns={columns} rows={rows} id={(row) => row.what} />
      </div>
    </section>
  );
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
  const answer = loaded.value;
  // The measured time is on the plot, however short it is.
  const shortest = Math.min(HOURS_MIN, (answer?.measured?.repair_hours ?? HOURS_MIN) / 2);
  const data = useMemo(() => {
    const x = Array.from({ length: POINTS }, (_, at) => shortest * (HOURS_MAX / shortest) ** (at / (POINTS - 1)));
    return [x, ...CODES.map(({ k, m }) => x.map((at) => (valid ? annualNines(k, m, failureRate, at) : null)))];
  }, [failureRate, valid, shortest]);
  const xRange = useMemo((): [number, number] => [shortest, HOURS_MAX], [shortest]);
  const columns: Column<DurabilityLine>[] = [
    { title: "Code and repair", className: "grow", cell: (line) => line.what },
    { title: "Nines", className: "right", cell: (line) => line.nines.toFixed(2) },
    { title: "Loss a year", className: "right wide", cell: (line) => line.loss_a_year.toExponential(2) },
    { title: "Overhead", className: "right", cell: (line) => percent(line.overhead) },
  ];
  const gate = answer?.assumptions.repair_gate_hours;
  const marks = [
    ...(gate ? [{ x: gate, label: `${hours(gate)}: 11 nines for 4+2` }] : []),
    ...(answer?.measured ? [{ x: answer.measured.repair_hours, label: "a whole drive, as measured" }] : []),
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
            xRange={xRange}
            axisWidth={34}
            height={260}
            marks={marks}
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
                    ? " (a whole drive, at the rate measured here)"
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
          <div className="card-body lesson">
            {answer.measured && !answer.measured.within_gate && (
              <Note kind="warn">
                A whole drive of {bytes(answer.measured.drive_bytes)} would take {hours(answer.measured.repair_hours)} to rebuild at the measured{" "}
                {bytesPerSecond(answer.measured.repair_bytes_per_second)}: longer than the {hours(answer.assumptions.repair_gate_hours)} that 11 nines need.
              </Note>
            )}
            <h3>What this assumes</h3>
            <ul className="assumptions" data-testid="assumptions">
              <li>Drives fail independently of each other, at a constant rate: {percent(answer.assumptions.annual_failure_rate)} of them a year.</li>
              <li>Data is lost when more than 2 of the 6 drives of a stripe fail within one repair.</li>
              <li>
                A lost drive is rebuilt within {hours(answer.assumptions.repair_hours)}
                {repair === "" &&
                  (answer.measured
                    ? `: ${bytes(answer.measured.drive_bytes)} at ${bytesPerSecond(answer.measured.repair_bytes_per_second)}, the rate of the last repair here`
                    : ", which is assumed: no repair of at least 64 MiB was measured since polis was started")}
                .
              </li>
              <li>Left out: {answer.assumptions.leaves_out}. With all drives in one machine, that machine is the limit.</li>
            </ul>
          </div>
        )}
      </section>
      {valid && <ElevenAndSix failureRate={failureRate} />}
      <section className="card" aria-label="Figures to compare">
        <div className="card-head">
          <h2>The same model, other choices</h2>
        </div>
        {answer ? <Table caption="Durability" columns={columns} rows={answer.table} id={(line) => line.what} /> : <Waiting />}
      </section>
    </>
  );
}
