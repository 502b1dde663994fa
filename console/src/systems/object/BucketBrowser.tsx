// Folders and objects of a bucket below a prefix; upload by button or by dropping files, download, removal by plan.
import { useEffect, useRef, useState, type DragEvent } from "react";
import type { Plan } from "../../app/api";
import { Link, address } from "../../app/router";
import { usePages, type Page } from "../../app/usePages";
import { Empty } from "../../parts/Empty";
import { bytes, count } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { ErrorNote, Waiting } from "../../parts/Note";
import { PlanDialog } from "../../parts/PlanDialog";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import * as api from "./api";
import { useS3Endpoint } from "./endpoint";
import { Rename } from "./Rename";
import * as s3 from "./s3";
import { start, useUploads } from "./uploads";

type Entry = { kind: "folder"; prefix: string } | ({ kind: "object" } & s3.ObjectEntry);

async function entriesOf(bucket: string, prefix: string, from: string | undefined): Promise<Page<Entry, string>> {
  const page = await s3.list(bucket, prefix, from);
  const rows: Entry[] = [
    ...page.folders.map((folder) => ({ kind: "folder" as const, prefix: folder })),
    ...page.objects.map((object) => ({ kind: "object" as const, ...object })),
  ];
  return { rows, ...(page.next && { next: page.next }) };
}

export function BucketBrowser({ bucket, prefix }: { bucket: string; prefix: string }) {
  const { rows, error, more, reload } = usePages((from: string | undefined) => entriesOf(bucket, prefix, from), [bucket, prefix]);
  const endpoint = useS3Endpoint();
  const picker = useRef<HTMLInputElement>(null);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [plan, setPlan] = useState<() => Promise<Plan>>();
  const [kept, setKept] = useState<Error>();
  const [renaming, setRenaming] = useState<string>();
  const [over, setOver] = useState(false);
  useEffect(() => setChosen(new Set()), [bucket, prefix]);

  // A finished upload shows up by itself.
  const finished = useUploads().filter((one) => one.bucket === bucket && one.state === "done").length;
  const seen = useRef(finished);
  useEffect(() => {
    if (finished !== seen.current) reload();
    seen.current = finished;
  }, [finished]);

  const send = (files: FileList | null): void => {
    for (const file of files ?? []) start(bucket, prefix + file.name, file);
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    send(event.dataTransfer.files);
  };
  const toggle = (key: string): void => {
    const next = new Set(chosen);
    if (!next.delete(key)) next.add(key);
    setChosen(next);
  };

  const columns: Column<Entry>[] = [
    {
      title: "Choose",
      hideTitle: true,
      cell: (entry) =>
        entry.kind === "object" && (
          <input type="checkbox" aria-label={`Choose ${entry.key}`} checked={chosen.has(entry.key)} onChange={() => toggle(entry.key)} />
        ),
    },
    {
      title: "Name",
      className: "grow",
      cell: (entry) =>
        entry.kind === "folder" ? (
          <span className="key-cell">
            <Icon name="folder" />
            <Link to={address("/object/buckets", { bucket, prefix: entry.prefix })}>{entry.prefix.slice(prefix.length)}</Link>
          </span>
        ) : (
          <span className="key-cell">
            <Icon name="file" />
            <Link to={address("/object/buckets", { bucket, key: entry.key })}>{entry.key.slice(prefix.length) || entry.key}</Link>
          </span>
        ),
    },
    {
      title: "Size",
      className: "right",
      cell: (entry) => (entry.kind === "object" ? <span title={`${count(entry.size)} bytes`}>{bytes(entry.size)}</span> : ""),
    },
    { title: "Changed", className: "wide", cell: (entry) => entry.kind === "object" && <Time at={entry.modifiedAt} /> },
    {
      title: "ETag",
      className: "wide",
      cell: (entry) =>
        entry.kind === "object" && (
          <span className="mono soft" title={entry.etag}>
            {entry.etag.slice(0, 8)}…{entry.etag.includes("-") ? entry.etag.slice(entry.etag.indexOf("-")) : ""}
          </span>
        ),
    },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (entry) => {
        const name = entry.kind === "object" ? entry.key : entry.prefix;
        const what = entry.kind === "object" ? { keys: [entry.key] } : { prefix: entry.prefix };
        return (
          <>
            {entry.kind === "object" && (
              <a className="button quiet small icon wide" href={s3.urlOf(bucket, entry.key)} download aria-label={`Download ${name}`}>
                <Icon name="download" size={14} />
              </a>
            )}
            <button type="button" className="button quiet small icon" aria-label={`Rename ${name}`} onClick={() => setRenaming(name)}>
              <Icon name="rename" size={14} />
            </button>
            <button
              type="button"
              className="button quiet small icon"
              aria-label={`Remove ${name}`}
              onClick={() => setPlan(() => () => api.planRemoveObjects(bucket, what))}
            >
              <Icon name="trash" size={14} />
            </button>
          </>
        );
      },
    },
  ];

  return (
    <section
      className={`card drop${over ? " over" : ""}`}
      aria-label={`Bucket ${bucket}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <div className="card-head">
        <h2>{prefix ? prefix.slice(prefix.lastIndexOf("/", prefix.length - 2) + 1) : "Objects"}</h2>
        <div className="aside">
          {chosen.size > 0 && (
            <button
              type="button"
              className="button"
              onClick={() => setPlan(() => () => api.planRemoveObjects(bucket, { keys: [...chosen] }))}
            >
              <Icon name="trash" /> Remove {count(chosen.size)} …
            </button>
          )}
          <button type="button" className="button quiet icon" onClick={reload} aria-label="Read the list again" title="Read the list again">
            <Icon name="repair" />
          </button>
          <input
            ref={picker}
            type="file"
            multiple
            hidden
            aria-label="Files to upload"
            onChange={(event) => {
              send(event.target.files);
              event.target.value = "";
            }}
          />
          <button type="button" className="button primary" onClick={() => picker.current?.click()}>
            <Icon name="upload" /> Upload
          </button>
        </div>
      </div>
      <ErrorNote error={error} retry={reload} />
      <ErrorNote error={kept} />
      {!rows && !error && <Waiting />}
      {rows?.length === 0 && (
        <Empty title="Nothing here yet" command={`aws --endpoint-url ${endpoint} s3 cp FILE s3://${bucket}/${prefix}`}>
          <p>Drop files here, choose them with Upload, or copy them with any S3 client:</p>
        </Empty>
      )}
      {rows && rows.length > 0 && (
        <Table
          caption={`Objects of ${bucket}/${prefix}`}
          columns={columns}
          rows={rows}
          id={(entry) => (entry.kind === "folder" ? entry.prefix : entry.key)}
        />
      )}
      {more && (
        <div className="card-body">
          <button type="button" className="button" onClick={more}>
            Show more
          </button>
        </div>
      )}
      {renaming !== undefined && <Rename bucket={bucket} from={renaming} close={() => setRenaming(undefined)} done={reload} />}
      {plan && (
        <PlanDialog
          draft={plan}
          verb="Remove"
          close={() => setPlan(undefined)}
          done={(answer) => {
            setKept(api.keptBy(answer));
            setChosen(new Set());
            reload();
          }}
        />
      )}
    </section>
  );
}
