// The tail of the access log: who asked for what, how it ended, how long it took. The newest first; held while the pointer rests on it.
import { useRef, useState } from "react";
import { Link, address } from "../../app/router";
import { Empty } from "../../parts/Empty";
import { bytes, duration } from "../../parts/format";
import { useTopic } from "../../parts/live";
import { ErrorNote, Waiting } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import type { AccessLine, AccessSample } from "./api";

type Entry = AccessLine & { id: string };

const kindOf = (status: number): string => (status >= 500 ? "bad" : status >= 400 ? "warn" : "good");
const GLYPHS: Record<string, string> = { good: "✓", warn: "!", bad: "✕" };

// Names of errors are long words: they may break before a capital.
const breakable = (name: string): string => name.replace(/([a-z])([A-Z])/g, "$1\u200b$2");

const COLUMNS: Column<Entry>[] = [
  { title: "When", className: "wide", cell: (one) => <Time at={one.at} /> },
  {
    title: "Answer",
    cell: (one) => (
      <>
        <span className={`chip ${kindOf(one.status)}`}>
          <span aria-hidden="true">{GLYPHS[kindOf(one.status)]}</span> {one.status}
        </span>{" "}
        <span className="soft access-error">{breakable(one.error)}</span>
      </>
    ),
  },
  { title: "Operation", cell: (one) => one.operation || one.method },
  {
    title: "On",
    className: "grow",
    cell: (one) =>
      one.bucket ? (
        <Link to={address("/object/buckets", { bucket: one.bucket, key: one.key })}>
          {one.bucket}
          {one.key && `/${one.key}`}
        </Link>
      ) : (
        "–"
      ),
  },
  { title: "Who", className: "wide", cell: (one) => <span title={one.address || "the socket of this machine"}>{one.user || "anonymous"}</span> },
  { title: "In", className: "right wide", cell: (one) => (one.received_bytes > 0 ? bytes(one.received_bytes) : "–") },
  { title: "Out", className: "right wide", cell: (one) => (one.sent_bytes > 0 ? bytes(one.sent_bytes) : "–") },
  { title: "Took", className: "right", cell: (one) => duration(one.took_ms / 1000) },
];

export function AccessTail() {
  const topic = useTopic<AccessSample>("object.access");
  const [held, setHeld] = useState(false);
  const [failed, setFailed] = useState(false);
  const kept = useRef<Entry[]>([]);
  if (topic.value && !held)
    kept.current = Object.entries(topic.value.requests)
      .map(([id, line]) => ({ id, ...line }))
      .sort((a, b) => b.at.localeCompare(a.at));
  const shown = failed ? kept.current.filter((one) => one.status >= 400) : kept.current;
  return (
    <section className="card" aria-label="Access tail" onPointerEnter={() => setHeld(true)} onPointerLeave={() => setHeld(false)}>
      <div className="card-head">
        <h2>Latest requests</h2>
        <span className="soft">{held ? "held while you look" : "live; nothing of it is stored"}</span>
        <div className="aside">
          <label>
            <input type="checkbox" checked={failed} onChange={(event) => setFailed(event.target.checked)} /> Refused and failed only
          </label>
        </div>
      </div>
      <ErrorNote error={topic.error} />
      {!topic.value && !topic.error && <Waiting what="Waiting for the latest requests" />}
      {topic.value && shown.length === 0 && (
        <Empty title={failed ? "None was refused" : "No request since polis was started"}>
          <p>{failed ? "Every one of the latest requests was answered well." : "Use any S3 client, or this console, and it shows up here."}</p>
        </Empty>
      )}
      {shown.length > 0 && (
        <div className="access-tail">
          <Table caption="Latest requests" columns={COLUMNS} rows={shown} id={(one) => one.id} />
        </div>
      )}
    </section>
  );
}
