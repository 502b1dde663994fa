// The object store: health and healing first, then its buckets, its requests, its durability.
import { SystemFrame } from "../../parts/SystemFrame";
import { usePlace } from "../../app/router";
import { Buckets } from "./Buckets";
import { BucketPage } from "./BucketPage";
import { DurabilityPlot } from "./DurabilityPlot";
import { Overview } from "./Overview";
import { Lesson } from "./Lesson";
import { Requests } from "./Requests";
import { Uploads } from "./Uploads";
import "./object.css";

const TABS = [
  { path: "/object", title: "Overview" },
  { path: "/object/buckets", title: "Buckets" },
  { path: "/object/requests", title: "Requests" },
  { path: "/object/durability", title: "Durability" },
  { path: "/object/lesson", title: "How coding works" },
];

function Tab({ path, query }: { path: string; query: URLSearchParams }) {
  const bucket = query.get("bucket");
  switch (path) {
    case "/object/buckets":
      return bucket ? <BucketPage key={bucket} bucket={bucket} query={query} /> : <Buckets />;
    case "/object/requests":
      return <Requests />;
    case "/object/durability":
      return <DurabilityPlot />;
    case "/object/lesson":
      return <Lesson />;
    default:
      return <Overview />;
  }
}

export default function ObjectPage() {
  const { path, query } = usePlace();
  return (
    <SystemFrame system="object" title="Object store" what="S3 over HTTP, erasure-coded" tabs={TABS}>
      <Tab path={path} query={query} />
      <Uploads />
    </SystemFrame>
  );
}
