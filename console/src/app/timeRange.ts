// How far back live charts look. They hold what this page has seen since it was opened.
import { createContext, useContext } from "react";

export interface TimeRange {
  label: string;
  ms: number;
}

export const TIME_RANGES: TimeRange[] = [
  { label: "1 min", ms: 60_000 },
  { label: "5 min", ms: 300_000 },
  { label: "15 min", ms: 900_000 },
  { label: "1 h", ms: 3_600_000 },
];

export const TimeRangeContext = createContext<TimeRange>(TIME_RANGES[1] as TimeRange);
export const useTimeRange = (): TimeRange => useContext(TimeRangeContext);
