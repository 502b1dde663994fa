// FIX sessions: who may log on, who is, and where the numbers stand.
import { useEffect } from "react";
import { useLoad } from "../../app/useLoad";
import { Empty } from "../../parts/Empty";
import { count } from "../../parts/format";
import { ErrorNote } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import * as api from "./api";
import type { Session } from "./api";

const EVERY_MS = 2000;

export function Sessions() {
  const loaded = useLoad(api.sessions, []);
  const reload = loaded.reload;
  useEffect(() => {
    const timer = setInterval(reload, EVERY_MS);
    return () => clearInterval(timer);
  }, [reload]);
  const columns: Column<Session>[] = [
    { title: "Session", className: "grow", cell: (one) => one.name },
    { title: "For", cell: (one) => one.app },
    { title: "Account", cell: (one) => one.account || "all" },
    {
      title: "State",
      cell: (one) => (
        <span className={`chip ${one.logged_on ? "good" : one.enabled ? "info" : "warn"}`}>{one.logged_on ? "logged on" : one.enabled ? "away" : "disabled"}</span>
      ),
    },
    { title: "From", className: "wide", cell: (one) => one.peer ?? "" },
    { title: "Next in", className: "right", cell: (one) => count(one.next_in ?? 1) },
    { title: "Next out", className: "right", cell: (one) => count(one.next_out ?? 1) },
    { title: "Cancels when gone for", className: "right wide", cell: (one) => one.cancel_on_disconnect },
    { title: "A second", className: "right wide", cell: (one) => (one.rate === 0 ? "any" : count(one.rate)) },
  ];
  const sessions = loaded.value?.sessions ?? [];
  return (
    <section className="card" aria-label="FIX sessions">
      <div className="card-head">
        <h2>FIX sessions</h2>
        <div className="aside">{sessions.length}</div>
      </div>
      <ErrorNote error={loaded.error} />
      {sessions.length > 0 && <Table caption="FIX sessions" columns={columns} rows={sessions} id={(one) => one.name} />}
      {loaded.value && sessions.length === 0 && <Empty title="There is no session yet" command="polis exchange session set BRK1 --account A7" />}
    </section>
  );
}
