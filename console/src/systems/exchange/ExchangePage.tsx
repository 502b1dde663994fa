// The exchange: the book of an instrument comes first, then what moves and who follows the bus; risk, FIX sessions and the past
// have pages of their own.
import { usePlace } from "../../app/router";
import { SystemFrame } from "../../parts/SystemFrame";
import { LookBack } from "./LookBack";
import { Overview } from "./Overview";
import { Risk } from "./Risk";
import { Sessions } from "./Sessions";
import "./exchange.css";

const TABS = [
  { path: "/exchange", title: "Overview" },
  { path: "/exchange/risk", title: "Risk" },
  { path: "/exchange/sessions", title: "FIX sessions" },
  { path: "/exchange/past", title: "Look back" },
];

function Tab({ path, query }: { path: string; query: URLSearchParams }) {
  switch (path) {
    case "/exchange/risk":
      return <Risk />;
    case "/exchange/sessions":
      return <Sessions />;
    case "/exchange/past":
      return <LookBack />;
    default:
      return <Overview wanted={query.get("symbol")} />;
  }
}

export default function ExchangePage() {
  const { path, query } = usePlace();
  return (
    <SystemFrame system="exchange" title="Exchange" what="A trading venue, deterministic" tabs={TABS}>
      <Tab path={path} query={query} />
    </SystemFrame>
  );
}
