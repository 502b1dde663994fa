// What a system shows of itself on the home page: the counters of one of its live topics.
import type { RateSeries } from "../parts/RateChart";

export interface SystemRates<T> {
  topic: string;
  countersOf: (value: T) => Record<string, number>;
  charts: { title: string; unit: "count" | "bytes"; series: RateSeries[] }[];
}
