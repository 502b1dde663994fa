// The book of one instrument as a ladder: prices down the middle, bids left, asks right, each level a bar cut into its orders, first in
// turn nearest to the price. Asked for twice a second while somebody looks.
import { useEffect, useState } from "react";
import { Choice } from "../../parts/Choice";
import { ErrorNote } from "../../parts/Note";
import * as api from "./api";
import type { Book, Level } from "./api";

const DEPTH = 12;
const EVERY_MS = 500;
const PHASES: Record<string, string> = {
  closed: "closed",
  pre_open: "gathering for the opening auction",
  continuous: "trading",
  closing_call: "gathering for the closing auction",
  halted: "halted: orders gather until an auction ends it",
};

function useBook(symbol: string): { book?: Book; error?: unknown; ask: () => void } {
  const [state, setState] = useState<{ book?: Book; error?: unknown }>({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let current = true;
    const ask = (): void => {
      api.book(symbol, DEPTH).then(
        (book) => current && setState({ book }),
        (error) => current && setState((old) => ({ ...old, error })),
      );
    };
    ask();
    const timer = setInterval(ask, EVERY_MS);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [symbol, turn]);
  return { ...state, ask: () => setTurn((value) => value + 1) };
}

function Queue({ level, most, side }: { level: Level; most: number; side: "bid" | "ask" }) {
  const queue = level.queue ?? [];
  return (
    <div className={`ladder-bar ${side}`} title={`${level.orders} orders, first in turn first: ${queue.join(", ")}`}>
      {queue.map((size, index) => (
        <i key={index} style={{ width: `${(100 * Number(size)) / most}%` }} />
      ))}
    </div>
  );
}

function Row({ level, side, most }: { level: Level; side: "bid" | "ask"; most: number }) {
  const size = <span className="ladder-size">{level.size}</span>;
  const bar = <Queue level={level} most={most} side={side} />;
  return (
    <div className="ladder-row" role="row" data-testid="level" data-side={side} data-price={level.price}>
      <div role="cell" className="ladder-side left">
        {side === "bid" && (
          <>
            {size}
            {bar}
          </>
        )}
      </div>
      <div role="cell" className="ladder-price">
        {level.price}
      </div>
      <div role="cell" className="ladder-side">
        {side === "ask" && (
          <>
            {bar}
            {size}
          </>
        )}
      </div>
    </div>
  );
}

// The levels of a book as it is given.
export function Levels({ book }: { book: Book }) {
  const most = Math.max(1, ...[...book.bids, ...book.asks].map((level) => Number(level.size)));
  return (
    <>
      <p className="soft">
        {PHASES[book.phase] ?? book.phase}
        {book.last && <>, last trade at {book.last}</>}
        {book.auction?.price && (
          <>
            ; the auction would match {book.auction.size} at {book.auction.price}, imbalance {book.auction.imbalance}
          </>
        )}
      </p>
      <div className="ladder" role="table" aria-label={`Levels of ${book.symbol}`}>
        <div className="ladder-row ladder-title" role="row">
          <div role="columnheader" className="ladder-side left">
            Bids
          </div>
          <div role="columnheader" className="ladder-price">
            Price
          </div>
          <div role="columnheader" className="ladder-side">
            Asks
          </div>
        </div>
        {[...book.asks].reverse().map((level) => (
          <Row key={level.price} level={level} side="ask" most={most} />
        ))}
        {book.bids.map((level) => (
          <Row key={level.price} level={level} side="bid" most={most} />
        ))}
      </div>
      {book.bids.length + book.asks.length === 0 && <p className="soft">Nobody waits here.</p>}
    </>
  );
}

function Controls({ symbol, phase, done }: { symbol: string; phase: string; done: () => void }) {
  const [error, setError] = useState<unknown>();
  const halted = phase === "halted";
  const turn = (): void => {
    api.setPhase(symbol, halted || phase === "closed" ? "continuous" : "halted").then(
      () => (setError(undefined), done()),
      (reason) => setError(reason),
    );
  };
  return (
    <div className="ladder-foot">
      <button type="button" className="button small" onClick={turn}>
        {halted ? "Lift the halt" : phase === "closed" ? "Open" : "Halt trading"}
      </button>
      <ErrorNote error={error} />
    </div>
  );
}

export function Ladder({ symbols, symbol, set }: { symbols: string[]; symbol: string; set: (symbol: string) => void }) {
  const { book, error, ask } = useBook(symbol);
  const shown = book?.symbol === symbol ? book : undefined;
  return (
    <section className="card" aria-label={`Book of ${symbol}`}>
      <div className="card-head">
        <h2>Book of {symbol}</h2>
        {symbols.length > 1 && symbols.length <= 8 && (
          <Choice className="aside" label="Instrument" options={symbols.map((id) => ({ id, title: id }))} value={symbol} set={set} />
        )}
        {symbols.length > 8 && (
          <select className="input aside" aria-label="Instrument" value={symbol} onChange={(event) => set(event.target.value)}>
            {symbols.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        )}
      </div>
      <ErrorNote error={error} />
      {shown && (
        <div className="card-body">
          <Levels book={shown} />
          <Controls symbol={symbol} phase={shown.phase} done={ask} />
        </div>
      )}
    </section>
  );
}
