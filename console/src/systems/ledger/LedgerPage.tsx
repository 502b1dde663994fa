// The ledger: whether the books balance comes first, then what moves, then accounts, flows, the chain and the contention lab.
import { usePlace } from "../../app/router";
import { SystemFrame } from "../../parts/SystemFrame";
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
  return (
    <SystemFrame system="ledger" title="Ledger" what="Double-entry books, hash-chained" tabs={TABS}>
      <Tab path={path} query={query} />
    </SystemFrame>
  );
}
