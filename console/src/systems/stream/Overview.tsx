import { useState } from "react";
import { status } from "../../app/api";
import { useLoad } from "../../app/useLoad";
import { Choice } from "../../parts/Choice";
import { Command } from "../../parts/Command";
import { Figures as KeyFigures } from "../../parts/Figures";
import { bytes, bytesPerSecond, count, perSecond } from "../../parts/format";
import { useRates } from "../../parts/live";
import { ErrorNote, Note } from "../../parts/Note";
import { RateChart } from "../../parts/RateChart";
import type { LiveSample } from "./api";
import { TopicButton } from "./Forms";
import { LagPlot } from "./LagPlot";
import { LatencyPlot } from "./LatencyPlot";
import { PartitionPicture } from "./PartitionBars";
import { rates } from "./rates";
import { WAYS, snippet, type WayName } from "./snippets";
import { Transactions } from "./Transactions";
import { useGroups, useKafkaPort, useLive } from "./useStream";

function Figures({ live }: { live: LiveSample }) {
  const fetched = live.sendfile_bytes + live.copied_bytes;
  const figures: [string, string, string?][] = [
    ["Topics", count(live.topic_count)],
    ["Partitions", count(live.partition_count)],
    ["On disk", bytes(live.size_bytes)],
    ["Produced", bytes(live.produced_bytes), "since polis was started"],
    ["Records", count(live.produced_records), "produced since polis was started"],
    ["Fetched", bytes(fetched), "since polis was started"],
    ["By sendfile", fetched > 0 ? `${Math.round((live.sendfile_bytes / fetched) * 100)} %` : "–", "of what was fetched"],
    ["Duplicates dropped", count(live.duplicates), "batches that a producer sent again"],
    ["Refused", count(live.refused_batches), "batches"],
    ["Open transactions", count(live.open_transactions), "counted in every partition that they wrote to"],
  ];
  return <KeyFigures figures={figures.map(([name, value, hint]) => ({ name, value, hint }))} />;
}

// Nothing is written yet: what a log is, and four ways to begin.
function FirstSteps() {
  const port = useKafkaPort();
  const directory = useLoad(status, []).value?.data_directory ?? "~/.polis";
  const [way, setWay] = useState<WayName>("polis");
  return (
    <section className="card" aria-label="First steps">
      <div className="card-head">
        <h2>There is no topic yet</h2>
        <Choice className="aside" label="Client" options={WAYS.map((id) => ({ id, title: id }))} value={way} set={setWay} />
      </div>
      <div className="card-body stream-first">
        <p>
          A <b>topic</b> is a few <b>partitions</b>, each a file that only grows. Producers append records; a record's place is its <b>offset</b>, and it stays
          when it has been read. Consumers of a <b>group</b> share the partitions and remember how far they have come, so that any number of groups read the
          same records at their own pace. Any Kafka client works; a topic is made when somebody first writes to it:
        </p>
        <Command text={snippet(way, location.hostname, port, directory)} label={`first steps with ${way}`} />
        <p className="soft">
          Or let polis show all of it: <code>polis tour stream</code>
        </p>
      </div>
    </section>
  );
}

export function Overview() {
  const topic = useLive();
  const live = topic.value;
  const groups = useGroups().value;
  const history = useRates<LiveSample>("stream.live", rates.countersOf);
  return (
    <>
      <div className="stream-actions">
        <TopicButton />
      </div>
      <ErrorNote error={topic.error} />
      {live?.disk_full && <Note kind="bad">The disk is full: producers are refused until there is room, consumers go on.</Note>}
      {live && live.topic_count === 0 && <FirstSteps />}
      {live && live.topic_count > 0 && <PartitionPicture live={live} groups={groups} />}
      <div className="columns">
        <RateChart
          title="Produced"
          history={history}
          series={[{ label: "produced", color: 1, counters: ["produced"] }]}
          format={bytesPerSecond}
          binary
        />
        <RateChart
          title="Fetched"
          history={history}
          series={[
            { label: "sendfile", color: 3, counters: ["sendfile"] },
            { label: "copied", color: 2, dash: [6, 4], counters: ["copied"] },
          ]}
          format={bytesPerSecond}
          binary
        />
        <RateChart title="Records produced" history={history} series={[{ label: "records", color: 4, counters: ["records"] }]} format={perSecond} />
      </div>
      <div className="columns">
        <LagPlot groups={groups} />
        <LatencyPlot live={live} />
      </div>
      <Transactions groups={groups} />
      {live && <Figures live={live} />}
    </>
  );
}
