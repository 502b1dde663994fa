// The ledger: whether the books balance comes first, then what moves, then accounts, flows, the chain and the contention lab.
import type { HomeSample } from "../../app/api";
import { Link, usePlace } from "../../app/router";
import { HealthChip } from "../../parts/HealthChip";
import { useTopic } from "../../parts/live";
import { Note } from "../../parts/Note";
import { Accounts } from "./Accounts";
import { AccountPage } from "./AccountPage";
import { ChainPage } from "./ChainPage";
import { Contention } from "./Contention";
import { FlowsPage } from "./FlowsPage";
import { Overview } from "./Overview";
import "./ledger.css";

const TABS = [
  { path: "/ledger", title: "Overview" },
  { path: "/ledger/accounts", title: "Accounts" },
  { path: "/ledger/flows", title: "Flows" },
  { path: "/ledger/chain", title: "Chain" },
  { path: "/ledger/contention", title: "Contention lab" },
];

function Tab({ path, query }: { path: string; query: URLSearchParams }) {
  const id = query.get("id");
  switch (path) {
    case "/ledger/accounts":
      return id ? <AccountPage key={id} id={id} /> : <Accounts />;
    case "/ledger/flows":
      return <FlowsPage />;
    case "/ledger/chain":
      return <ChainPage transfer={query.get("transfer") ?? ""} />;
    case "/ledger/contention":
      return <Contention />;
    default:
      return <Overview />;
  }
}

export default function LedgerPage() {
  const { path, query } = usePlace();
  const health = useTopic<HomeSample>("polis.home").value?.systems["ledger"];
  return (
    <>
      <div className="page-head">
        <h1>Ledger</h1>
        <HealthChip state={health?.state} />
        <p>Double-entry books, hash-chained</p>
      </div>
      {health?.message && <Note kind={health.state === "failed" ? "bad" : "warn"}>{health.message}</Note>}
      <nav className="tabs" aria-label="Ledger">
        {TABS.map((tab) => (
          <Link key={tab.path} to={tab.path} aria-current={path === tab.path ? "page" : undefined}>
            {tab.title}
          </Link>
        ))}
      </nav>
      <Tab path={path} query={query} />
    </>
  );
}
