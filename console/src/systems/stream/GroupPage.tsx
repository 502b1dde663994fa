// One group: who its members are, where it stands in each partition, and a way to move it.
import { useEffect, useState } from "react";
import { Link, address, navigate } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { Dialog } from "../../parts/Dialog";
import { count } from "../../parts/format";
import { ErrorNote, Note, Waiting } from "../../parts/Note";
import { PlanDialog } from "../../parts/PlanDialog";
import { Table, type Column } from "../../parts/Table";
import * as api from "./api";
import type { GroupMember, GroupPosition } from "./api";
import { stateKind } from "./Groups";
import { digits } from "./offsets";

const REFRESH_MS = 2000;

export function GroupPage({ name }: { name: string }) {
  const loaded = useLoad(() => api.group(name), [name]);
  const reload = loaded.reload;
  const [removing, setRemoving] = useState(false);
  const [asking, setAsking] = useState(false);
  const [moving, setMoving] = useState<{ topic: string; to: string }>();
  useEffect(() => {
    const timer = setInterval(reload, REFRESH_MS);
    return () => clearInterval(timer);
  }, [reload]);
  const view = loaded.value;
  const positions: Column<GroupPosition>[] = [
    { title: "Partition", className: "grow", cell: (one) => <Link to={address("/stream/messages", { topic: one.topic, partition: String(one.partition), offset: one.committed })}>{`${one.topic}-${one.partition}`}</Link> },
    { title: "Committed", className: "right", cell: (one) => digits(one.committed) },
    { title: "High watermark", className: "right wide", cell: (one) => (one.high_watermark === "-1" ? "gone" : digits(one.high_watermark)) },
    { title: "Lag", className: "right", cell: (one) => (one.lag === "-1" ? "–" : digits(one.lag)) },
  ];
  const members: Column<GroupMember>[] = [
    { title: "Member", className: "grow", cell: (one) => one.instance_id || one.member_id },
    { title: "From", className: "wide", cell: (one) => one.client_host },
    { title: "Reads", cell: (one) => one.assignment.map((at) => `${at.topic}-${at.partition}`).join(" ") || "nothing" },
  ];
  const topics = [...new Set(view?.positions.map((one) => one.topic) ?? [])];
  return (
    <>
      <div className="breadcrumbs">
        <Link to="/stream/groups">Groups</Link> <span aria-hidden="true">/</span> <h2>{name}</h2>
        {view && <span className={`chip ${stateKind(view.state)}`}>{view.state}</span>}
      </div>
      <ErrorNote error={loaded.error} retry={reload} />
      {!view && loaded.loading && <Waiting />}
      {view && (
        <>
          <div className="stream-actions">
            <button type="button" className="button" disabled={topics.length === 0} onClick={() => setAsking(true)}>
              Move it …
            </button>
            <button type="button" className="button" onClick={() => setRemoving(true)}>
              Delete the group …
            </button>
          </div>
          {view.state !== "Empty" && view.members.length > 0 && <Note kind="info">While it has members a group is neither moved nor deleted: stop them first.</Note>}
          <section className="card" aria-label="Positions">
            <div className="card-head">
              <h2>Positions</h2>
            </div>
            {view.positions.length === 0 && <p className="card-body soft">It has committed none.</p>}
            {view.positions.length > 0 && <Table caption="Positions" columns={positions} rows={view.positions.slice(0, 500)} id={(one) => `${one.topic}-${one.partition}`} />}
          </section>
          <section className="card" aria-label="Members">
            <div className="card-head">
              <h2>Members</h2>
              <div className="aside">{count(view.members.length)}</div>
            </div>
            {view.members.length === 0 && <p className="card-body soft">None at the moment.</p>}
            {view.members.length > 0 && <Table caption="Members" columns={members} rows={view.members} id={(one) => one.member_id} />}
          </section>
        </>
      )}
      {asking && <MoveDialog topics={topics} close={() => setAsking(false)} chosen={setMoving} />}
      {moving && <PlanDialog draft={() => api.planGroupReset(name, moving)} verb="Move it" close={() => setMoving(undefined)} done={reload} />}
      {removing && <PlanDialog draft={() => api.planGroupRemoval(name)} verb="Delete it" close={() => setRemoving(false)} done={() => navigate("/stream/groups")} />}
    </>
  );
}

function MoveDialog({ topics, close, chosen }: { topics: string[]; close: () => void; chosen: (wish: { topic: string; to: string }) => void }) {
  const [topic, setTopic] = useState(topics[0] ?? "");
  const [to, setTo] = useState("earliest");
  return (
    <Dialog title="Where to?" close={close}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          close();
          chosen({ topic, to });
        }}
      >
        <label className="field">
          Topic
          <select className="input" value={topic} onChange={(event) => setTopic(event.target.value)}>
            {topics.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <label className="field">
          To
          <input className="input" value={to} onChange={(event) => setTo(event.target.value)} required autoFocus />
          <span className="hint">earliest, latest, an offset, or a time as in 2026-11-22T10:00:00Z. The next dialog shows what that means.</span>
        </label>
        <div className="form-foot">
          <button type="button" className="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="button primary">
            Show the plan
          </button>
        </div>
      </form>
    </Dialog>
  );
}
