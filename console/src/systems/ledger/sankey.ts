// Where the bands of a picture of flows go: debited ends in a column on the left, credited ones on the right, in order of size; a band's
// height is its share of everything that moved.
import { share } from "./amounts";
import type { Flow } from "./api";

export interface End {
  id: string;
  amount: bigint;
  y: number;
  height: number;
}
export interface Band {
  flow: Flow;
  amount: bigint;
  height: number;
  yLeft: number;
  yRight: number;
  // Of its debited end: bands keep the colour of where they come from.
  left: number;
}
export interface Layout {
  left: End[];
  right: End[];
  bands: Band[];
}

function columnOf(flows: Flow[], side: "debit" | "credit", height: number, gap: number, total: bigint): End[] {
  const sums = new Map<string, bigint>();
  for (const flow of flows) sums.set(flow[side], (sums.get(flow[side]) ?? 0n) + BigInt(flow.amount));
  // "All others" stands last, however large.
  const ends = [...sums].sort(([a, x], [b, y]) => Number(a === "") - Number(b === "") || (x < y ? 1 : x > y ? -1 : 0));
  const room = height - gap * (ends.length - 1);
  let y = 0;
  return ends.map(([id, amount]) => {
    const end = { id, amount, y, height: Math.max(1, share(amount, total) * room) };
    y += end.height + gap;
    return end;
  });
}

export function layout(flows: Flow[], height: number, gap: number): Layout {
  const total = flows.reduce((sum, flow) => sum + BigInt(flow.amount), 0n);
  const left = columnOf(flows, "debit", height, gap, total);
  const right = columnOf(flows, "credit", height, gap, total);
  const leftAt = new Map(left.map((end, index) => [end.id, index]));
  const rightAt = new Map(right.map((end, index) => [end.id, index]));
  const usedLeft = left.map((end) => end.y);
  const usedRight = right.map((end) => end.y);
  const bands: Band[] = [];
  const ordered = [...flows].sort(
    (a, b) => (leftAt.get(a.debit) ?? 0) - (leftAt.get(b.debit) ?? 0) || (rightAt.get(a.credit) ?? 0) - (rightAt.get(b.credit) ?? 0),
  );
  for (const flow of ordered) {
    const from = leftAt.get(flow.debit) ?? 0;
    const to = rightAt.get(flow.credit) ?? 0;
    const amount = BigInt(flow.amount);
    const source = left[from];
    const height = source && source.amount > 0n ? share(amount, source.amount) * source.height : 0;
    bands.push({ flow, amount, height, yLeft: usedLeft[from] ?? 0, yRight: usedRight[to] ?? 0, left: from });
    usedLeft[from] = (usedLeft[from] ?? 0) + height;
    usedRight[to] = (usedRight[to] ?? 0) + height;
  }
  return { left, right, bands };
}
