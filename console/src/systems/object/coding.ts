// Erasure coding in small, over two fields: whole numbers with the example's formulas, and bytes as the pool computes them. Six units
// are six equations in four unknowns; any four that are independent give the unknowns back.

export interface Field<T> {
  zero: T;
  one: T;
  add: (a: T, b: T) => T;
  subtract: (a: T, b: T) => T;
  multiply: (a: T, b: T) => T;
  divide: (a: T, b: T) => T;
  isZero: (a: T) => boolean;
}

export interface Fraction {
  n: number;
  d: number;
}
const gcd = (a: number, b: number): number => (b === 0 ? Math.abs(a) : gcd(b, a % b));
export function fraction(n: number, d = 1): Fraction {
  const by = (gcd(n, d) || 1) * (d < 0 ? -1 : 1);
  return { n: n / by, d: d / by };
}
export const RATIONALS: Field<Fraction> = {
  zero: fraction(0),
  one: fraction(1),
  add: (a, b) => fraction(a.n * b.d + b.n * a.d, a.d * b.d),
  subtract: (a, b) => fraction(a.n * b.d - b.n * a.d, a.d * b.d),
  multiply: (a, b) => fraction(a.n * b.n, a.d * b.d),
  divide: (a, b) => fraction(a.n * b.d, a.d * b.n),
  isZero: (a) => a.n === 0,
};

// Bytes: addition is exclusive or, multiplication that of polynomials modulo x^8+x^4+x^3+x^2+1 (0x11d).
const EXP = new Uint8Array(510);
const LOG = new Uint8Array(256);
for (let power = 0, value = 1; power < 255; ++power) {
  EXP[power] = EXP[power + 255] = value;
  LOG[value] = power;
  value = value & 0x80 ? (value << 1) ^ 0x11d : value << 1;
}
const multiplyBytes = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : (EXP[(LOG[a] ?? 0) + (LOG[b] ?? 0)] ?? 0));
const divideBytes = (a: number, b: number): number => (a === 0 ? 0 : (EXP[(LOG[a] ?? 0) + 255 - (LOG[b] ?? 0)] ?? 0));
export const BYTES: Field<number> = {
  zero: 0,
  one: 1,
  add: (a, b) => a ^ b,
  subtract: (a, b) => a ^ b,
  multiply: multiplyBytes,
  divide: divideBytes,
  isZero: (a) => a === 0,
};

// Rows of the six units: four that say "this is d1" and so on, then the two parities.
export function unitsOf<T>(field: Field<T>, parities: readonly (readonly T[])[]): T[][] {
  const data = parities[0]?.length ?? 0;
  const identity = Array.from({ length: data }, (_, row) => Array.from({ length: data }, (_, at) => (row === at ? field.one : field.zero)));
  return [...identity, ...parities.map((row) => [...row])];
}

// p1 = d1 + 2 d2 - d3 + 4 d4, p2 = -d1 + 5 d2 + d3 - 3 d4.
export const EXAMPLE: readonly (readonly number[])[] = [
  [1, 2, -1, 4],
  [-1, 5, 1, -3],
];
// The pool's: row i of parity, column j has 1 / (i xor j), i counted on from the data. Every four of the six rows are independent.
export const cauchy = (data: number, parity: number): number[][] =>
  Array.from({ length: parity }, (_, row) => Array.from({ length: data }, (_, at) => divideBytes(1, (data + row) ^ at)));

export const encode = <T>(field: Field<T>, row: readonly T[], data: readonly T[]): T =>
  row.reduce((sum, factor, at) => field.add(sum, field.multiply(factor, data[at] ?? field.zero)), field.zero);

// The unknowns from equations that are left, by elimination; undefined if they do not determine them.
export function solve<T>(field: Field<T>, rows: readonly (readonly T[])[], values: readonly T[]): T[] | undefined {
  const unknowns = rows[0]?.length ?? 0;
  const left = rows.map((row, at) => [...row, values[at] ?? field.zero]);
  for (let column = 0; column < unknowns; ++column) {
    const pivot = left.findIndex((row, at) => at >= column && !field.isZero(row[column] ?? field.zero));
    if (pivot < 0) return undefined;
    [left[column], left[pivot]] = [left[pivot] ?? [], left[column] ?? []];
    const chosen = left[column] ?? [];
    const by = chosen[column] ?? field.one;
    const scaled = chosen.map((value) => field.divide(value, by));
    left[column] = scaled;
    for (const [at, row] of left.entries()) {
      const factor = row[column] ?? field.zero;
      if (at === column || field.isZero(factor)) continue;
      left[at] = row.map((value, index) => field.subtract(value, field.multiply(factor, scaled[index] ?? field.zero)));
    }
  }
  return left.slice(0, unknowns).map((row) => row[unknowns] ?? field.zero);
}

// What is left after losing some units, solved for the data.
export function rebuild<T>(field: Field<T>, units: readonly (readonly T[])[], values: readonly T[], lost: ReadonlySet<number>): T[] | undefined {
  const there = units.map((_, at) => at).filter((at) => !lost.has(at));
  return solve(
    field,
    there.map((at) => units[at] ?? []),
    there.map((at) => values[at] ?? field.zero),
  );
}
