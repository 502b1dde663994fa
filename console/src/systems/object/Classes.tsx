// Bytes by storage class, over all buckets and a bucket at a time.
import { Link, address } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { bytes, percent, plural } from "../../parts/format";
import { ErrorNote } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import * as api from "./api";
import type { BucketUsage, ClassUsage } from "./api";

// By which code each lies on the drives.
const WORDS: Record<string, string> = {
  STANDARD: "4+2, the pool's own code",
  REDUCED_REDUNDANCY: "2+1: one drive may go",
  STANDARD_IA: "as STANDARD",
  ONEZONE_IA: "as STANDARD",
  INTELLIGENT_TIERING: "as STANDARD",
  GLACIER_IR: "as STANDARD",
  GLACIER: "8+3: three drives may go",
  DEEP_ARCHIVE: "8+3: three drives may go",
};

export function totalsOf(buckets: readonly BucketUsage[]): [string, ClassUsage][] {
  const totals: Record<string, ClassUsage> = {};
  for (const bucket of buckets)
    for (const [name, held] of Object.entries(bucket.classes)) {
      const sum = totals[name] ?? { versions: 0, size_bytes: 0 };
      totals[name] = { versions: sum.versions + held.versions, size_bytes: sum.size_bytes + held.size_bytes };
    }
  return Object.entries(totals).sort(([, a], [, b]) => b.size_bytes - a.size_bytes);
}

function Bar({ classes, label }: { classes: [string, ClassUsage][]; label: string }) {
  const total = classes.reduce((sum, [, held]) => sum + held.size_bytes, 0);
  if (total === 0) return null;
  return (
    <div className="class-bar" role="img" aria-label={`${label}: ${classes.map(([name, held]) => `${name} ${bytes(held.size_bytes)}`).join(", ")}`}>
      {classes.map(
        ([name, held], at) =>
          held.size_bytes > 0 && (
            <div key={name} className={`s${(at % 4) + 1}`} style={{ flexGrow: held.size_bytes / total }} title={`${name}, ${bytes(held.size_bytes)}`}>
              <span>{held.size_bytes / total > 0.15 ? name : ""}</span>
            </div>
          ),
      )}
    </div>
  );
}

export function Classes() {
  const loaded = useLoad(api.buckets, []);
  const buckets = loaded.value?.buckets ?? [];
  const totals = totalsOf(buckets);
  const total = totals.reduce((sum, [, held]) => sum + held.size_bytes, 0);
  const biggest = [...buckets].sort((a, b) => b.size_bytes - a.size_bytes).slice(0, 5);
  const columns: Column<[string, ClassUsage]>[] = [
    {
      title: "Class",
      cell: ([name]) => (
        <span className="class-name">
          <span className={`class-mark s${(totals.findIndex(([one]) => one === name) % 4) + 1}`} aria-hidden="true" /> {name}
        </span>
      ),
    },
    { title: "How it lies", className: "grow wide", cell: ([name]) => <span className="soft">{WORDS[name] ?? ""}</span> },
    { title: "Versions", className: "right", cell: ([, held]) => plural(held.versions, "version") },
    { title: "Size", className: "right", cell: ([, held]) => bytes(held.size_bytes) },
    { title: "Share", className: "right", cell: ([, held]) => (total > 0 ? percent(held.size_bytes / total) : "–") },
  ];
  return (
    <section className="card" aria-label="Bytes by class" data-testid="classes">
      <div className="card-head">
        <h2>Bytes by storage class</h2>
        <span className="soft">as clients sent them, all versions</span>
      </div>
      <ErrorNote error={loaded.error} retry={loaded.reload} />
      {loaded.value && totals.length === 0 && <p className="card-body soft">No object is stored yet.</p>}
      {totals.length > 0 && (
        <>
          <div className="card-body">
            <Bar classes={totals} label="All buckets" />
          </div>
          <Table caption="Bytes by class" columns={columns} rows={totals} id={([name]) => name} />
          {totals.length > 1 && (
            <div className="card-body class-buckets" aria-label="The largest buckets" role="group">
              {biggest.map((bucket) => (
                <div key={bucket.name}>
                  <Link to={address("/object/buckets", { bucket: bucket.name })}>{bucket.name}</Link>
                  <Bar
                    classes={totals.map(([name]) => [name, bucket.classes[name] ?? { versions: 0, size_bytes: 0 }])}
                    label={bucket.name}
                  />
                  <span className="number soft">{bytes(bucket.size_bytes)}</span>
                </div>
              ))}
            </div>
          )}
        </>
      )}
    </section>
  );
}
