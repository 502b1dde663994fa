// When which version of a key was the one that a plain GET answers: the arithmetic of the picture, without a pixel.
import type { Version } from "./versions";

export interface Span {
  version: Version;
  // Shares of the width, 0 to 1.
  from: number;
  to: number;
}
export interface Lane {
  key: string;
  spans: Span[];
}
export type Scale = "time" | "order";

// Versions in S3's order, grouped by key.
export function keysOf(versions: readonly Version[]): Map<string, Version[]> {
  const keys = new Map<string, Version[]>();
  for (const version of versions) {
    const list = keys.get(version.key);
    if (list) list.push(version);
    else keys.set(version.key, [version]);
  }
  return keys;
}

// Each version reigns from when it was made until the next one was, the newest until now. Scale "order" gives every change the same
// width, for versions that were made in one burst.
export function lanesOf(versions: readonly Version[], nowMs: number, scale: Scale): { lanes: Lane[]; begin: number; end: number } {
  const times = versions.map((one) => Date.parse(one.modifiedAt));
  const begin = Math.min(nowMs, ...times);
  // A little of the present is always seen.
  const end = nowMs > begin ? nowMs : begin + 1000;
  const changes = [...new Set(times)].sort((a, b) => a - b);
  const place = (at: number): number => {
    if (scale === "time") return (at - begin) / (end - begin);
    const index = changes.findIndex((one) => one >= at);
    return (index < 0 ? changes.length : index) / changes.length;
  };
  const lanes = [...keysOf(versions)].map(([key, list]) => ({
    key,
    spans: list.map((version, index) => {
      const newer = list[index - 1];
      return { version, from: place(Date.parse(version.modifiedAt)), to: newer ? place(Date.parse(newer.modifiedAt)) : 1 };
    }),
  }));
  return { lanes, begin, end };
}
