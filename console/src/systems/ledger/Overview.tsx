import { useState } from "react";
import { Link, address } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { status } from "../../app/api";
import { Choice } from "../../parts/Choice";
import { Command } from "../../parts/Command";
import { Figures as KeyFigures } from "../../parts/Figures";
import { bytes, count, duration } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { timeOf } from "./amounts";
import type { Committed, LiveSample } from "./api";
import { BookButtons } from "./Forms";
import { curlSnippet, nodeSnippet } from "./snippets";
import { Throughput } from "./Throughput";
import { TrialBalance } from "./TrialBalance";
import { useLive, useTigerBeetlePort } from "./useLedgers";

function Figures({ live }: { live: LiveSample }) {
  const figures: [string, string, string?][] = [
    ["Last op", count(live.op)],
    ["Accounts", count(live.accounts)],
    ["Transfers", count(live.transfers)],
    ["Pending, open", count(live.pending_open)],
    ["Expired", count(live.expired)],
    ["Refused", count(live.refusals)],
    ["Backlog", count(live.waiting), "batches wait for the disk"],
    ["Journal", bytes(live.journal_bytes)],
    ["Syncs", count(live.journal_syncs)],
    ["Snapshot at op", live.snapshot_op > 0 ? count(live.snapshot_op) : "–"],
    ["Memory", bytes(live.memory_bytes)],
    ["Sessions", count(live.sessions)],
  ];
  return <KeyFigures figures={figures.map(([name, value, hint]) => ({ name, value, hint }))} />;
}

export const OPERATIONS: Record<string, string> = {
  register: "session opened",
  expire: "expiry",
  create_accounts: "accounts",
  create_transfers: "transfers",
};

function Batches({ live }: { live: LiveSample }) {
  const rows = Object.values(live.batches)
    .sort((a, b) => b.op - a.op)
    .slice(0, 12);
  const columns: Column<Committed>[] = [
    {
      title: "Op",
      className: "right",
      cell: (one) => <Link to={address("/ledger/chain", { to: String(one.op) })}>{count(one.op)}</Link>,
    },
    { title: "Time", className: "wide", cell: (one) => <Time at={timeOf(one.timestamp)} /> },
    { title: "What", className: "grow", cell: (one) => OPERATIONS[one.operation] ?? one.operation },
    { title: "Events", className: "right", cell: (one) => count(one.events) },
    { title: "Created", className: "right wide", cell: (one) => count(one.created) },
    {
      title: "Refused",
      className: "right wide",
      cell: (one) => (one.operation.startsWith("create") && one.events > one.created ? count(one.events - one.created) : "–"),
    },
    { title: "Durable after", className: "right", cell: (one) => duration(one.latency_us / 1e6) },
  ];
  return (
    <section className="card" aria-label="Latest batches">
      <div className="card-head">
        <h2>Latest batches</h2>
        <div className="aside">
          <Link to="/ledger/chain">The whole chain</Link>
        </div>
      </div>
      {rows.length === 0 && <p className="card-body soft">None since this polis was started.</p>}
      {rows.length > 0 && <Table caption="Latest batches" columns={columns} rows={rows} id={(one) => one.op} />}
    </section>
  );
}

// Nothing is booked yet: what a ledger is, and three ways to begin.
function FirstSteps() {
  const port = useTigerBeetlePort();
  const directory = useLoad(status, []).value?.data_directory ?? "~/.polis";
  const [way, setWay] = useState<"curl" | "node">("curl");
  const ways = [
    { id: "curl" as const, name: "curl", what: "Named accounts over JSON, on the machine of polis" },
    { id: "node" as const, name: "tigerbeetle-node", what: "The binary protocol, thousands of transfers in a batch" },
  ];
  return (
    <section className="card" aria-label="First steps">
      <div className="card-head">
        <h2>The books are empty</h2>
        <Choice className="aside" label="Client" options={ways.map(({ id, name }) => ({ id, title: name }))} value={way} set={setWay} />
      </div>
      <div className="card-body ledger-first">
        <p>
          An <b>account</b> belongs to one <b>ledger</b>, which stands for one asset. A <b>transfer</b> debits one account and credits
          another by the same amount, so that the sum of all balances is always zero. Make two accounts and move something between
          them, here with the buttons above or from a program:
        </p>
        <p className="soft">{ways.find((one) => one.id === way)?.what}</p>
        <Command text={way === "curl" ? curlSnippet(directory) : nodeSnippet(location.hostname, port)} label={`first steps with ${ways.find((one) => one.id === way)?.name}`} />
        <p className="soft">
          Or let polis show all of it: <code>polis tour ledger</code>
        </p>
      </div>
    </section>
  );
}

export function Overview() {
  const live = useLive().value;
  return (
    <>
      <div className="ledger-actions">
        <BookButtons />
        <Link className="button" to="/ledger/accounts">
          <Icon name="people" /> Accounts
        </Link>
      </div>
      {live && live.accounts === 0 && <FirstSteps />}
      {(!live || live.accounts > 0) && <TrialBalance />}
      <Throughput />
      {live && <Figures live={live} />}
      {live && live.op > 0 && <Batches live={live} />}
    </>
  );
}
