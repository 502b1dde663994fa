import { useLoad } from "../../app/useLoad";
import { Empty } from "../../parts/Empty";
import { Figures } from "../../parts/Figures";
import { bytes, bytesPerSecond, count, perSecond } from "../../parts/format";
import { useRates, useTopic } from "../../parts/live";
import { ErrorNote, Note } from "../../parts/Note";
import { RateChart } from "../../parts/RateChart";
import { Table } from "../../parts/Table";
import { useState } from "react";
import * as api from "./api";
import type { LiveSample } from "./api";
import { Ladder } from "./Ladder";
import { rates } from "./rates";

const FIRST_STEPS = `polis exchange instrument set ABC
polis exchange account add A7
polis exchange session set BRK1 --account A7
polis exchange fund A7 USD 1000000
polis exchange fund A7 ABC 50000
polis exchange load ABC --session BRK1`;

const behind = (to: string, from: string): string => count(Number(BigInt(to) - BigInt(from) > 0n ? BigInt(to) - BigInt(from) : 0n));

// Who reads along on the bus, and how far behind the one writer each is.
function BusView({ live }: { live: LiveSample }) {
  const readers = Object.entries(live.readers).map(([name, one]) => ({ name, ...one }));
  const rows = [
    ...readers.map((one) => ({ name: one.name, what: one.gating ? "holds the writer back" : "is overtaken when slow", at: one.sequence, lag: count(Number(one.lag)) })),
    { name: "disk", what: "what survives a power cut", at: live.durable, lag: behind(live.sequence, live.durable) },
    { name: "shadow", what: "recomputes and compares every output", at: live.shadow, lag: behind(live.sequence, live.shadow) },
  ];
  return (
    <section className="card" aria-label="Bus">
      <div className="card-head">
        <h2>Who follows the bus</h2>
        <div className="aside">writer at {count(Number(live.sequence))}</div>
      </div>
      <Table
        caption="Readers of the bus"
        columns={[
          { title: "Reader", cell: (row) => row.name },
          { title: "What it is", className: "grow wide soft", cell: (row) => row.what },
          { title: "At", className: "right", cell: (row) => count(Number(row.at)) },
          { title: "Behind", className: "right", cell: (row) => row.lag },
        ]}
        rows={rows}
        id={(row) => row.name}
      />
    </section>
  );
}

export function Overview({ wanted }: { wanted: string | null }) {
  const topic = useTopic<LiveSample>("exchange.live");
  const live = topic.value;
  const history = useRates<LiveSample>("exchange.live", rates.countersOf);
  const loaded = useLoad(api.instruments, [live?.instruments]);
  const symbols = Object.keys(loaded.value?.instruments ?? {}).sort();
  const [chosen, setChosen] = useState<string>();
  const symbol = [chosen, wanted].find((one) => one && symbols.includes(one)) ?? symbols[0];
  return (
    <>
      <ErrorNote error={topic.error} />
      {live?.failure && <Note kind="bad">The venue takes nothing any more: {live.failure}</Note>}
      {live?.halted && !live.failure && (
        <Note kind="warn">
          The venue has halted itself{live.halted_why && `: ${live.halted_why}`}. See what was lost, then <code>polis exchange accept</code>.
        </Note>
      )}
      {symbol && <Ladder symbols={symbols} symbol={symbol} set={setChosen} />}
      {loaded.value && !symbol && (
        <Empty title="Nothing is traded yet" command={FIRST_STEPS}>
          <p>
            An <b>instrument</b> has a book; a <b>session</b> enters orders over FIX for an <b>account</b>, whose money and shares come out of the ledger. Or let
            polis show all of it: <code>polis tour exchange</code>
          </p>
        </Empty>
      )}
      <div className="columns">
        <RateChart title="Requests" history={history} series={[{ label: "requests", color: 1, counters: ["requests"] }]} format={perSecond} />
        <RateChart title="Trades" history={history} series={[{ label: "trades", color: 3, counters: ["trades"] }]} format={perSecond} />
        <RateChart title="Journal" history={history} series={[{ label: "journal", color: 4, counters: ["journal"] }]} format={bytesPerSecond} binary />
      </div>
      {live && <BusView live={live} />}
      {live && (
        <Figures
          figures={[
            { name: "Threads", value: live.threads, hint: "fused: one loop; split: order manager and engine have a CPU each" },
            { name: "Requests", value: count(Number(live.requests)), hint: "since polis was started" },
            { name: "Reports", value: count(Number(live.reports)), hint: "since polis was started" },
            { name: "Trades", value: count(Number(live.trades)), hint: "since polis was started" },
            { name: "Journal", value: bytes(Number(live.journal_bytes)), more: `${count(Number(live.syncs))} syncs`, hint: "since polis was started" },
            { name: "Replayed", value: count(Number(live.replayed)), hint: "steps at the last start, each compared" },
            { name: "Instruments", value: count(live.instruments) },
            { name: "Accounts", value: count(live.accounts) },
            { name: "Sessions", value: count(live.sessions) },
          ]}
        />
      )}
    </>
  );
}
