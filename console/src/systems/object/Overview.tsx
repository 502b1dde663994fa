import { Figures as KeyFigures } from "../../parts/Figures";
import { bytes, bytesPerSecond, count, duration, percent, perSecond, plural } from "../../parts/format";
import { useRates, useTopic } from "../../parts/live";
import { RateChart } from "../../parts/RateChart";
import { Table, type Column } from "../../parts/Table";
import { useState } from "react";
import type { Plan } from "../../app/api";
import { Link } from "../../app/router";
import { useLoad } from "../../app/useLoad";
import { ErrorNote, Note } from "../../parts/Note";
import { PlanDialog } from "../../parts/PlanDialog";
import { ProgressBar } from "../../parts/ProgressBar";
import * as api from "./api";
import type { Drive, GridSample, Job, StripesSample } from "./api";
import { AddDrive } from "./AddDrive";
import { Classes } from "./Classes";
import { rates } from "./rates";
import { DriveChip, StripeGrid } from "./StripeGrid";

function Rates() {
  const history = useRates<GridSample>(rates.topic, rates.countersOf);
  return (
    <div className="columns">
      <RateChart
        title="Requests"
        history={history}
        format={perSecond}
        series={[{ label: "requests", color: 1, counters: ["requests"] }]}
      />
      <RateChart
        title="Transfer"
        history={history}
        format={bytesPerSecond}
        binary
        series={[
          { label: "in", color: 1, counters: ["received"] },
          { label: "out", color: 2, dash: [6, 4], counters: ["sent"] },
        ]}
      />
      <RateChart
        title="Healing"
        history={history}
        format={perSecond}
        series={[
          { label: "decoded", color: 2, counters: ["degraded"] },
          { label: "rebuilt", color: 3, dash: [6, 4], counters: ["rebuilt"] },
        ]}
      />
    </div>
  );
}

function Figures({ grid }: { grid: GridSample }) {
  const stripes = useTopic<StripesSample>("object.stripes").value;
  const { blob } = grid;
  const figures: [string, string, (string | undefined)?][] = [
    ["Stored, parity included", bytes(blob.stored_bytes)],
    ["Live payload", bytes(blob.live_bytes), blob.live_bytes > 0 ? `${(blob.stored_bytes / blob.live_bytes).toFixed(2)}×` : undefined],
    ["Extents", stripes ? count(stripes.extents) : "–"],
    ["Puts to drives", count(blob.puts)],
    ["Reads from drives", count(blob.gets)],
    ["Decoded reads", count(blob.degraded_reads)],
    ["Rebuilt units", count(blob.repaired_units)],
    ["Waiting for repair", plural(blob.repair_queue, "row")],
    ["Syncs", count(blob.syncs)],
    ["Scrub errors", count(blob.scrub_errors)],
  ];
  return <KeyFigures figures={figures.map(([name, value, more]) => ({ name, value, more }))} />;
}

function JobLine({ job }: { job: Job }) {
  if (job.running) return <ProgressBar done={job.done} total={job.total} label={job.kind} />;
  if (job.error) return <span className="soft">failed: {job.error}</span>;
  const report = Object.entries(job.report ?? {}).filter(([, value]) => value > 0);
  const words = report.map(([name, value]) =>
    name.includes("bytes") ? `${name.replaceAll("_", " ")} ${bytes(value)}` : `${name.replaceAll("_", " ")} ${count(value)}`,
  );
  return <span className="soft">{words.join(", ") || "nothing to do"}</span>;
}

function Drives({ grid }: { grid: GridSample }) {
  const loaded = useLoad(api.drives, []);
  const repaired = grid.jobs["repair"]?.begun_at ?? "";
  const gate = useLoad(() => api.durability({ k: 4, m: 2, afr: 0.0081 }), [repaired, grid.jobs["repair"]?.running]);
  const slow = gate.value?.measured && !gate.value.measured.within_gate ? gate.value : undefined;
  const [plan, setPlan] = useState<{ drive: Drive; draft: () => Promise<Plan> }>();
  const [adding, setAdding] = useState(false);
  const [error, setError] = useState<unknown>();
  const run = (kind: Job["kind"]): void => {
    setError(undefined);
    api.startJob(kind).catch(setError);
  };
  const columns: Column<Drive>[] = [
    { title: "Drive", cell: (drive) => <b>{drive.index}</b> },
    { title: "State", cell: (drive) => <DriveChip state={drive.state} /> },
    { title: "Path", className: "grow wide", cell: (drive) => <span className="mono">{drive.path}</span> },
    { title: "Used", className: "right", cell: (drive) => bytes(drive.used_bytes) },
    { title: "Free", className: "right wide", cell: (drive) => bytes(drive.available_bytes) },
    {
      title: "Full",
      className: "right wide",
      cell: (drive) =>
        drive.used_bytes + drive.available_bytes > 0 ? percent(drive.used_bytes / (drive.used_bytes + drive.available_bytes)) : "–",
    },
    {
      title: "Errors",
      className: "right",
      cell: (drive) => (
        <span title="read errors / write errors / corrupt blocks">
          {count(drive.read_errors)} / {count(drive.write_errors)} / {count(drive.corrupt_blocks)}
        </span>
      ),
    },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (drive) =>
        drive.state !== "online" && (
          <button
            type="button"
            className="button small"
            onClick={() => setPlan({ drive, draft: () => api.planReplaceDrive(drive.index) })}
          >
            Replace …
          </button>
        ),
    },
  ];
  // Repair has its place above, beside the grid.
  const jobs = Object.values(grid.jobs).filter((job) => job.kind !== "repair").sort((a, b) => a.kind.localeCompare(b.kind));
  return (
    <section className="card" aria-label="Drives">
      <div className="card-head">
        <h2>Drives</h2>
        <div className="aside">
          <button type="button" className="button small" onClick={() => setAdding(true)}>
            Add a drive …
          </button>
          <button type="button" className="button small" onClick={() => run("scrub")} disabled={grid.jobs["scrub"]?.running}>
            Scrub
          </button>
          <button type="button" className="button small" onClick={() => run("compact")} disabled={grid.jobs["compact"]?.running}>
            Compact
          </button>
        </div>
      </div>
      <ErrorNote error={error ?? loaded.error} />
      {slow?.measured && (
        <div className="card-body">
          <Note kind="warn">
            At the rate of the last repair a whole drive takes {duration(slow.measured.repair_hours * 3600)} to rebuild, longer than the{" "}
            {duration(slow.assumptions.repair_gate_hours * 3600)} that 11 nines need. See <Link to="/object/durability">Durability</Link>.
          </Note>
        </div>
      )}
      {loaded.value?.one_file_system && (
        <div className="card-body">
          <Note kind="info">{loaded.value.protects}</Note>
        </div>
      )}
      <Table caption="Drives" columns={columns} rows={Object.values(grid.drives)} id={(drive) => drive.index} />
      {jobs.length > 0 && (
        <div className="card-body figures">
          {jobs.map((job) => (
            <div key={job.kind}>
              <h3>
                {job.kind} {job.running ? "runs" : "ended"}
              </h3>
              <JobLine job={job} />
            </div>
          ))}
        </div>
      )}
      {adding && <AddDrive close={() => setAdding(false)} done={loaded.reload} />}
      {plan && (
        <PlanDialog
          draft={plan.draft}
          verb={`Replace drive ${plan.drive.index}`}
          close={() => setPlan(undefined)}
          done={() => run("repair")}
        />
      )}
    </section>
  );
}

export function Overview() {
  const grid = useTopic<GridSample>("object.grid").value;
  return (
    <>
      <StripeGrid />
      <Rates />
      {grid && <Figures grid={grid} />}
      <Classes />
      {grid && <Drives grid={grid} />}
    </>
  );
}
