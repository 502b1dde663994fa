// The contention lab: the same change of one hot row by more and more workers, kept apart in three ways, measured on this machine.
import { useMemo, useState } from "react";
import { Chart, SeriesMark, type Series } from "../../parts/Chart";
import { count, duration, perSecond } from "../../parts/format";
import { useTopic } from "../../parts/live";
import { ErrorNote, Note } from "../../parts/Note";
import { ProgressBar } from "../../parts/ProgressBar";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { startLab, type LabPoint, type LabSample } from "./api";

type Mode = LabPoint["mode"];
const MODES: (Series & { mode: Mode; what: string })[] = [
  { mode: "optimistic", label: "Optimistic", color: 2, dash: [6, 4], what: "reads the row with its version, writes if nobody was faster, else tries again" },
  { mode: "pessimistic", label: "Pessimistic", color: 4, dash: [2, 3], what: "locks the row, reads, writes, waits for the disk, lets go" },
  { mode: "single_writer", label: "Single writer", color: 3, what: "hands a transfer to the ledger, which decides in memory and syncs for all that wait" },
];

const retriesPer = (point: LabPoint): number => (point.commits > 0 ? point.retries / point.commits : 0);
const micro = (value: number): string => duration(value / 1e6);
const ratio = (value: number): string => (value >= 10 ? count(value) : value.toFixed(value >= 1 ? 1 : 2).replace(/\.?0+$/, ""));

interface PictureProps {
  title: string;
  points: LabPoint[];
  value: (point: LabPoint) => number;
  format: (value: number) => string;
}

function Picture({ title, points, value, format }: PictureProps) {
  const workers = useMemo(() => [...new Set(points.map((point) => point.workers))].sort((a, b) => a - b), [points]);
  const data = useMemo(
    () => [
      workers.map(Math.log2),
      ...MODES.map(({ mode }) =>
        workers.map((count) => {
          const point = points.find((one) => one.mode === mode && one.workers === count);
          return point ? value(point) : null;
        }),
      ),
    ],
    [points, workers],
  );
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
      </div>
      <Chart
        label={`${title} against the number of workers; the table below has the numbers`}
        data={data}
        series={MODES}
        format={format}
        xFormat={(x) => (Number.isInteger(x) ? String(2 ** x) : "")}
        xRange={[0, 6]}
        height={190}
      />
      <p className="soft lab-axis">workers</p>
    </section>
  );
}

function verdict(points: LabPoint[]): string | undefined {
  const most = Math.max(0, ...points.map((point) => point.workers));
  const at = (mode: Mode): LabPoint | undefined => points.find((point) => point.mode === mode && point.workers === most);
  const single = at("single_writer");
  const optimistic = at("optimistic");
  const pessimistic = at("pessimistic");
  if (!single || !optimistic || !pessimistic || optimistic.per_second === 0 || pessimistic.per_second === 0) return undefined;
  return `With ${most} workers on one row the single writer commits ${perSecond(single.per_second)}: ${ratio(single.per_second / optimistic.per_second)} times the optimistic way, which lost ${ratio(retriesPer(optimistic))} attempts for each that won, and ${ratio(single.per_second / pessimistic.per_second)} times the pessimistic one, whose slowest hundredth waited ${micro(pessimistic.p99_us)}.`;
}

export function Contention() {
  const topic = useTopic<LabSample>("ledger.lab");
  const [error, setError] = useState<unknown>();
  const lab = topic.value;
  const points = useMemo(
    () => Object.values(lab?.points ?? {}).sort((a, b) => a.workers - b.workers || a.mode.localeCompare(b.mode)),
    [lab],
  );
  const columns: Column<LabPoint>[] = [
    { title: "Workers", className: "right", cell: (point) => point.workers },
    { title: "Way", className: "grow", cell: (point) => MODES.find((one) => one.mode === point.mode)?.label },
    { title: "Commits", className: "right", cell: (point) => perSecond(point.per_second) },
    { title: "Retries a commit", className: "right", cell: (point) => ratio(retriesPer(point)) },
    { title: "p50", className: "right wide", cell: (point) => micro(point.p50_us) },
    { title: "p99", className: "right", cell: (point) => micro(point.p99_us) },
  ];
  const says = lab && !lab.running ? verdict(points) : undefined;
  return (
    <>
      <section className="card" aria-label="Contention lab">
        <div className="card-head">
          <h2>One hot row, 1 to 64 workers</h2>
          <div className="aside">
            {lab?.begun && (
              <span>
                {lab.running ? "running since" : "measured"} <Time at={lab.begun} />
              </span>
            )}
            <button
              type="button"
              className="button primary"
              disabled={!lab || lab.running}
              onClick={() => {
                setError(undefined);
                startLab().catch(setError);
              }}
            >
              {lab?.running ? "Measuring …" : "Measure on this machine"}
            </button>
          </div>
        </div>
        <ErrorNote error={error ?? topic.error} />
        {lab?.error && (
          <div className="card-body">
            <Note kind="bad">The last run ended early: {lab.error}</Note>
          </div>
        )}
        <div className="card-body ledger-first">
          <dl className="lab-modes">
            {MODES.map((one) => (
              <div key={one.mode}>
                <dt>
                  <SeriesMark color={one.color} dash={one.dash} /> {one.label}
                </dt>
                <dd className="soft">{one.what}</dd>
              </div>
            ))}
          </dl>
          {lab?.running && (
            <div data-testid="lab-running">
              <ProgressBar done={points.length} total={lab.total} label="Contention lab" />
              <span className="soft">
                {MODES.find((one) => one.mode === lab.mode)?.label}, {lab.workers} workers: point {points.length + 1} of {lab.total}
              </span>
            </div>
          )}
          {says && (
            <p data-testid="lab-verdict">
              <b>{says}</b>
            </p>
          )}
          <p className="soft">
            Half a second for each of 21 points, real commits with a real sync each. The transfers go into ledger {lab?.ledger ?? "of the lab"}, which is
            marked as the lab's, and a last one brings its balances back to zero; like everything in the books they stay in history.
          </p>
        </div>
      </section>
      {points.length > 0 && (
        <>
          <div className="columns">
            <Picture title="Commits a second" points={points} value={(point) => point.per_second} format={perSecond} />
            <Picture title="Retries a commit" points={points} value={retriesPer} format={ratio} />
            <Picture title="Latency, p99" points={points} value={(point) => point.p99_us} format={micro} />
          </div>
          <section className="card" aria-label="Measured points">
            <Table caption="Measured points" columns={columns} rows={points} id={(point) => `${point.mode}.${point.workers}`} />
          </section>
        </>
      )}
    </>
  );
}
