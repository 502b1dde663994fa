// Where the time of a PUT goes: who asks, may they, the bytes made durable, and at last the name. Bytes first, name last.
import { useState } from "react";
import { Empty } from "../../parts/Empty";
import { bytes, bytesPerSecond, duration, percent } from "../../parts/format";
import { useTopic } from "../../parts/live";
import { ErrorNote, Waiting } from "../../parts/Note";
import { Time } from "../../parts/Time";
import { AccessTail } from "./AccessTail";
import type { PutTimes, PutsSample } from "./api";
import { useS3Endpoint } from "./endpoint";

function stepsOf(put: PutTimes): { name: string; why: string; ms: number }[] {
  return [
    { name: "Authenticate", why: "the signature or session says who asks", ms: put.authenticate_ms },
    { name: "Authorize", why: "policies of user and bucket", ms: put.authorize_ms },
    { name: "Data", why: "received, hashed, coded 4+2, synced on the drives", ms: put.bytes_ms },
    { name: "Metadata", why: "the name, in one durable transaction", ms: put.metadata_ms },
  ];
}

function Waterfall({ put }: { put: PutTimes }) {
  const steps = stepsOf(put);
  const total = Math.max(
    put.total_ms,
    steps.reduce((sum, step) => sum + step.ms, 0),
    0.001,
  );
  let begin = 0;
  return (
    <div className="waterfall" data-testid="waterfall">
      {steps.map((step, index) => {
        const left = begin / total;
        begin += step.ms;
        return [
          <div key={`${step.name} name`} title={step.why}>
            {step.name}
          </div>,
          <div key={`${step.name} bar`} className="track" title={`${step.why}: ${percent(step.ms / total)}`}>
            <div
              className={`span s${index + 1}`}
              style={{ left: `${left * 100}%`, width: `${(step.ms / total) * 100}%` }}
            />
          </div>,
          <div key={`${step.name} took`} className="took number">
            {duration(step.ms / 1000)}
          </div>,
        ];
      })}
      <b>Total</b>
      <span className="soft">
        {bytes(put.size_bytes)}
        {put.size_bytes > 0 && `, ${bytesPerSecond(put.size_bytes / (total / 1000))}`}
      </span>
      <b className="took number">{duration(total / 1000)}</b>
    </div>
  );
}

function Puts() {
  const topic = useTopic<PutsSample>("object.puts");
  const endpoint = useS3Endpoint();
  const [chosen, setChosen] = useState<string>();
  if (topic.error) return <ErrorNote error={topic.error} />;
  if (!topic.value) return <Waiting what="Waiting for the latest requests" />;
  const puts = Object.entries(topic.value.puts).sort(([, a], [, b]) => b.at.localeCompare(a.at));
  const shown = puts.find(([id]) => id === chosen) ?? puts[0];
  if (!shown)
    return (
      <section className="card">
        <Empty title="No PUT since polis was started" command={`aws --endpoint-url ${endpoint} s3 cp FILE s3://BUCKET/`}>
          <p>Upload something, and where its time goes appears here:</p>
        </Empty>
      </section>
    );
  const [shownId, put] = shown;
  return (
    <>
      <section className="card" aria-label="Waterfall of one PUT">
        <div className="card-head">
          <h2>One PUT, step by step</h2>
          <div className="aside">
            <span>
              {put.bucket}/{put.key}
            </span>
            <Time at={put.at} />
            <code title="x-amz-request-id">{shownId}</code>
          </div>
        </div>
        <div className="card-body">
          <Waterfall put={put} />
        </div>
      </section>
      <section className="card" aria-label="Latest PUTs">
        <div className="card-head">
          <h2>Latest PUTs</h2>
          <span className="soft">the last 32, live</span>
        </div>
        <div className="table-scroll put-list">
          <table className="table">
            <caption className="hidden-text">Latest PUTs</caption>
            <thead>
              <tr>
                <th scope="col">Object</th>
                <th scope="col" className="right">
                  Size
                </th>
                <th scope="col" className="right">
                  Total
                </th>
                <th scope="col" className="right wide">
                  Data
                </th>
                <th scope="col" className="right wide">
                  Metadata
                </th>
                <th scope="col" className="wide">
                  When
                </th>
              </tr>
            </thead>
            <tbody>
              {puts.map(([id, one]) => (
                <tr key={id} aria-selected={id === shownId}>
                  <td className="grow">
                    <button type="button" className="plain-button" onClick={() => setChosen(id)}>
                      {one.bucket}/{one.key}
                    </button>
                  </td>
                  <td className="right">{bytes(one.size_bytes)}</td>
                  <td className="right">{duration(one.total_ms / 1000)}</td>
                  <td className="right wide">{duration(one.bytes_ms / 1000)}</td>
                  <td className="right wide">{duration(one.metadata_ms / 1000)}</td>
                  <td className="wide">
                    <Time at={one.at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
    </>
  );
}

export function Requests() {
  return (
    <>
      <Puts />
      <AccessTail />
    </>
  );
}
