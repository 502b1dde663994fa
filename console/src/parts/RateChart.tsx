// Rates of a topic's counters over the chosen time range, with their present values in words above the curve.
import { useMemo } from "react";
import { useTimeRange } from "../app/timeRange";
import { Chart, SeriesMark, type Series } from "./Chart";
import type { RateHistory } from "./live";

export interface RateSeries extends Series {
  // Summed when there are several.
  counters: string[];
}

interface RateChartProps {
  title: string;
  history: RateHistory;
  series: RateSeries[];
  format: (value: number) => string;
  height?: number;
  binary?: boolean;
}

export function RateChart({ title, history, series, format, height, binary }: RateChartProps) {
  const range = useTimeRange();
  const points = history.points;
  const newest = points.at(-1);
  const endMs = newest?.atMs ?? Date.now();
  const sum = (values: Record<string, number> | null, counters: string[]): number | null =>
    values && counters.reduce((total, name) => total + (values[name] ?? 0), 0);
  const data = useMemo(() => {
    const shown = points.filter((point) => point.atMs >= endMs - range.ms);
    return [
      shown.map((point) => point.atMs / 1000),
      ...series.map((one) => shown.map((point) => sum(point.values, one.counters))),
    ];
    // The history grows in place; its newest point says whether it did.
  }, [newest, range.ms, endMs]);
  const now = series.map((one) => ((newest && sum(newest.values, one.counters)) ?? 0));
  const spoken = series.map((one, index) => `${one.label} ${format(now[index] ?? 0)}`).join(", ");
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
        <div className="aside chart-legend">
          {series.map((one, index) => (
            <span className="key" key={one.label}>
              {series.length > 1 && <SeriesMark color={one.color} dash={one.dash} />}
              {series.length > 1 && one.label} <b>{newest ? format(now[index] ?? 0) : "–"}</b>
            </span>
          ))}
        </div>
      </div>
      <Chart
        label={`${title} over the last ${range.label}: now ${spoken}`}
        data={data}
        series={series}
        format={format}
        xRange={[(endMs - range.ms) / 1000, endMs / 1000]}
        height={height ?? 130}
        binary={binary ?? false}
      />
    </section>
  );
}
