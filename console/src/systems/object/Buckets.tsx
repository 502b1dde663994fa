// Every bucket with what it holds; making and removing them.
import { useState } from "react";
import { Link, address, navigate } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { Empty } from "../../parts/Empty";
import { FormDialog } from "../../parts/FormDialog";
import { bytes, count, percent } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { ErrorNote, Waiting } from "../../parts/Note";
import { PlanDialog } from "../../parts/PlanDialog";
import { ProgressBar } from "../../parts/ProgressBar";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import * as api from "./api";
import type { BucketUsage } from "./api";
import { useS3Endpoint } from "./endpoint";
import * as s3 from "./s3";

export function MakeBucket({ close, made }: { close: () => void; made: (bucket: string) => void }) {
  const [name, setName] = useState("");
  const [lock, setLock] = useState(false);
  const act = async (): Promise<void> => {
    await s3.makeBucket(name, lock);
    close();
    made(name);
  };
  return (
    <FormDialog title="Make a bucket" verb="Make bucket" close={close} act={act}>
      <label className="field">
        Name
        <input
          className="input"
          name="bucket"
          autoFocus
          required
          minLength={3}
          maxLength={63}
          pattern="[a-z0-9][a-z0-9.\-]+[a-z0-9]"
          autoComplete="off"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <span className="hint">3 to 63 of a–z, 0–9, dot and hyphen; unique among all users.</span>
      </label>
      <label>
        <input type="checkbox" checked={lock} onChange={(event) => setLock(event.target.checked)} /> With object lock, and so with versions, for good
      </label>
    </FormDialog>
  );
}

// What is set for a bucket besides versioning, in words.
function settingsOf(one: BucketUsage): string[] {
  const words: string[] = [];
  if (one.encryption !== "none") words.push(one.encryption);
  if (one.object_lock) words.push("object lock");
  if (one.lifecycle_rules > 0) words.push("lifecycle");
  if (one.has_policy) words.push("policy");
  if (one.public_access_blocked) words.push("no public access");
  return words;
}

export function Buckets() {
  const loaded = useLoad(api.buckets, []);
  const endpoint = useS3Endpoint();
  const [making, setMaking] = useState(false);
  const [removing, setRemoving] = useState<string>();
  const rows = [...(loaded.value?.buckets ?? [])].sort((a, b) => b.size_bytes - a.size_bytes || a.name.localeCompare(b.name));
  const total = rows.reduce((sum, one) => sum + one.size_bytes, 0);
  const columns: Column<BucketUsage>[] = [
    {
      title: "Bucket",
      className: "grow",
      cell: (one) => <Link to={address("/object/buckets", { bucket: one.name })}>{one.name}</Link>,
    },
    { title: "Objects", className: "right", cell: (one) => count(one.objects) },
    { title: "Size", className: "right", cell: (one) => bytes(one.size_bytes) },
    {
      title: "Share",
      className: "wide",
      cell: (one) => (
        <div style={{ width: 110 }} title={total > 0 ? percent(one.size_bytes / total) : undefined}>
          <ProgressBar done={one.size_bytes} total={total} label={`Share of ${one.name}`} />
        </div>
      ),
    },
    { title: "Versioning", className: "wide", cell: (one) => one.versioning },
    { title: "Set", className: "wide", cell: (one) => settingsOf(one).join(", ") || "–" },
    { title: "Made", className: "wide", cell: (one) => <Time at={one.created_at} /> },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (one) => (
        <button type="button" className="button quiet small icon" aria-label={`Remove bucket ${one.name}`} onClick={() => setRemoving(one.name)}>
          <Icon name="trash" size={14} />
        </button>
      ),
    },
  ];
  return (
    <section className="card" aria-label="Buckets">
      <div className="card-head">
        <h2>Buckets</h2>
        <span className="soft">
          {count(rows.length)} with {bytes(total)}
        </span>
        <div className="aside">
          <button type="button" className="button primary" onClick={() => setMaking(true)}>
            <Icon name="plus" /> Make a bucket
          </button>
        </div>
      </div>
      <ErrorNote error={loaded.error} retry={loaded.reload} />
      {!loaded.value && loaded.loading && <Waiting />}
      {loaded.value && rows.length === 0 && (
        <Empty title="No bucket yet" command={`aws --endpoint-url ${endpoint} s3 mb s3://photos`}>
          <p>Make one here, or with any S3 client:</p>
        </Empty>
      )}
      {rows.length > 0 && <Table caption="Buckets" columns={columns} rows={rows} id={(one) => one.name} />}
      {making && <MakeBucket close={() => setMaking(false)} made={(bucket) => navigate(address("/object/buckets", { bucket }))} />}
      {removing && (
        <PlanDialog
          draft={() => api.planRemoveBucket(removing)}
          verb="Remove bucket and contents"
          close={() => setRemoving(undefined)}
          done={loaded.reload}
        />
      )}
    </section>
  );
}
