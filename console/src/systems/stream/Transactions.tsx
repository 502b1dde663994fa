// Transactions that are open: what hangs longest comes first, because readers of committed records wait behind it.
import { useEffect, useState } from "react";
import { PlanDialog } from "../../parts/PlanDialog";
import { duration, plural } from "../../parts/format";
import { ErrorNote } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import * as api from "./api";
import type { GroupsSample, Transaction } from "./api";

export function Transactions({ groups }: { groups: GroupsSample | undefined }) {
  const [list, setList] = useState<Transaction[]>([]);
  const [error, setError] = useState<unknown>();
  const [aborting, setAborting] = useState<string>();
  const open = Object.keys(groups?.transactions ?? {}).sort();
  const key = open.join("\n");
  useEffect(() => {
    let current = true;
    const ask = () =>
      api.transactions().then(
        (answer) => current && (setList(answer.transactions), setError(undefined)),
        (reason) => current && setError(reason),
      );
    void ask();
    if (!key) return () => void (current = false);
    const timer = setInterval(ask, 2000);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [key]);
  const shown = list.filter((one) => open.includes(one.transactional_id)).sort((a, b) => a.started_ms - b.started_ms);
  const columns: Column<Transaction>[] = [
    { title: "Transactional id", className: "grow", cell: (one) => one.transactional_id },
    { title: "State", cell: (one) => <span className={`chip ${one.state === "Ongoing" ? "info" : "warn"}`}>{one.state}</span> },
    { title: "Open for", className: "right", cell: (one) => (one.started_ms > 0 ? duration(Math.max(0, (Date.now() - one.started_ms) / 1000)) : "–") },
    { title: "Ends by itself after", className: "right wide", cell: (one) => duration(one.timeout_ms / 1000) },
    { title: "Producer", className: "right wide", cell: (one) => `${one.producer_id}, epoch ${one.producer_epoch}` },
    { title: "Partitions", className: "wide", cell: (one) => one.partitions.map((at) => `${at.topic}-${at.partition}`).join(" ") },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (one) => (
        <button type="button" className="button small" disabled={one.state !== "Ongoing"} onClick={() => setAborting(one.transactional_id)}>
          Abort …
        </button>
      ),
    },
  ];
  return (
    <section className="card" aria-label="Open transactions">
      <div className="card-head">
        <h2>Open transactions</h2>
        <div className="aside">{open.length}</div>
      </div>
      <ErrorNote error={error} />
      {open.length === 0 && <p className="card-body soft">None. {groups && groups.transaction_count > 0 && `${plural(groups.transaction_count, "transactional id")} ${groups.transaction_count === 1 ? "is" : "are"} known.`}</p>}
      {shown.length > 0 && <Table caption="Open transactions" columns={columns} rows={shown} id={(one) => one.transactional_id} />}
      {aborting && (
        <PlanDialog
          draft={() => api.planTransactionAbort(aborting)}
          verb="Abort it"
          warning="What it has written will be seen by nobody who reads committed records. Its producer is told when it goes on."
          close={() => setAborting(undefined)}
        />
      )}
    </section>
  );
}
