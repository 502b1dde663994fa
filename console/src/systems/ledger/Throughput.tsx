// Transfers a second and how long a batch takes to be on the disk, from what the server kept of the last quarter of an hour.
import { useMemo } from "react";
import { useTimeRange } from "../../app/timeRange";
import { Chart, SeriesMark, type Series } from "../../parts/Chart";
import { count, duration, perSecond } from "../../parts/format";
import { useTopic } from "../../parts/live";
import { ErrorNote } from "../../parts/Note";
import type { SecondsSample } from "./api";

const RATE: Series[] = [{ label: "transfers", color: 3 }];
const LATENCY: Series[] = [
  { label: "p50", color: 1 },
  { label: "p99", color: 2, dash: [6, 4] },
];

interface Columns {
  x: number[];
  transfers: number[];
  batches: number[];
  p50: (number | null)[];
  p99: (number | null)[];
}

function columnsOf(sample: SecondsSample | undefined, rangeMs: number): Columns {
  const columns: Columns = { x: [], transfers: [], batches: [], p50: [], p99: [] };
  if (!sample) return columns;
  for (let second = Math.max(sample.begin, sample.end - Math.ceil(rangeMs / 1000)); second < sample.end; ++second) {
    const seen = sample.seconds[String(second)];
    columns.x.push(second);
    columns.transfers.push(seen?.[0] ?? 0);
    columns.batches.push(seen?.[1] ?? 0);
    columns.p50.push(seen?.[2] ?? null);
    columns.p99.push(seen?.[3] ?? null);
  }
  return columns;
}

const micro = (value: number): string => duration(value / 1e6);

export function Throughput() {
  const topic = useTopic<SecondsSample>("ledger.seconds");
  const range = useTimeRange();
  const sample = topic.value;
  const columns = useMemo(() => columnsOf(sample, range.ms), [sample, range.ms]);
  const rates = useMemo(() => [columns.x, columns.transfers], [columns]);
  const latencies = useMemo(() => [columns.x, columns.p50, columns.p99], [columns]);
  const end = sample?.end ?? Date.now() / 1000;
  const xRange: [number, number] = [end - range.ms / 1000, end];
  const now = columns.transfers.at(-1) ?? 0;
  const newest = columns.p50.findLastIndex((value) => value !== null);
  const p50 = columns.p50[newest] ?? undefined;
  const p99 = columns.p99[newest] ?? undefined;
  return (
    <>
      <ErrorNote error={topic.error} />
      <div className="columns">
        <section className="card" aria-label="Transfers">
          <div className="card-head">
            <h2>Transfers</h2>
            <div className="aside chart-legend">
              <span className="key">
                <b>{sample ? perSecond(now) : "–"}</b>
              </span>
              <span className="key soft">
                in {sample ? count(columns.batches.at(-1) ?? 0) : "–"} batches
              </span>
            </div>
          </div>
          <Chart
            label={`Transfers a second over the last ${range.label}: now ${perSecond(now)}`}
            data={rates}
            series={RATE}
            format={perSecond}
            xRange={xRange}
          />
        </section>
        <section className="card" aria-label="Commit latency">
          <div className="card-head">
            <h2>Commit latency</h2>
            <div className="aside chart-legend">
              {LATENCY.map((one, index) => {
                const value = index === 0 ? p50 : p99;
                return (
                  <span className="key" key={one.label}>
                    <SeriesMark color={one.color} dash={one.dash} /> {one.label} <b>{value === undefined ? "–" : micro(value)}</b>
                  </span>
                );
              })}
            </div>
          </div>
          <Chart
            label={`Time from a batch's arrival until it is on the disk, over the last ${range.label}`}
            data={latencies}
            series={LATENCY}
            format={micro}
            xRange={xRange}
          />
        </section>
      </div>
    </>
  );
}
