// The event log: partitions that grow with the groups that read them come first, then what moves; topics, messages, groups and the
// measured read paths have pages of their own.
import { usePlace } from "../../app/router";
import { SystemFrame } from "../../parts/SystemFrame";
import { GroupPage } from "./GroupPage";
import { Groups } from "./Groups";
import { Messages } from "./Messages";
import { Overview } from "./Overview";
import { Paths } from "./Paths";
import { TopicPage } from "./TopicPage";
import { Topics } from "./Topics";
import "./stream.css";

const TABS = [
  { path: "/stream", title: "Overview" },
  { path: "/stream/topics", title: "Topics" },
  { path: "/stream/messages", title: "Messages" },
  { path: "/stream/groups", title: "Groups and transactions" },
  { path: "/stream/paths", title: "Copy and zero copy" },
];

function Tab({ path, query }: { path: string; query: URLSearchParams }) {
  const topic = query.get("topic");
  const group = query.get("group");
  switch (path) {
    case "/stream/topics":
      return topic ? <TopicPage key={topic} name={topic} /> : <Topics />;
    case "/stream/messages":
      return <Messages query={query} />;
    case "/stream/groups":
      return group ? <GroupPage key={group} name={group} /> : <Groups />;
    case "/stream/paths":
      return <Paths />;
    default:
      return <Overview />;
  }
}

export default function StreamPage() {
  const { path, query } = usePlace();
  return (
    <SystemFrame system="stream" title="Event log" what="Partitioned logs for Kafka clients" tabs={TABS}>
      <Tab path={path} query={query} />
    </SystemFrame>
  );
}
