// How far each group is behind, over time. The four that are furthest behind have a curve; the table of groups has them all.
import { useMemo } from "react";
import { useTimeRange } from "../../app/timeRange";
import { Chart, SeriesMark, type Series } from "../../parts/Chart";
import { count } from "../../parts/format";
import type { GroupsSample } from "./api";
import { markOf } from "./offsets";
import { useLagHistory } from "./useStream";

const CURVES_MAX = 4;
const DASHES: (number[] | undefined)[] = [undefined, [6, 4], [2, 3], [10, 3, 2, 3]];

export function LagPlot({ groups }: { groups: GroupsSample | undefined }) {
  const history = useLagHistory();
  const range = useTimeRange();
  const newest = history.at(-1);
  const endMs = newest?.atMs ?? Date.now();
  const names = Object.keys(groups?.groups ?? {});
  const worst = [...names].sort((a, b) => (newest?.lags[b] ?? 0) - (newest?.lags[a] ?? 0) || a.localeCompare(b)).slice(0, CURVES_MAX).sort();
  const series: Series[] = worst.map((name) => {
    const { color } = markOf(names, name);
    const dash = DASHES[color - 1];
    return { label: name, color, ...(dash && { dash }) };
  });
  const key = worst.join("\n");
  const data = useMemo(() => {
    const shown = history.filter((point) => point.atMs >= endMs - range.ms);
    return [shown.map((point) => point.atMs / 1000), ...worst.map((name) => shown.map((point) => point.lags[name] ?? null))];
    // The history grows in place; its newest point says whether it did.
  }, [newest, range.ms, endMs, key]);
  return (
    <section className="card" aria-label="Lag of the groups">
      <div className="card-head">
        <h2>Lag of the groups</h2>
        <div className="aside chart-legend">
          {worst.map((name, at) => (
            <span className="key" key={name}>
              <SeriesMark color={series[at]?.color ?? 1} dash={series[at]?.dash} /> {name} <b>{newest ? count(newest.lags[name] ?? 0) : "–"}</b>
            </span>
          ))}
        </div>
      </div>
      {worst.length === 0 && <p className="card-body soft">No group has committed a position yet.</p>}
      {worst.length > 0 && (
        <Chart
          label={`Records that groups are behind, over the last ${range.label}: ${worst.map((name) => `${name} ${newest?.lags[name] ?? 0}`).join(", ")}`}
          data={data}
          series={series}
          format={count}
          xRange={[(endMs - range.ms) / 1000, endMs / 1000]}
          height={180}
        />
      )}
    </section>
  );
}
