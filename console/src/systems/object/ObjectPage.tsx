// The object store: health and healing first, then its buckets, its requests, its durability.
import { HealthChip } from "../../parts/HealthChip";
import { useTopic } from "../../parts/live";
import { Note } from "../../parts/Note";
import type { HomeSample } from "../../app/api";
import { Link, usePlace } from "../../app/router";
import { Buckets } from "./Buckets";
import { BucketBrowser } from "./BucketBrowser";
import { DurabilityPlot } from "./DurabilityPlot";
import { Overview } from "./Overview";
import { Requests } from "./Requests";
import { Uploads } from "./Uploads";
import "./object.css";

const TABS = [
  { path: "/object", title: "Overview" },
  { path: "/object/buckets", title: "Buckets" },
  { path: "/object/requests", title: "Requests" },
  { path: "/object/durability", title: "Durability" },
];

function Tab({ path, query }: { path: string; query: URLSearchParams }) {
  const bucket = query.get("bucket");
  switch (path) {
    case "/object/buckets":
      return bucket ? <BucketBrowser key={bucket} bucket={bucket} prefix={query.get("prefix") ?? ""} /> : <Buckets />;
    case "/object/requests":
      return <Requests />;
    case "/object/durability":
      return <DurabilityPlot />;
    default:
      return <Overview />;
  }
}

export default function ObjectPage() {
  const { path, query } = usePlace();
  const health = useTopic<HomeSample>("polis.home").value?.systems["object"];
  return (
    <>
      <div className="page-head">
        <h1>Object store</h1>
        <HealthChip state={health?.state} />
        <p>S3 over HTTP, erasure-coded</p>
      </div>
      {health?.message && <Note kind={health.state === "failed" ? "bad" : "warn"}>{health.message}</Note>}
      <nav className="tabs" aria-label="Object store">
        {TABS.map((tab) => (
          <Link key={tab.path} to={tab.path} aria-current={path === tab.path ? "page" : undefined}>
            {tab.title}
          </Link>
        ))}
      </nav>
      <Tab path={path} query={query} />
      <Uploads />
    </>
  );
}
