// A slider over every op since the first: what it stands on is the moment that the balances are shown at. At its right end it is now,
// and moves on with the books.
import { useEffect, useState, type FormEvent } from "react";
import { count } from "../../parts/format";
import { ErrorNote } from "../../parts/Note";
import { Time } from "../../parts/Time";
import { timeOf } from "./amounts";
import { opAt } from "./api";

interface TimeSliderProps {
  last: number;
  // Undefined: now.
  op: number | undefined;
  set: (op: number | undefined) => void;
  // Of the op that is shown, as soon as the server has said it.
  timestamp: string | undefined;
}

export function TimeSlider({ last, op, set, timestamp }: TimeSliderProps) {
  const [drawn, setDrawn] = useState(op);
  const [wanted, setWanted] = useState("");
  const [error, setError] = useState<unknown>();
  const [playing, setPlaying] = useState(false);
  // The picture follows the hand after a short rest, so that dragging asks a few questions, not hundreds.
  useEffect(() => {
    if (drawn === op) return;
    const timer = setTimeout(() => set(drawn), 80);
    return () => clearTimeout(timer);
  }, [drawn]);
  useEffect(() => setDrawn(op), [op]);
  useEffect(() => {
    if (!playing) return;
    const step = Math.max(1, Math.round(last / 60));
    const timer = setTimeout(() => {
      const next = (drawn ?? last) + step;
      if (next >= last) {
        setDrawn(undefined);
        setPlaying(false);
      } else {
        setDrawn(next);
      }
    }, 250);
    return () => clearTimeout(timer);
  }, [playing, drawn]);
  const shown = drawn ?? last;
  const find = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setError(undefined);
    try {
      const found = await opAt(new Date(wanted).toISOString());
      set(found.op >= last ? undefined : found.op);
    } catch (reason) {
      setError(reason);
    }
  };
  return (
    <div className="slider" role="group" aria-label="The moment that is shown">
      <div className="slider-row">
        <button
          type="button"
          className="button small icon"
          aria-label={playing ? "Pause" : "Play from the beginning"}
          title={playing ? "Pause" : "Play from the beginning"}
          onClick={() => {
            if (!playing && drawn === undefined) setDrawn(0);
            setPlaying(!playing);
          }}
        >
          {playing ? "❚❚" : "▶"}
        </button>
        <input
          type="range"
          min={0}
          max={last}
          step={1}
          value={shown}
          aria-label="Op"
          aria-valuetext={drawn === undefined ? `now, op ${last}` : `op ${drawn} of ${last}`}
          onChange={(event) => {
            const value = Number(event.target.value);
            setPlaying(false);
            setDrawn(value >= last ? undefined : value);
          }}
        />
        <button type="button" className="button small" disabled={op === undefined} onClick={() => set(undefined)}>
          Now
        </button>
      </div>
      <div className="slider-row soft">
        <span data-testid="slider-moment">
          {drawn === undefined ? (
            <>
              now, op <b className="number">{count(last)}</b>
            </>
          ) : (
            <>
              after op <b className="number">{count(drawn)}</b> of {count(last)}
              {drawn === 0 && ", before everything"}
              {drawn === op && timestamp && timestamp !== "0" && (
                <>
                  , <Time at={timeOf(timestamp)} />
                </>
              )}
            </>
          )}
        </span>
        <form onSubmit={find} className="slider-find">
          <input className="input" type="datetime-local" step="1" required aria-label="Time" value={wanted} onChange={(event) => setWanted(event.target.value)} />
          <button type="submit" className="button small">
            Go to this time
          </button>
        </form>
      </div>
      <ErrorNote error={error} />
    </div>
  );
}
