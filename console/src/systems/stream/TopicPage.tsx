// One topic: its partitions, growing, its options, and what can be done to it.
import { useEffect, useState } from "react";
import { Link, address, navigate } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { bytes, count } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { ErrorNote, Note, Waiting } from "../../parts/Note";
import { PlanDialog } from "../../parts/PlanDialog";
import { Table, type Column } from "../../parts/Table";
import * as api from "./api";
import type { ConfigEntry, LiveTopic, PartitionState, TopicView } from "./api";
import { MessageDialog, OptionDialog } from "./Forms";
import { digits } from "./offsets";
import { Readers, TopicBars } from "./PartitionBars";
import { useGroups, useLive } from "./useStream";

const REFRESH_MS = 2000;

// As the live picture has it, for a topic that is not in it (it holds only so many partitions).
function livePicture(view: TopicView): LiveTopic {
  return {
    partition_count: view.partition_count,
    durability: view.durability,
    read_path: view.read_path,
    partitions: Object.fromEntries(
      view.partitions.map((one) => [
        String(one.partition),
        [one.log_start_offset, one.high_watermark, one.last_stable_offset, one.end_offset, one.size_bytes, one.open_transactions, one.duplicates] as const,
      ]),
    ) as LiveTopic["partitions"],
  };
}

export function TopicPage({ name }: { name: string }) {
  const loaded = useLoad(() => api.topic(name), [name]);
  const live = useLive().value?.topics[name];
  const groups = useGroups().value;
  const [writing, setWriting] = useState(false);
  const [removing, setRemoving] = useState(false);
  const [option, setOption] = useState<ConfigEntry>();
  const [all, setAll] = useState(false);
  const [said, setSaid] = useState("");
  const reload = loaded.reload;
  useEffect(() => {
    const timer = setInterval(reload, REFRESH_MS);
    return () => clearInterval(timer);
  }, [reload]);
  const view = loaded.value;
  const whole = live && view && Object.keys(live.partitions).length === view.partition_count;
  const partitions: Column<PartitionState>[] = [
    {
      title: "Partition",
      className: "right",
      cell: (one) => <Link to={address("/stream/messages", { topic: name, partition: String(one.partition) })}>{one.partition}</Link>,
    },
    { title: "First offset", className: "right", cell: (one) => digits(one.log_start_offset) },
    { title: "Last stable", className: "right wide", cell: (one) => digits(one.last_stable_offset) },
    { title: "High watermark", className: "right", cell: (one) => digits(one.high_watermark) },
    { title: "On disk", className: "right", cell: (one) => bytes(one.size_bytes) },
    { title: "Segments", className: "right wide", cell: (one) => count(one.segments) },
    { title: "Producers", className: "right wide", cell: (one) => count(one.producers) },
    { title: "Duplicates dropped", className: "right wide", cell: (one) => count(one.duplicates) },
    { title: "Trouble", className: "grow", cell: (one) => one.error || "–" },
  ];
  const options: Column<ConfigEntry>[] = [
    { title: "Option", cell: (one) => <code>{one.name}</code> },
    { title: "Value", cell: (one) => (one.overridden ? <b>{one.value}</b> : one.value || "–") },
    { title: "What", className: "grow wide", cell: (one) => <span className="soft">{one.help}</span> },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (one) => (
        <button type="button" className="button small" onClick={() => setOption(one)} aria-label={`Change ${one.name}`}>
          Change …
        </button>
      ),
    },
  ];
  return (
    <>
      <div className="breadcrumbs">
        <Link to="/stream/topics">Topics</Link> <span aria-hidden="true">/</span> <h2>{name}</h2>
      </div>
      <ErrorNote error={loaded.error} retry={reload} />
      {!view && loaded.loading && <Waiting />}
      {view && (
        <>
          <div className="stream-actions">
            <Link className="button" to={address("/stream/messages", { topic: name })}>
              <Icon name="file" /> Messages
            </Link>
            <button type="button" className="button" onClick={() => setWriting(true)}>
              <Icon name="plus" /> Write a message
            </button>
            <button type="button" className="button" onClick={() => setRemoving(true)}>
              <Icon name="trash" /> Delete the topic …
            </button>
          </div>
          {said && <Note kind="info">{said}</Note>}
          <section className="card" aria-label="Partitions">
            <div className="card-head">
              <h2>{count(view.partition_count)} partitions</h2>
              <div className="aside">
                <Readers groups={groups} />
              </div>
            </div>
            <div className="card-body">
              <TopicBars name={name} topic={whole ? live : livePicture(view)} groups={groups} rows={64} titled={false} />
            </div>
            <Table caption="Partitions" columns={partitions} rows={view.partitions.slice(0, 200)} id={(one) => one.partition} />
          </section>
          <section className="card" aria-label="Options">
            <div className="card-head">
              <h2>Options</h2>
              <div className="aside">
                <button type="button" className="button small" aria-pressed={all} onClick={() => setAll(!all)}>
                  {all ? "Only those that matter most" : "All options"}
                </button>
              </div>
            </div>
            <Table
              caption="Options"
              columns={options}
              rows={view.config.filter((one) => all || one.overridden || ["retention.ms", "retention.bytes", "cleanup.policy", "polis.durability", "read.path", "segment.bytes", "max.message.bytes"].includes(one.name))}
              id={(one) => one.name}
            />
          </section>
        </>
      )}
      {writing && view && (
        <MessageDialog
          topic={name}
          partitions={view.partition_count}
          partition={0}
          close={() => setWriting(false)}
          done={(appended) => {
            setSaid(`Appended to partition ${appended.partition} at offset ${appended.offset}.`);
            reload();
          }}
        />
      )}
      {option && <OptionDialog topic={name} option={option} close={() => setOption(undefined)} done={reload} />}
      {removing && (
        <PlanDialog draft={() => api.planTopicRemoval(name)} verb="Delete it" close={() => setRemoving(false)} done={() => navigate("/stream/topics")} />
      )}
    </>
  );
}
