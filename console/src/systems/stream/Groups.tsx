import { Link, address } from "../../app/router";
import { Empty } from "../../parts/Empty";
import { count } from "../../parts/format";
import { ErrorNote, Waiting } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import { LagPlot } from "./LagPlot";
import { lags, markOf } from "./offsets";
import { Transactions } from "./Transactions";
import { useGroups, useLive } from "./useStream";

export function stateKind(state: string): string {
  return state === "Stable" ? "good" : state === "Empty" ? "" : "warn";
}

interface Row {
  name: string;
  state: string;
  members: number;
  topics: string[];
  lag: number;
}

export function Groups() {
  const topic = useGroups();
  const groups = topic.value;
  const live = useLive().value;
  const behind = lags(groups, live);
  const names = Object.keys(groups?.groups ?? {});
  const rows: Row[] = Object.entries(groups?.groups ?? {})
    .map(([name, one]) => ({ name, state: one.state, members: one.members, topics: Object.keys(one.committed), lag: behind[name] ?? 0 }))
    .sort((a, b) => b.lag - a.lag || a.name.localeCompare(b.name));
  const columns: Column<Row>[] = [
    {
      title: "Group",
      className: "grow",
      cell: (one) => {
        const { color, mark } = markOf(names, one.name);
        return (
          <>
            <b className={`part-mark s${color}`} aria-hidden="true">
              {mark}
            </b>{" "}
            <Link to={address("/stream/groups", { group: one.name })}>{one.name}</Link>
          </>
        );
      },
    },
    { title: "State", cell: (one) => <span className={`chip ${stateKind(one.state)}`}>{one.state}</span> },
    { title: "Members", className: "right", cell: (one) => count(one.members) },
    { title: "Lag", className: "right", cell: (one) => count(one.lag) },
    { title: "Topics", className: "wide", cell: (one) => one.topics.join(" ") || "–" },
  ];
  return (
    <>
      <LagPlot groups={groups} />
      <section className="card" aria-label="Consumer groups">
        <div className="card-head">
          <h2>Consumer groups</h2>
          <div className="aside">{groups && count(groups.group_count)}</div>
        </div>
        <ErrorNote error={topic.error} />
        {!groups && !topic.error && <Waiting />}
        {groups && rows.length === 0 && <Empty title="There is no group yet" command="polis stream consume orders --group shop --follow" />}
        {rows.length > 0 && <Table caption="Consumer groups" columns={columns} rows={rows} id={(one) => one.name} />}
        {groups && groups.group_count > rows.length && (
          <p className="card-body soft">
            {count(rows.length)} of {count(groups.group_count)}. All of them: <code>polis stream group list</code>
          </p>
        )}
      </section>
      <Transactions groups={groups} />
    </>
  );
}
