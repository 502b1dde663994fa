// How four chunks survive the loss of any two: first with whole numbers and formulas that can be checked by hand, then with bytes, as
// the pool does it. Everything is computed here, from what the reader types.
import { useMemo, useState, type ReactNode } from "react";
import { Note } from "../../parts/Note";
import { BYTES, EXAMPLE, RATIONALS, cauchy, encode, fraction, rebuild, unitsOf, type Fraction } from "./coding";

const NAMES = ["d1", "d2", "d3", "d4", "p1", "p2"];
const DATA = 4;
const PARITY = 2;
const EXAMPLE_UNITS = unitsOf(
  RATIONALS,
  EXAMPLE.map((row) => row.map((value) => fraction(value))),
);
const POOL_ROWS = cauchy(DATA, PARITY);
const POOL_UNITS = unitsOf(BYTES, POOL_ROWS);

const PAIRS: [number, number][] = NAMES.flatMap((_, a) => NAMES.slice(a + 1).map((_, b) => [a, a + 1 + b] as [number, number]));
const failing = PAIRS.filter(([a, b]) => !rebuild(RATIONALS, EXAMPLE_UNITS, Array.from({ length: 6 }, () => fraction(1)), new Set([a, b])));
const failingPool = PAIRS.filter(([a, b]) => !rebuild(BYTES, POOL_UNITS, Array.from({ length: 6 }, () => 1), new Set([a, b])));

const sign = (value: number): string => (value < 0 ? "−" : "+");
// "d1 + 2·d2 − d3 + 4·d4", with what is known already put in.
function formula(row: readonly number[], known: readonly (number | undefined)[] = []): string {
  return row
    .map((factor, at) => {
      const size = Math.abs(factor);
      const value = known[at];
      const term = value === undefined ? `${size === 1 ? "" : `${size}·`}${NAMES[at]}` : `${size === 1 ? "" : `${size}·`}${value < 0 ? `(${value})` : value}`;
      return at === 0 ? `${factor < 0 ? "−" : ""}${term}` : ` ${sign(factor)} ${term}`;
    })
    .join("");
}
const text = (value: Fraction): string => (value.d === 1 ? String(value.n) : `${value.n}/${value.d}`).replace("-", "−");
const hex = (value: number): string => value.toString(16).padStart(2, "0");

function Unit({ index, value, note, lost, rebuilt, toggle }: { index: number; value: string; note?: string | undefined; lost: boolean; rebuilt: boolean; toggle: () => void }) {
  return (
    <button
      type="button"
      className={`unit${index >= DATA ? " parity" : ""}${lost ? " lost" : ""}`}
      aria-pressed={lost}
      aria-label={`${NAMES[index]} is ${lost ? (rebuilt ? `lost, and rebuilt as ${value}` : "lost") : value}; ${lost ? "bring it back" : "lose it"}`}
      onClick={toggle}
    >
      <small>{NAMES[index]}</small>
      <b>{lost && !rebuilt ? "?" : value}</b>
      <small>{lost ? (rebuilt ? "✓ rebuilt" : "× lost") : (note ?? `drive ${index}`)}</small>
    </button>
  );
}

function Solution({ data, lost }: { data: number[]; lost: ReadonlySet<number> }) {
  const gone = [...lost].sort((a, b) => a - b);
  const unknown = gone.filter((at) => at < DATA);
  if (lost.size === 0) return <p className="soft">Choose up to two units above to lose them.</p>;
  if (unknown.length === 0) return <p>Only parity is lost: the data is there, and the formulas give {gone.map((at) => NAMES[at]).join(" and ")} again.</p>;
  const known = data.map((value, at) => (lost.has(at) ? undefined : value));
  const equations = EXAMPLE.map((row, at) => ({ row, at })).filter(({ at }) => !lost.has(DATA + at));
  const lines = equations.slice(0, Math.max(unknown.length, 1)).map(({ row, at }) => {
    const value = row.reduce((sum, factor, index) => sum + factor * (data[index] ?? 0), 0);
    const rest = unknown.map((index) => ({ factor: row[index] ?? 0, index }));
    const moved = row.reduce((sum, factor, index) => (lost.has(index) ? sum : sum + factor * (data[index] ?? 0)), 0);
    const left = rest
      .map(({ factor, index }, place) => {
        const size = Math.abs(factor);
        const term = `${size === 1 ? "" : `${size}·`}${NAMES[index]}`;
        return place === 0 ? `${factor < 0 ? "−" : ""}${term}` : ` ${sign(factor)} ${term}`;
      })
      .join("");
    return { name: NAMES[DATA + at] ?? "", whole: `${value} = ${formula(row, known)}`, short: `${left} = ${value - moved}`.replace(/-/g, "−") };
  });
  return (
    <ol className="solution">
      <li>
        Put in what is left:
        {lines.map((line) => (
          <code key={line.name}>
            {line.name}: {line.whole.replace(/-/g, "−")}
          </code>
        ))}
      </li>
      <li>
        Bring the known to one side: {unknown.length === 1 ? "one equation, one unknown" : "two equations, two unknowns"}.
        {lines.map((line) => (
          <code key={line.name}>{line.short}</code>
        ))}
      </li>
      <li>
        Solve:
        <Solved data={data} lost={lost} unknown={unknown} />
      </li>
    </ol>
  );
}

function Solved({ data, lost, unknown }: { data: number[]; lost: ReadonlySet<number>; unknown: number[] }): ReactNode {
  const values = EXAMPLE_UNITS.map((row) =>
    encode(
      RATIONALS,
      row,
      data.map((value) => fraction(value)),
    ),
  );
  const found = rebuild(RATIONALS, EXAMPLE_UNITS, values, lost);
  if (!found) return <code>no answer: one equation is a multiple of the other</code>;
  return <code data-testid="solved">{unknown.map((at) => `${NAMES[at]} = ${text(found[at] ?? RATIONALS.zero)}`).join(", ")}</code>;
}

function toggled(lost: ReadonlySet<number>, at: number): ReadonlySet<number> {
  const next = new Set(lost);
  if (!next.delete(at)) next.add(at);
  // Of three the one that was lost first comes back: two is what the code bears.
  if (next.size > PARITY) next.delete([...next][0] ?? -1);
  return next;
}

function ByHand() {
  const [fields, setFields] = useState(["7", "2", "5", "3"]);
  const [lost, setLost] = useState<ReadonlySet<number>>(new Set([2, 3]));
  const data = fields.map((one) => Math.max(-999, Math.min(999, Math.round(Number(one)) || 0)));
  const parity = EXAMPLE.map((row) => row.reduce((sum, factor, at) => sum + factor * (data[at] ?? 0), 0));
  const values = [...data, ...parity];
  const solvable = rebuild(
    RATIONALS,
    EXAMPLE_UNITS,
    values.map((value) => fraction(value)),
    lost,
  );
  return (
    <section className="card" aria-label="By hand">
      <div className="card-head">
        <h2>By hand</h2>
        <span className="soft">four chunks, two formulas, any drive may go</span>
      </div>
      <div className="card-body lesson">
        <p>
          A file is cut into four equal chunks d1 to d4. Two parities are computed from them, and the six lie on six drives. The two cost half as much again; three copies
          would cost twice as much again.
        </p>
        <div className="inline-form lesson-fields">
          {fields.map((value, at) => (
            <label className="field" key={NAMES[at]}>
              {NAMES[at]}
              <input
                className="input"
                inputMode="numeric"
                value={value}
                onChange={(event) => setFields(fields.map((old, index) => (index === at ? event.target.value : old)))}
              />
            </label>
          ))}
        </div>
        <div className="formulas">
          {EXAMPLE.map((row, at) => (
            <code key={NAMES[DATA + at]}>
              {NAMES[DATA + at]} = {formula(row)} = {String(parity[at]).replace("-", "−")}
            </code>
          ))}
        </div>
        <div className="units" role="group" aria-label="Units on drives: choose which to lose">
          {values.map((value, at) => (
            <Unit
              key={NAMES[at]}
              index={at}
              value={String(value).replace("-", "−")}
              lost={lost.has(at)}
              rebuilt={solvable !== undefined}
              toggle={() => setLost(toggled(lost, at))}
            />
          ))}
        </div>
        <Solution data={data} lost={lost} />
        {lost.size > 0 && !solvable && (
          <Note kind="warn">
            These formulas cannot bring {[...lost].sort().map((at) => NAMES[at]).join(" and ")} back: p1 and p2 hold them in the same proportion. Of the {PAIRS.length} pairs{" "}
            {failing.length === 1 ? "this is the only one" : `${failing.length} are such`}; a pool may have none, which is what the matrix below is for.
          </Note>
        )}
      </div>
    </section>
  );
}

function InBytes() {
  const [word, setWord] = useState("poli");
  const [lost, setLost] = useState<ReadonlySet<number>>(new Set([2, 3]));
  const data = useMemo(() => {
    const bytes = new TextEncoder().encode(word);
    return Array.from({ length: DATA }, (_, at) => bytes[at] ?? 0);
  }, [word]);
  const values = [...data, ...POOL_ROWS.map((row) => encode(BYTES, row, data))];
  const found = rebuild(BYTES, POOL_UNITS, values, lost);
  const shown = found ? [...found, ...POOL_ROWS.map((row) => encode(BYTES, row, found))] : values;
  return (
    <section className="card" aria-label="As the pool does it">
      <div className="card-head">
        <h2>As the pool does it</h2>
        <span className="soft">bytes, in the field of 256 elements</span>
      </div>
      <div className="card-body lesson">
        <p>
          Whole numbers grow, bytes may not. So the pool counts in a field whose numbers are the 256 bytes: adding is exclusive or, multiplying stays within a byte. The factors are{" "}
          1/(i⊕j), a Cauchy matrix, of which every four of the six rows are independent: all {PAIRS.length} pairs can be lost, {failingPool.length} fail. The same is done for every byte of
          64{" "}KiB units, thousands of millions a second.
        </p>
        <div className="inline-form lesson-fields">
          <label className="field">
            Four bytes
            <input className="input mono" maxLength={4} value={word} onChange={(event) => setWord(event.target.value)} />
          </label>
        </div>
        <div className="formulas">
          {POOL_ROWS.map((row, at) => (
            <code key={NAMES[DATA + at]}>
              {NAMES[DATA + at]} = {row.map((factor, index) => `${hex(factor)}·${NAMES[index]}`).join(" ⊕ ")} = {hex(values[DATA + at] ?? 0)}
            </code>
          ))}
        </div>
        <div className="units" role="group" aria-label="Bytes on drives: choose which to lose">
          {shown.map((value, at) => (
            <Unit
              key={NAMES[at]}
              index={at}
              value={hex(value)}
              note={at < DATA && value > 32 && value < 127 ? String.fromCharCode(value) : undefined}
              lost={lost.has(at)}
              rebuilt={found !== undefined}
              toggle={() => setLost(toggled(lost, at))}
            />
          ))}
        </div>
        {lost.size > 0 && found && (
          <p data-testid="bytes-rebuilt">
            ✓ From the {NAMES.length - lost.size} that are left: <b className="mono">{found.map(hex).join(" ")}</b>
            {word && (
              <>
                , which is “<b>{new TextDecoder().decode(Uint8Array.from(found)).replace(/\0+$/, "")}</b>”
              </>
            )}
            .
          </p>
        )}
      </div>
    </section>
  );
}

export function Lesson() {
  return (
    <>
      <ByHand />
      <InBytes />
    </>
  );
}
