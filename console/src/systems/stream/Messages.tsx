// The messages of a topic as they lie in the log, opened whatever their codec, with what became of their transactions; and the keys
// that stand there more than once.
import { Fragment, useEffect, useState } from "react";
import { Link, address, navigate } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { Empty } from "../../parts/Empty";
import { bytes, count, localTime, plural, utcTime } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { ErrorNote, Waiting } from "../../parts/Note";
import * as api from "./api";
import type { Message, MessagePage, Shown } from "./api";
import { MessageDialog } from "./Forms";
import { digits, shownText } from "./offsets";

const PAGE = 50;
const FOLLOW_MS = 1000;
const VALUE_CHARS = 140;

function place(topic: string, partition: string | undefined, offset: string | undefined): string {
  return address("/stream/messages", { topic, partition, offset });
}

function pretty(shown: Shown | null): string {
  const text = shownText(shown);
  if (!shown?.text || shown.cut) return text;
  try {
    const value: unknown = JSON.parse(shown.text);
    return typeof value === "object" && value !== null ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}

const STATES: Record<Message["state"], [string, string]> = {
  committed: ["", ""],
  aborted: ["bad", "aborted: readers of committed records never see it"],
  open: ["warn", "its transaction is still open"],
  marker: ["info", "the end of a transaction, not a record"],
};

function Detail({ message }: { message: Message }) {
  return (
    <div className="message-detail">
      <dl>
        <div>
          <dt>Key</dt>
          <dd>
            <pre tabIndex={0}>{message.key ? pretty(message.key) : "none"}</pre>
          </dd>
        </div>
        <div>
          <dt>Value{message.value && <span className="soft"> {bytes(message.value.size_bytes)}</span>}</dt>
          <dd>
            <pre tabIndex={0}>{pretty(message.value)}</pre>
          </dd>
        </div>
        {message.headers.length > 0 && (
          <div>
            <dt>Headers</dt>
            <dd>
              <pre tabIndex={0}>{message.headers.map((one) => `${one.key}: ${shownText(one.value)}`).join("\n")}</pre>
            </dd>
          </div>
        )}
      </dl>
      <p className="soft">
        Batch at {message.batch_offset}, {bytes(message.batch_bytes)}, {message.codec === "none" ? "not compressed" : message.codec};{" "}
        {message.timestamp_type === "CreateTime" ? "time of the producer" : "time of the append"} {utcTime(new Date(message.timestamp_ms))}
        {message.producer_id && `; producer ${message.producer_id}`}
      </p>
    </div>
  );
}

function MessageRows({ messages, repeated }: { messages: Message[]; repeated: Set<string> }) {
  const [open, setOpen] = useState<string>();
  return (
    <div className="table-scroll">
      <table className="table messages">
        <caption className="hidden-text">Messages</caption>
        <thead>
          <tr>
            <th scope="col" className="right">Partition</th>
            <th scope="col" className="right">Offset</th>
            <th scope="col" className="wide">Time</th>
            <th scope="col">Key</th>
            <th scope="col" className="grow">Value</th>
          </tr>
        </thead>
        <tbody>
          {messages.map((one) => {
            const id = `${one.partition}@${one.offset}`;
            const [kind, says] = STATES[one.state];
            const text = one.state === "marker" ? (one.marker === "commit" ? "commit" : "abort") : shownText(one.value);
            return (
              <Fragment key={id}>
                <tr data-testid="message" data-offset={one.offset} data-state={one.state}>
                  <td className="right">{one.partition}</td>
                  <td className="right">
                    <button type="button" className="plain-button" aria-expanded={open === id} onClick={() => setOpen(open === id ? undefined : id)}>
                      {digits(one.offset)}
                    </button>
                  </td>
                  <td className="wide">
                    <time dateTime={new Date(one.timestamp_ms).toISOString()} title={utcTime(new Date(one.timestamp_ms))}>
                      {localTime(new Date(one.timestamp_ms))}
                    </time>
                  </td>
                  <td className="message-key">
                    {one.key ? shownText(one.key).slice(0, 60) : <span className="soft">–</span>}
                    {one.key && repeated.has(shownText(one.key)) && (
                      <span className="chip warn" title="this key stands more than once among these messages">
                        repeated
                      </span>
                    )}
                  </td>
                  <td className="grow message-value">
                    {says && (
                      <span className={`chip ${kind}`} title={says}>
                        {one.state}
                      </span>
                    )}{" "}
                    {text.slice(0, VALUE_CHARS)}
                    {text.length > VALUE_CHARS && " …"}
                    {one.codec !== "none" && <span className="soft message-codec"> {one.codec}</span>}
                  </td>
                </tr>
                {open === id && (
                  <tr>
                    <td colSpan={5}>
                      <Detail message={one} />
                    </td>
                  </tr>
                )}
              </Fragment>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function DuplicatesCard({ topic, partition }: { topic: string; partition: number }) {
  const [found, setFound] = useState<api.Duplicates>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const search = async () => {
    setBusy(true);
    setError(undefined);
    try {
      setFound(await api.duplicates({ topic, partition, records: 100_000 }));
    } catch (reason) {
      setError(reason);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section className="card" aria-label="Duplicates by key">
      <div className="card-head">
        <h2>Duplicates by key</h2>
        <div className="aside">
          <button type="button" className="button small" disabled={busy} onClick={() => void search()}>
            {busy ? "Looking …" : "Look at the last 100 000"}
          </button>
        </div>
      </div>
      <ErrorNote error={error} />
      {!found && (
        <p className="card-body soft">
          With at-least-once delivery a record may come twice; whoever cannot bear that drops what has a key that he has seen. This counts the keys of partition {partition} that stand more than once.
        </p>
      )}
      {found && (
        <div className="card-body" data-testid="duplicates">
          <p>
            {plural(found.records, "committed record")} from {digits(found.from)} to {digits(found.to)}: {count(found.distinct_keys)} distinct keys,{" "}
            <b>{plural(found.repeated_records, "repeated record")}</b> of {plural(found.repeated_keys, "key")}
            {found.without_key > 0 && `, ${count(found.without_key)} without a key`}.
          </p>
          {found.keys.length > 0 && (
            <ul className="duplicate-keys">
              {found.keys.slice(0, 50).map((one) => (
                <li key={shownText(one.key)}>
                  <code>{shownText(one.key).slice(0, 80)}</code> {count(one.records)}×, newest at{" "}
                  {one.offsets.slice(-4).map((offset) => (
                    <Fragment key={offset}>
                      <Link to={place(topic, String(partition), offset)}>{digits(offset)}</Link>{" "}
                    </Fragment>
                  ))}
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
    </section>
  );
}

export function Messages({ query }: { query: URLSearchParams }) {
  const loaded = useLoad(api.topics, []);
  const topics = loaded.value?.topics ?? [];
  const topic = query.get("topic") ?? topics[0]?.name ?? "";
  const partitions = topics.find((one) => one.name === topic)?.partition_count ?? 1;
  const partition = query.get("partition") ?? undefined;
  const offset = query.get("offset") ?? undefined;
  const [page, setPage] = useState<MessagePage>();
  const [error, setError] = useState<unknown>();
  const [follow, setFollow] = useState(false);
  const [writing, setWriting] = useState(false);
  const [version, setVersion] = useState(0);
  const [jump, setJump] = useState("");

  useEffect(() => {
    if (!topic) return;
    let current = true;
    const ask = () =>
      api.messages({ topic, partition: partition === undefined ? undefined : Number(partition), offset, limit: PAGE }).then(
        (answer) => current && (setPage(answer), setError(undefined)),
        (reason) => current && setError(reason),
      );
    void ask();
    const timer = follow && !offset ? setInterval(ask, FOLLOW_MS) : undefined;
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [topic, partition, offset, follow, version]);

  const shown = page && page.topic === topic ? page : undefined;
  const seen = new Map<string, number>();
  for (const one of shown?.messages ?? []) if (one.key && one.state === "committed") seen.set(shownText(one.key), (seen.get(shownText(one.key)) ?? 0) + 1);
  const repeated = new Set([...seen].filter(([, times]) => times > 1).map(([key]) => key));
  // Newest first when the end is looked at, in their order when somebody reads from a place.
  const messages = [...(shown?.messages ?? [])];
  if (!offset) messages.sort((a, b) => b.timestamp_ms - a.timestamp_ms || (BigInt(b.offset) > BigInt(a.offset) ? 1 : -1));
  const one = partition === undefined ? undefined : shown?.partitions[partition];
  const first = one && messages.length > 0 ? messages.map((message) => BigInt(message.offset)).reduce((a, b) => (a < b ? a : b)) : undefined;

  if (loaded.value && topics.length === 0)
    return (
      <section className="card">
        <Empty title="There is no topic to read from" command="polis stream produce orders 'one watch' --key alice" />
      </section>
    );
  return (
    <>
      <section className="card" aria-label="Messages">
        <div className="card-head message-head">
          <label>
            <span className="hidden-text">Topic</span>
            <select className="input" aria-label="Topic" value={topic} onChange={(event) => navigate(place(event.target.value, undefined, undefined))}>
              {!topics.some((each) => each.name === topic) && topic && <option>{topic}</option>}
              {topics.map((each) => (
                <option key={each.name}>{each.name}</option>
              ))}
            </select>
          </label>
          <label>
            <span className="hidden-text">Partition</span>
            <select className="input" aria-label="Partition" value={partition ?? ""} onChange={(event) => navigate(place(topic, event.target.value || undefined, undefined))}>
              <option value="">all partitions</option>
              {Array.from({ length: partitions }, (_, number) => (
                <option key={number} value={number}>
                  partition {number}
                </option>
              ))}
            </select>
          </label>
          <form
            className="message-jump"
            onSubmit={(event) => {
              event.preventDefault();
              const wanted = jump.trim();
              const time = Date.parse(wanted);
              const to = /^\d+$/.test(wanted) || !wanted ? wanted : Number.isNaN(time) ? wanted : `time:${time}`;
              navigate(place(topic, partition ?? (/^\d+$/.test(to) ? "0" : undefined), to || undefined));
            }}
          >
            <input className="input" aria-label="Offset or time" placeholder="offset, earliest, or a time" value={jump} onChange={(event) => setJump(event.target.value)} />
            <button type="submit" className="button small">
              Go
            </button>
          </form>
          <div className="aside">
            {!offset && (
              <button type="button" className="button small" aria-pressed={follow} onClick={() => setFollow(!follow)}>
                <Icon name={follow ? "pause" : "play"} size={14} /> {follow ? "Following" : "Follow"}
              </button>
            )}
            {offset && (
              <Link className="button small" to={place(topic, partition, undefined)}>
                To the end
              </Link>
            )}
            <button type="button" className="button small" onClick={() => setWriting(true)}>
              <Icon name="plus" size={14} /> Write one
            </button>
          </div>
        </div>
        <ErrorNote error={error ?? loaded.error} />
        {!shown && !error && <Waiting />}
        {shown && messages.length === 0 && <Empty title="No message here" command={`polis stream produce ${topic} 'a value' --key a-key`} />}
        {messages.length > 0 && <MessageRows messages={messages} repeated={repeated} />}
        {one && (
          <div className="pager">
            <span className="soft">
              First offset {digits(one.log_start_offset)}, last stable {digits(one.last_stable_offset)}, high watermark {digits(one.high_watermark)}
            </span>
            {first !== undefined && first > BigInt(one.log_start_offset) && (
              <Link className="button small" to={place(topic, partition, String(first - BigInt(PAGE) > BigInt(one.log_start_offset) ? first - BigInt(PAGE) : one.log_start_offset))}>
                Older
              </Link>
            )}
            {offset && BigInt(one.next) < BigInt(one.high_watermark) && (
              <Link className="button small" to={place(topic, partition, one.next)}>
                Newer
              </Link>
            )}
          </div>
        )}
      </section>
      {topic && <DuplicatesCard key={`${topic} ${partition ?? 0}`} topic={topic} partition={Number(partition ?? 0)} />}
      {writing && (
        <MessageDialog
          topic={topic}
          partitions={partitions}
          partition={Number(partition ?? 0)}
          close={() => setWriting(false)}
          done={() => setVersion((value) => value + 1)}
        />
      )}
    </>
  );
}
