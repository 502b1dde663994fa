// One key: its versions over time, what one version is, and what can be done with it.
import { useEffect, useState, type FormEvent } from "react";
import type { Plan } from "../../app/api";
import { address, navigate } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { Command } from "../../parts/Command";
import { Dialog } from "../../parts/Dialog";
import { Empty } from "../../parts/Empty";
import { FigureList, type Figure } from "../../parts/Figures";
import { bytes, count } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { ErrorNote, Note, Waiting } from "../../parts/Note";
import { PlanDialog } from "../../parts/PlanDialog";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import * as api from "./api";
import { useS3Endpoint } from "./endpoint";
import { Rename } from "./Rename";
import * as s3 from "./s3";
import { writeLegalHold, writeRetention } from "./settings";
import type { Scale } from "./timeline";
import { details, restore, versionsOf, type Version } from "./versions";
import { ScaleSwitch, VersionTimeline } from "./VersionTimeline";

function Share({ bucket, objectKey, close }: { bucket: string; objectKey: string; close: () => void }) {
  const endpoint = useS3Endpoint();
  const [hours, setHours] = useState("1");
  const [url, setUrl] = useState<string>();
  const [error, setError] = useState<unknown>();
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setError(undefined);
    try {
      setUrl((await api.presign({ bucket, key: objectKey, method: "GET", expires_s: Math.round(Number(hours) * 3600), endpoint: new URL(endpoint).host })).url);
    } catch (reason) {
      setError(reason);
    }
  };
  return (
    <Dialog
      title={`A link to ${objectKey}`}
      close={close}
      foot={
        <button type="button" className="button" onClick={close}>
          Close
        </button>
      }
    >
      <p>Whoever has the link reads this object, without a key of their own, until it runs out. It is signed with your access key.</p>
      <ErrorNote error={error} />
      <form onSubmit={submit} className="inline-form">
        <label className="field">
          Hours that it holds
          <input className="input" inputMode="decimal" required value={hours} onChange={(event) => setHours(event.target.value)} />
        </label>
        <button type="submit" className="button primary">
          Make the link
        </button>
      </form>
      {url && <Command text={url} label="link" />}
    </Dialog>
  );
}

// Until when it may not be deleted, and whether a legal hold keeps it besides.
function LockForm({ bucket, version, now, done }: { bucket: string; version: Version; now: { mode: string; until: string; hold: boolean }; done: () => void }) {
  const [mode, setMode] = useState(now.mode || "GOVERNANCE");
  const [until, setUntil] = useState(now.until.slice(0, 10));
  const [error, setError] = useState<unknown>();
  const act = async (work: () => Promise<void>): Promise<void> => {
    setError(undefined);
    try {
      await work();
      done();
    } catch (reason) {
      setError(reason);
    }
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void act(() => writeRetention(bucket, version.key, version.id, mode, `${until}T00:00:00Z`));
  };
  return (
    <div className="lock-form">
      <ErrorNote error={error} />
      <form onSubmit={submit} className="inline-form">
        <label className="field">
          Retention
          <select className="input" value={mode} onChange={(event) => setMode(event.target.value)}>
            <option value="GOVERNANCE">Governance: whoever may bypass it can still delete</option>
            <option value="COMPLIANCE">Compliance: nobody can, until then</option>
          </select>
        </label>
        <label className="field">
          Until the start of (UTC)
          <input className="input" type="date" required value={until} onChange={(event) => setUntil(event.target.value)} />
        </label>
        <button type="submit" className="button">
          Keep until then
        </button>
        <button type="button" className="button" onClick={() => void act(() => writeLegalHold(bucket, version.key, version.id, !now.hold))}>
          {now.hold ? "End the legal hold" : "Put on legal hold"}
        </button>
      </form>
      {mode === "COMPLIANCE" && <Note kind="warn">Nobody, not even root, can shorten or end this before its day.</Note>}
    </div>
  );
}

function Details({ bucket, version, reload }: { bucket: string; version: Version; reload: () => void }) {
  const [locking, setLocking] = useState(false);
  const loaded = useLoad(() => details(bucket, version.key, version.id), [bucket, version.key, version.id]);
  const one = loaded.value;
  const figures: Figure[] = [
    { name: "Size", value: bytes(version.size), hint: `${count(version.size)} bytes` },
    { name: "Made", value: <Time at={version.modifiedAt} /> },
  ];
  if (one) {
    figures.push(
      { name: "Storage class", value: one.storageClass },
      { name: "Parts", value: one.parts || "1" },
      { name: "Encryption", value: one.encryption ? "on" : "none" },
      {
        name: "Retention",
        value: one.retention ? <Time at={one.retention.until} /> : "none",
        more: one.retention?.mode.toLowerCase(),
      },
      { name: "Legal hold", value: one.legalHold ? "on" : "off" },
    );
  }
  const lines: [string, string][] = [["ETag", version.etag]];
  if (one?.contentType) lines.push(["Content-Type", one.contentType]);
  if (one?.encryption) lines.push(["Encryption", one.encryption]);
  if (one?.checksum) lines.push(["Checksum", one.checksum]);
  if (one?.expires) lines.push(["Lifecycle", one.expires]);
  for (const [name, value] of one?.metadata ?? []) lines.push([`x-amz-meta-${name}`, value]);
  for (const [name, value] of one?.tags ?? []) lines.push([`tag ${name}`, value]);
  return (
    <section className="card" aria-label="One version">
      <div className="card-head">
        <h2>{version.latest ? "The newest version" : "An older version"}</h2>
        <span className="soft mono">{version.id}</span>
        <div className="aside">
          <button type="button" className="button small" aria-pressed={locking} onClick={() => setLocking(!locking)}>
            Retention …
          </button>
          <a className="button small" href={s3.urlOf(bucket, version.key, { versionId: version.id })} download>
            <Icon name="download" size={14} /> Download
          </a>
        </div>
      </div>
      <ErrorNote error={loaded.error} />
      <div className="card-body object-details">
        <FigureList figures={figures} />
        <dl className="named-lines">
          {lines.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd className="mono">{value}</dd>
            </div>
          ))}
        </dl>
        {locking && one && (
          <LockForm
            key={`${version.id} ${one.retention?.until} ${one.legalHold}`}
            bucket={bucket}
            version={version}
            now={{ mode: one.retention?.mode ?? "", until: one.retention?.until ?? "", hold: one.legalHold }}
            done={() => {
              loaded.reload();
              reload();
            }}
          />
        )}
      </div>
    </section>
  );
}

export function ObjectView({ bucket, objectKey }: { bucket: string; objectKey: string }) {
  const loaded = useLoad(() => versionsOf(bucket, objectKey), [bucket, objectKey]);
  const [scale, setScale] = useState<Scale>("time");
  const [chosen, setChosen] = useState<string>();
  const [plan, setPlan] = useState<() => Promise<Plan>>();
  const [sharing, setSharing] = useState(false);
  const [renaming, setRenaming] = useState(false);
  const [error, setError] = useState<unknown>();
  const versions = loaded.value?.versions ?? [];
  const shown = versions.find((one) => one.id === chosen) ?? versions[0];
  useEffect(() => setChosen(undefined), [bucket, objectKey]);
  const bringBack = (version: Version): void => {
    setError(undefined);
    restore(bucket, version).then(() => {
      setChosen(undefined);
      loaded.reload();
    }, setError);
  };
  const columns: Column<Version>[] = [
    {
      title: "Version",
      className: "grow",
      cell: (one) => (
        <button type="button" className="plain-button mono" aria-pressed={one.id === shown?.id} onClick={() => setChosen(one.id)}>
          {one.id}
        </button>
      ),
    },
    {
      title: "What",
      cell: (one) => (
        <span className={`chip ${one.deleteMarker ? "warn" : one.latest ? "good" : ""}`}>
          {one.deleteMarker ? "× delete marker" : one.latest ? "✓ newest" : "older"}
        </span>
      ),
    },
    { title: "Size", className: "right wide", cell: (one) => (one.deleteMarker ? "–" : bytes(one.size)) },
    { title: "Class", className: "wide", cell: (one) => one.storageClass || "–" },
    { title: "Made", className: "wide", cell: (one) => <Time at={one.modifiedAt} /> },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (one) => (
        <>
          {!one.deleteMarker && !one.latest && (
            <button type="button" className="button small" onClick={() => bringBack(one)} title="Copies this version; the copy is the newest">
              Bring back
            </button>
          )}
          <button
            type="button"
            className="button quiet small icon"
            aria-label={`Remove version ${one.id}`}
            onClick={() => setPlan(() => () => api.planRemoveVersions(bucket, objectKey, [one.id]))}
          >
            <Icon name="trash" size={14} />
          </button>
        </>
      ),
    },
  ];
  return (
    <>
      <section className="card" aria-label="Versions over time">
        <div className="card-head">
          <h2 className="object-key">{objectKey}</h2>
          <span className="soft">
            {count(versions.length)}
            {loaded.value?.more ? " and more" : ""} {versions.length === 1 ? "version" : "versions"}
          </span>
          <div className="aside">
            {versions.length > 1 && <ScaleSwitch scale={scale} set={setScale} />}
            {versions[0] && !versions[0].deleteMarker && (
              <>
                <button type="button" className="button small" onClick={() => setRenaming(true)}>
                  <Icon name="rename" size={14} /> Rename …
                </button>
                <button type="button" className="button small" onClick={() => setSharing(true)}>
                  <Icon name="key" size={14} /> Link …
                </button>
              </>
            )}
          </div>
        </div>
        <ErrorNote error={loaded.error ?? error} retry={loaded.reload} />
        {!loaded.value && loaded.loading && <Waiting />}
        {loaded.value && versions.length === 0 && (
          <Empty title="There is no such object">
            <p>It may have been removed for good.</p>
          </Empty>
        )}
        {versions.length > 0 && (
          <div className="card-body">
            <VersionTimeline versions={versions} scale={scale} chosen={shown?.id} choose={(one) => setChosen(one.id)} />
          </div>
        )}
      </section>
      {shown && !shown.deleteMarker && <Details bucket={bucket} version={shown} reload={loaded.reload} />}
      {shown?.deleteMarker && (
        <Note kind="info">
          This is a delete marker: a GET answers 404, the versions below it are kept. Remove the marker, or bring a version back, and the object is there again.
        </Note>
      )}
      {versions.length > 0 && (
        <section className="card" aria-label="Versions">
          <div className="card-head">
            <h2>Versions</h2>
            <span className="soft">the newest first</span>
          </div>
          <Table caption={`Versions of ${objectKey}`} columns={columns} rows={versions} id={(one) => one.id} />
        </section>
      )}
      {renaming && (
        <Rename bucket={bucket} from={objectKey} close={() => setRenaming(false)} done={(to) => navigate(address("/object/buckets", { bucket, key: to }))} />
      )}
      {sharing && <Share bucket={bucket} objectKey={objectKey} close={() => setSharing(false)} />}
      {plan && (
        <PlanDialog
          draft={plan}
          verb="Remove for good"
          close={() => setPlan(undefined)}
          done={(answer) => {
            const kept = api.keptBy(answer);
            setError(kept);
            setChosen(undefined);
            if (versions.length === 1 && !kept) navigate(address("/object/buckets", { bucket }));
            else loaded.reload();
          }}
        />
      )}
    </>
  );
}
