// Offsets and how far a group is behind, from what the live topics say. BigInt: an offset has 63 bits.
import { THIN } from "../../parts/format";
import type { GroupsSample, LiveGroup, LiveSample, PartitionNumbers, Shown } from "./api";

export interface Place {
  start: bigint;
  watermark: bigint;
  stable: bigint;
  end: bigint;
  sizeBytes: number;
  openTransactions: number;
  duplicates: number;
}

export function placeOf(numbers: PartitionNumbers): Place {
  return {
    start: BigInt(numbers[0]),
    watermark: BigInt(numbers[1]),
    stable: BigInt(numbers[2]),
    end: BigInt(numbers[3]),
    sizeBytes: numbers[4],
    openTransactions: numbers[5],
    duplicates: numbers[6],
  };
}

export function digits(offset: bigint | string): string {
  return offset.toString().replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

// Of one group in all partitions that are shown; committed offsets below the start count from the start.
export function lagOf(group: LiveGroup, live: LiveSample): number {
  let lag = 0n;
  for (const [topic, partitions] of Object.entries(group.committed))
    for (const [partition, committed] of Object.entries(partitions)) {
      const numbers = live.topics[topic]?.partitions[partition];
      if (!numbers) continue;
      const place = placeOf(numbers);
      const at = BigInt(committed) < place.start ? place.start : BigInt(committed);
      if (place.watermark > at) lag += place.watermark - at;
    }
  return Number(lag);
}

export function lags(groups: GroupsSample | undefined, live: LiveSample | undefined): Record<string, number> {
  if (!groups || !live) return {};
  return Object.fromEntries(Object.entries(groups.groups).map(([name, one]) => [name, lagOf(one, live)]));
}

// Groups have one of four colours and marks, by name, so that a group looks the same in every picture; later ones share.
export const MARKS = ["▲", "◆", "●", "■"] as const;
export function markOf(groups: string[], name: string): { color: 1 | 2 | 3 | 4; mark: string } {
  const at = Math.max(0, [...groups].sort().indexOf(name)) % MARKS.length;
  return { color: (at + 1) as 1 | 2 | 3 | 4, mark: MARKS[at] ?? "▲" };
}

export function shownText(shown: Shown | null): string {
  if (!shown) return "null";
  const text = shown.text ?? `base64:${shown.base64 ?? ""}`;
  return shown.cut ? `${text} …` : text;
}
