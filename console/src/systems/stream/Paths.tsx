// The archive's picture with numbers of this machine: the way of a record from the disk to its consumer, with four copies and with
// none in the process, each arrow measured.
import { Fragment, useState } from "react";
import { Link, address } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { Command } from "../../parts/Command";
import { FigureList } from "../../parts/Figures";
import { Empty } from "../../parts/Empty";
import { bytes, count } from "../../parts/format";
import { ErrorNote, Note } from "../../parts/Note";
import { Time } from "../../parts/Time";
import * as api from "./api";
import type { Arrow, PathSample } from "./api";
import { useLive, usePath } from "./useStream";

const MIB = 1 << 20;
const perMib = (arrow: Arrow, of: "cpu_ns" | "wall_ns"): number => (arrow.bytes > 0 ? arrow[of] / (arrow.bytes / MIB) / 1000 : 0);
const micro = (value: number): string => `${value >= 100 ? count(value) : value.toFixed(1)}\u2009µs/MiB`;

// The thickest arrow; thinner ones lie on the same axis.
const LINE_PX = 30;
const lineOf = (px: number) => ({ height: `${px}px`, marginBlock: `${(LINE_PX - px) / 2 + 4}px` });

interface Step {
  // What lies at its end.
  to: string;
  what: string;
  arrow?: Arrow | undefined;
  // By whom it is done, where it is not a call of ours.
  by?: string;
}

function Way({ title, summary, from, steps, kind, most }: { title: string; summary: string; from: string; steps: Step[]; kind: string; most: number }) {
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
        <div className="aside">{summary}</div>
      </div>
      <ol className={`way ${kind}`}>
        <li className="way-station">{from}</li>
        {steps.map((step) => {
          const cpu = step.arrow ? perMib(step.arrow, "cpu_ns") : 0;
          return (
            <Fragment key={step.to}>
              <li className={`way-arrow${step.arrow ? " measured" : ""}`}>
                <span className="way-line" aria-hidden="true" style={lineOf(step.arrow && most > 0 ? Math.max(8, (cpu / most) * LINE_PX) : 8)} />
                <span className="way-what">{step.what}</span>
                {step.arrow && step.arrow.bytes > 0 ? (
                  <>
                    <b>{micro(cpu)} of CPU</b>
                    <span className="soft">
                      {micro(perMib(step.arrow, "wall_ns"))} of time; {bytes(step.arrow.bytes)} in {count(step.arrow.calls)} calls
                    </span>
                  </>
                ) : (
                  <span className="soft">{step.by ?? "not measured yet"}</span>
                )}
              </li>
              <li className="way-station">{step.to}</li>
            </Fragment>
          );
        })}
      </ol>
    </section>
  );
}

function verdict(path: PathSample): string {
  const copy = perMib(path.read, "cpu_ns") + perMib(path.write, "cpu_ns");
  const direct = perMib(path.sendfile, "cpu_ns");
  const time = perMib(path.read, "wall_ns") + perMib(path.write, "wall_ns");
  const directTime = perMib(path.sendfile, "wall_ns");
  const less = (a: number, b: number): string => {
    const share = b > 0 ? Math.round((1 - a / b) * 100) : 0;
    return share >= 0 ? `${share} % less` : `${-share} % more`;
  };
  return `The copying way takes ${micro(copy)} of CPU, sendfile ${micro(direct)}: ${less(direct, copy)} CPU and ${less(directTime, time)} time.`;
}

export function Paths() {
  const topic = usePath();
  const path = topic.value;
  const live = useLive().value;
  const loaded = useLoad(api.topics, []);
  const topics = (loaded.value?.topics ?? []).filter((one) => one.size_bytes > 0 && one.read_path === "sendfile").sort((a, b) => b.size_bytes - a.size_bytes);
  const [chosen, setChosen] = useState("");
  const [error, setError] = useState<unknown>();
  const name = chosen || topics[0]?.name || "";
  const measured = path?.measured ? path : undefined;
  const most = measured ? Math.max(...[measured.read, measured.write, measured.sendfile].map((one) => perMib(one, "cpu_ns"))) : 0;
  const start = async () => {
    setError(undefined);
    try {
      // The first partition that holds something.
      const view = await api.topic(name);
      const full = view.partitions.reduce((best, one) => (one.size_bytes > best.size_bytes ? one : best), view.partitions[0] as api.PartitionState);
      await api.startPath({ topic: name, partition: full.partition });
    } catch (reason) {
      setError(reason);
    }
  };
  return (
    <>
      <section className="card" aria-label="Copy and zero copy">
        <div className="card-head">
          <h2>From the disk to a consumer, in two ways</h2>
          <div className="aside">
            {path?.begun && (
              <span>
                {path.running ? "measuring since" : "measured"} <Time at={path.begun} /> on {path.topic}-{path.partition}
              </span>
            )}
            {topics.length > 0 && (
              <select className="input" aria-label="Topic to measure" value={name} onChange={(event) => setChosen(event.target.value)}>
                {topics.map((one) => (
                  <option key={one.name}>{one.name}</option>
                ))}
              </select>
            )}
            <button type="button" className="button primary" disabled={!name || !path || path.running} onClick={() => void start()}>
              {path?.running ? "Measuring …" : "Measure on this machine"}
            </button>
          </div>
        </div>
        <ErrorNote error={error ?? topic.error ?? loaded.error} />
        {path?.error && (
          <div className="card-body">
            <Note kind="bad">{path.error}</Note>
          </div>
        )}
        {loaded.value && topics.length === 0 && (
          <Empty title="There is nothing to send yet" command="polis stream bench path">
            <p>A topic with records can be measured here; this command fills one of its own, and measures whole fetches, too:</p>
          </Empty>
        )}
        {topics.length > 0 && (
          <div className="card-body stream-first">
            {measured && !path?.running && (
              <p data-testid="path-verdict">
                <b>{verdict(measured)}</b>
              </p>
            )}
            <p className="soft">
              A few hundred MiB of real segments go through a loopback connection, once by read() and write(), once by sendfile(), from the page cache, on one thread. What the network card would do,
              the kernel does here in the same calls. An arrow's thickness is the CPU that its call takes.
            </p>
          </div>
        )}
      </section>
      <Way
        title="Copying"
        kind="copy"
        summary="read.path=copy"
        from="Disk"
        most={most}
        steps={[
          { to: "Page cache", what: "1. read ahead", by: "by the device, once, when it is not cached" },
          { to: "Process", what: "2. read()", arrow: measured?.read },
          { to: "Socket buffer", what: "3. write()", arrow: measured?.write },
          { to: "Network card", what: "4. sent", by: "by the device; on loopback inside write()" },
        ]}
      />
      <Way
        title="Zero copy"
        kind="sendfile"
        summary="read.path=sendfile, the default"
        from="Disk"
        most={most}
        steps={[
          { to: "Page cache", what: "1. read ahead", by: "by the device, once, when it is not cached" },
          { to: "Network card", what: "2. sendfile()", arrow: measured?.sendfile },
        ]}
      />
      {live && (
        <section className="card" aria-label="What clients got">
          <div className="card-head">
            <h2>What clients got since polis was started</h2>
          </div>
          <div className="card-body stream-first">
            <FigureList
              figures={[
                { name: "By sendfile", value: bytes(live.sendfile_bytes) },
                { name: "Copied", value: bytes(live.copied_bytes) },
              ]}
            />
            <p className="soft">
              Over TLS every byte is encrypted in the process, so it is copied whatever the topic says; so are answers so small that a second call would cost more than the copy. Switch a topic, or measure whole fetches with the server's CPU:
            </p>
            <Command text={`polis stream topic set ${name || "orders"} read.path=copy\npolis stream bench path`} />
            {name && (
              <p className="soft">
                <Link to={address("/stream/topics", { topic: name })}>The options of {name}</Link>
              </p>
            )}
          </div>
        </section>
      )}
    </>
  );
}
