// Every partition as a bar that grows: from its first offset to the high watermark, hatched where transactions are still open, and
// below it where each group has come to.
import { Link, address } from "../../app/router";
import { bytes, count } from "../../parts/format";
import type { GroupsSample, LiveSample, LiveTopic } from "./api";
import { MARKS, digits, markOf, placeOf, type Place } from "./offsets";

const TOPICS_MAX = 12;
const ROWS_MAX = 16;

// The next of 1, 2 or 5 times a power of ten: so that a bar grows for a while before the scale changes.
export function niceEnd(value: bigint): bigint {
  for (let power = 10n; ; power *= 10n)
    for (const factor of [1n, 2n, 5n]) {
      const end = factor * power;
      if (value <= end) return end;
    }
}

const percentOf = (part: bigint, whole: bigint): number => (whole > 0n ? Number((part * 10_000n) / whole) / 100 : 0);

interface Reader {
  group: string;
  committed: bigint;
  color: number;
  mark: string;
}

function PartitionRow({ topic, partition, place, base, span, readers }: { topic: string; partition: string; place: Place; base: bigint; span: bigint; readers: Reader[] }) {
  const left = percentOf(place.start - base, span);
  const stable = percentOf(place.stable - place.start, span);
  const open = percentOf(place.watermark - place.stable, span);
  const coming = percentOf(place.end - place.watermark, span);
  const said = readers.map((one) => `${one.group} at ${one.committed}`).join(", ");
  return (
    <div className="part-row" data-testid="partition" data-partition={`${topic}-${partition}`} data-watermark={place.watermark.toString()}>
      <Link className="part-number" to={address("/stream/messages", { topic, partition })} aria-label={`Messages of ${topic}, partition ${partition}`}>
        {partition}
      </Link>
      <div
        className="part-bar"
        role="img"
        aria-label={`Partition ${partition}: from ${place.start} to ${place.watermark}${place.stable < place.watermark ? `, stable to ${place.stable}` : ""}${said ? `; ${said}` : ""}`}
        title={`first offset ${place.start}, last stable ${place.stable}, high watermark ${place.watermark}, ${bytes(place.sizeBytes)}`}
      >
        <i className="part-stable" style={{ left: `${left}%`, width: `${stable}%` }} />
        <i className="part-open" style={{ left: `${left + stable}%`, width: `${open}%` }} />
        <i className="part-coming" style={{ left: `${left + stable + open}%`, width: `${coming}%` }} />
        {readers.map((one) => {
          const at = one.committed < base ? base : one.committed;
          return (
            <b
              key={one.group}
              className={`part-reader s${one.color}`}
              style={{ left: `${Math.min(100, percentOf(at - base, span))}%` }}
              title={`${one.group} has committed ${one.committed}`}
              data-group={one.group}
            >
              {one.mark}
            </b>
          );
        })}
      </div>
      <span className="part-end">{digits(place.watermark)}</span>
    </div>
  );
}

export function TopicBars({ name, topic, groups, rows = ROWS_MAX, titled = true }: { name: string; topic: LiveTopic; groups: GroupsSample | undefined; rows?: number; titled?: boolean }) {
  const places = Object.entries(topic.partitions)
    .map(([partition, numbers]) => ({ partition, place: placeOf(numbers) }))
    .sort((a, b) => Number(a.partition) - Number(b.partition));
  const base = places.reduce((least, { place }) => (place.start < least ? place.start : least), places[0]?.place.start ?? 0n);
  const end = places.reduce((most, { place }) => (place.end > most ? place.end : most), 0n);
  const span = niceEnd(end - base);
  const names = Object.keys(groups?.groups ?? {});
  const readersOf = (partition: string): Reader[] =>
    names.flatMap((group) => {
      const committed = groups?.groups[group]?.committed[name]?.[partition];
      return committed === undefined ? [] : [{ group, committed: BigInt(committed), ...markOf(names, group) }];
    });
  const total = places.reduce((sum, { place }) => sum + (place.watermark - place.start), 0n);
  return (
    <div className="topic-bars" data-testid="topic-bars" data-topic={name}>
      {titled && (
        <div className="topic-title">
          <Link to={address("/stream/topics", { topic: name })}>{name}</Link>
          <span className="soft">
            {digits(total)} records, {topic.durability}
            {topic.read_path === "copy" && ", copying reads"}
          </span>
        </div>
      )}
      {places.slice(0, rows).map(({ partition, place }) => (
        <PartitionRow key={partition} topic={name} partition={partition} place={place} base={base} span={span} readers={readersOf(partition)} />
      ))}
      <div className="part-scale soft" aria-hidden="true">
        <span>{digits(base)}</span>
        <span>{digits(base + span)}</span>
      </div>
      {topic.partition_count > Math.min(rows, places.length) && (
        <p className="soft part-more">
          {Math.min(rows, places.length)} of {count(topic.partition_count)} partitions; <Link to={address("/stream/topics", { topic: name })}>all of them</Link>
        </p>
      )}
    </div>
  );
}

export function Readers({ groups }: { groups: GroupsSample | undefined }) {
  const names = Object.keys(groups?.groups ?? {}).sort();
  return (
    <div className="part-legend soft">
      <span>
        <i className="swatch part-stable" /> readable
      </span>
      <span>
        <i className="swatch part-open" /> in open transactions
      </span>
      {names.slice(0, MARKS.length * 2).map((name) => {
        const { color, mark } = markOf(names, name);
        return (
          <span key={name}>
            <b className={`part-mark s${color}`}>{mark}</b> {name}
          </span>
        );
      })}
    </div>
  );
}

// The busiest ones first: those that grew since the page was opened stay where they are, so that rows do not jump; by size of the log.
export function PartitionPicture({ live, groups }: { live: LiveSample; groups: GroupsSample | undefined }) {
  const weight = (topic: LiveTopic): number => Object.values(topic.partitions).reduce((sum, numbers) => sum + numbers[4], 0);
  const all = Object.entries(live.topics);
  const shown = new Set([...all].sort((a, b) => weight(b[1]) - weight(a[1])).slice(0, TOPICS_MAX).map(([name]) => name));
  return (
    <section className="card" aria-label="Partitions">
      <div className="card-head">
        <h2>Partitions</h2>
        <div className="aside">
          <Readers groups={groups} />
        </div>
      </div>
      <div className="card-body topics-bars">
        {all
          .filter(([name]) => shown.has(name))
          .sort((a, b) => a[0].localeCompare(b[0]))
          .map(([name, topic]) => (
            <TopicBars key={name} name={name} topic={topic} groups={groups} rows={shown.size > 4 ? 6 : ROWS_MAX} />
          ))}
      </div>
      {live.topic_count > shown.size && (
        <p className="card-body soft">
          The {shown.size} largest of {count(live.topic_count)} topics. <Link to="/stream/topics">All topics</Link>
        </p>
      )}
    </section>
  );
}
