// The book as it was: the journal is done again up to a sequence number, every output compared on the way, and the book drawn.
import { useEffect, useState, type FormEvent } from "react";
import { useLoad } from "../../app/useLoad";
import { Empty } from "../../parts/Empty";
import { count, duration } from "../../parts/format";
import { ErrorNote, Waiting } from "../../parts/Note";
import * as api from "./api";
import type { Past } from "./api";
import { Levels } from "./Ladder";

const DEPTH = 12;
const STEPS = 1000;

export function LookBack() {
  const loaded = useLoad(api.instruments, []);
  const status = useLoad(api.status, []);
  const symbols = Object.keys(loaded.value?.instruments ?? {}).sort();
  const [chosen, setChosen] = useState<string>();
  const [to, setTo] = useState("");
  const [past, setPast] = useState<Past>();
  const [error, setError] = useState<unknown>();
  const [working, setWorking] = useState(false);
  const symbol = chosen ?? symbols[0];
  const end = Number(status.value?.sequence ?? 1);
  useEffect(() => {
    if (!to && status.value) setTo(status.value.sequence);
  }, [status.value, to]);
  const look = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (!symbol) return;
    setWorking(true);
    try {
      setPast(await api.past(to, symbol, DEPTH));
      setError(undefined);
    } catch (reason) {
      setError(reason);
    } finally {
      setWorking(false);
    }
  };
  if (loaded.value && symbols.length === 0) return <Empty title="Nothing is traded yet" command="polis exchange instrument set ABC" />;
  return (
    <section className="card" aria-label="Look back">
      <div className="card-head">
        <h2>The book as it was</h2>
      </div>
      <ErrorNote error={error ?? loaded.error} />
      <form className="card-body look-back" onSubmit={(event) => void look(event)}>
        <label>
          Instrument{" "}
          <select className="input" value={symbol} onChange={(event) => setChosen(event.target.value)}>
            {symbols.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <label>
          Before sequence <input className="input" inputMode="numeric" pattern="[0-9]+" value={to} onChange={(event) => setTo(event.target.value)} />
        </label>
        <input
          type="range"
          className="look-back-slider"
          aria-label="Sequence"
          min={1}
          max={end}
          step={Math.max(1, Math.floor(end / STEPS))}
          value={Number(to) || 1}
          onChange={(event) => setTo(event.target.value)}
        />
        <button type="submit" className="button primary" disabled={working || !symbol}>
          {working ? "Replaying …" : "Show it"}
        </button>
      </form>
      {working && <Waiting what="Replaying the journal" />}
      {past && !working && (
        <div className="card-body">
          <p className="soft">
            At sequence {count(Number(past.sequence))}: {count(Number(past.steps))} steps done again in {duration(past.seconds)}, every output as it was. Hash{" "}
            <code>{past.hash.slice(0, 16)}…</code>
          </p>
          <Levels book={past.book} />
        </div>
      )}
    </section>
  );
}
