import { useState } from "react";
import { Link, address } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { Empty } from "../../parts/Empty";
import { bytes, count } from "../../parts/format";
import { ErrorNote, Waiting } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import * as api from "./api";
import type { TopicHead } from "./api";
import { TopicButton } from "./Forms";
import { digits } from "./offsets";

const ROWS_MAX = 200;

export function Topics() {
  const loaded = useLoad(api.topics, []);
  const [text, setText] = useState("");
  const all = loaded.value?.topics ?? [];
  const found = all.filter((one) => one.name.toLowerCase().includes(text.toLowerCase()));
  const columns: Column<TopicHead>[] = [
    {
      title: "Topic",
      className: "grow",
      cell: (one) => (
        <>
          <Link to={address("/stream/topics", { topic: one.name })}>{one.name}</Link>
          {one.failed_partitions > 0 && <span className="chip bad">{one.failed_partitions} failed</span>}
        </>
      ),
    },
    { title: "Partitions", className: "right", cell: (one) => count(one.partition_count) },
    { title: "Records", className: "right", cell: (one) => digits(one.records) },
    { title: "On disk", className: "right", cell: (one) => bytes(one.size_bytes) },
    { title: "Old records", className: "wide", cell: (one) => one.cleanup_policy },
    { title: "Acknowledged", className: "wide", cell: (one) => one.durability },
    { title: "Reads", className: "wide", cell: (one) => one.read_path },
  ];
  return (
    <>
      <div className="stream-actions">
        <TopicButton />
        <input className="input stream-search" type="search" placeholder="Find a topic" aria-label="Find a topic" value={text} onChange={(event) => setText(event.target.value)} />
      </div>
      <section className="card" aria-label="Topics">
        <div className="card-head">
          <h2>Topics</h2>
          <div className="aside">{loaded.value && count(found.length)}</div>
        </div>
        <ErrorNote error={loaded.error} retry={loaded.reload} />
        {!loaded.value && loaded.loading && <Waiting />}
        {loaded.value && all.length === 0 && <Empty title="There is no topic yet" command="polis stream topic create orders --partitions 3" />}
        {found.length > 0 && <Table caption="Topics" columns={columns} rows={found.slice(0, ROWS_MAX)} id={(one) => one.name} />}
        {found.length > ROWS_MAX && (
          <p className="card-body soft">
            The first {ROWS_MAX} of {count(found.length)}: type a part of the name.
          </p>
        )}
      </section>
    </>
  );
}
