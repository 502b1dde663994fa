// The picture of the object store: what each drive holds of every slice of the pool, live. Columns are drives (failure domains), rows
// are slices of extents, in the order they were written. A state is a colour, a glyph and a word.
import { useState, type CSSProperties } from "react";
import type { Plan } from "../../app/api";
import { bytes, count, plural } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { useTopic } from "../../parts/live";
import { ErrorNote, Note, Waiting } from "../../parts/Note";
import { PlanDialog } from "../../parts/PlanDialog";
import { ProgressBar } from "../../parts/ProgressBar";
import * as api from "./api";
import type { Drive, GridSample, StripeRow, StripesSample } from "./api";

const CELLS: Record<string, { name: string; glyph: string; word: string }> = {
  o: { name: "ok", glyph: "", word: "sound" },
  d: { name: "damaged", glyph: "!", word: "damaged" },
  s: { name: "stale", glyph: "?", word: "to be checked" },
  r: { name: "rebuilding", glyph: "↻", word: "rebuilding" },
  m: { name: "missing", glyph: "×", word: "drive away" },
};
const NOTHING = { name: "nothing", glyph: "", word: "holds nothing of it" };

const soundOf = (row: StripeRow): number => [...row.cells].filter((cell) => cell === "o").length;
export interface Summary {
  kind: "good" | "warn" | "bad" | "info";
  text: string;
}

// What the picture says, in a sentence.
export function summarize(stripes: StripesSample, drives: Drive[]): Summary {
  const rows = Object.values(stripes.rows);
  const dataOf = (row: StripeRow): number => row.data_units ?? stripes.data_units;
  // Of more drives than a stripe has units some hold nothing of it: those cells are dots, and count for nothing.
  const unitsOf = (row: StripeRow): number => dataOf(row) + (row.parity_units ?? stripes.parity_units);
  const units = stripes.data_units + stripes.parity_units;
  const away = drives.filter((drive) => drive.state === "missing" || drive.state === "failed").length;
  const there = drives.length - away;
  // How many more may go until something cannot be read: the worst of the rows says it.
  const spare = rows.length > 0 ? Math.min(...rows.map((row) => soundOf(row) - dataOf(row))) : Math.min(stripes.parity_units, there - stripes.data_units);
  const lost = rows.filter((row) => soundOf(row) < dataOf(row) && !/[rs]/.test(row.cells)).length;
  const reduced = rows.filter((row) => soundOf(row) < unitsOf(row)).length + stripes.hidden_reduced;
  if (lost > 0)
    return { kind: "bad", text: `${plural(lost, "slice")} with too few sound units: what lies there cannot be read until a drive comes back.` };
  if (stripes.repairing) return { kind: "info", text: `Rebuilding: ${plural(reduced, "slice")} still below full redundancy.` };
  if (away > 0) {
    const refused = there < units - 1 ? ", and writes are refused" : "";
    const more = spare > 0 ? `${spare} more may be lost` : "no other may be lost";
    const where = reduced > 0 ? `Everything is readable from the other ${there}` : `What ${away > 1 ? "they" : "it"} held lies on the other ${there} again`;
    return { kind: "warn", text: `${plural(away, "drive")} away. ${where}; ${more}${refused}.` };
  }
  if (reduced > 0) return { kind: "warn", text: `${plural(reduced, "slice")} below full redundancy. Repair checks and rebuilds them.` };
  return { kind: "good", text: `Whole on all ${drives.length} drives. Any ${Math.max(spare, 0)} may be lost without losing a byte.` };
}

const DRIVE_WORDS: Record<api.DriveState, [string, string, string]> = {
  online: ["good", "✓", "online"],
  missing: ["bad", "×", "away"],
  failed: ["bad", "✕", "failed"],
  replacing: ["info", "↻", "replacing"],
};

export function DriveChip({ state }: { state: api.DriveState }) {
  const [kind, glyph, word] = DRIVE_WORDS[state];
  return (
    <span className={`chip ${kind}`} data-drive-state={state}>
      <span aria-hidden="true">{glyph}</span> {word}
    </span>
  );
}

function DriveHead({ drive, role, lose, act }: { drive: Drive; role: string; lose: () => void; act: (work: () => Promise<unknown>) => void }) {
  const online = drive.state === "online" || drive.state === "replacing";
  return (
    <div className="stripe-drive" title={drive.path}>
      <div className="stripe-drive-name">
        <b>
          <span className="wide-name">Drive </span>
          {drive.index}
        </b>{" "}
        <span className="soft">{role}</span>
      </div>
      <span className="soft number stripe-used">{bytes(drive.used_bytes)}</span>
      <DriveChip state={drive.state} />
      {online ? (
        <button type="button" className="button small" onClick={lose} aria-label={`Lose drive ${drive.index}`}>
          Lose
        </button>
      ) : (
        <button
          type="button"
          className="button small"
          onClick={() => act(() => api.driveOnline(drive.index))}
          aria-label={`Bring back drive ${drive.index}`}
        >
          Return
        </button>
      )}
    </div>
  );
}

function Row({ row, first }: { row: StripeRow; first: boolean }) {
  return (
    <div className={`stripe-row${first ? " first" : ""}`}>
      <span className="stripe-label number" title={row.data_units === undefined ? undefined : `coded ${row.data_units}+${row.parity_units}`}>
        {first && `extent ${row.extent}`}
        {first && row.data_units !== undefined && ` ${row.data_units}+${row.parity_units}`}
      </span>
      {[...row.cells].map((cell, index) => {
        const look = cell === "." ? NOTHING : CELLS[cell] ?? { name: "stale", glyph: "?", word: "unknown" };
        return (
          <span
            key={index}
            className={`cell ${look.name}`}
            title={`extent ${row.extent}, ${bytes(row.from)} to ${bytes(row.to)} of each file, drive ${index}: ${look.word}`}
          >
            {look.glyph}
          </span>
        );
      })}
      <span className="stripe-size number">{first ? `to ${bytes(row.to)}` : bytes(row.to)}</span>
    </div>
  );
}

function Legend({ elsewhere }: { elsewhere: boolean }) {
  return (
    <ul className="stripe-legend" aria-label="States">
      {[...Object.values(CELLS), ...(elsewhere ? [NOTHING] : [])].map((look) => (
        <li key={look.name}>
          <span className={`cell ${look.name}`} aria-hidden="true">
            {look.glyph}
          </span>{" "}
          {look.word}
        </li>
      ))}
    </ul>
  );
}

export function StripeGrid() {
  const grid = useTopic<GridSample>("object.grid");
  const stripes = useTopic<StripesSample>("object.stripes");
  const [plan, setPlan] = useState<{ draft: () => Promise<Plan>; drive: number }>();
  const [error, setError] = useState<unknown>();
  const act = (work: () => Promise<unknown>): void => {
    setError(undefined);
    work().catch(setError);
  };
  if (grid.error || stripes.error) return <ErrorNote error={grid.error ?? stripes.error} />;
  if (!grid.value || !stripes.value) return <Waiting what="Waiting for the live picture" />;
  const drives = Object.values(grid.value.drives).sort((a, b) => a.index - b.index);
  const rows = Object.values(stripes.value.rows).sort((a, b) => a.extent - b.extent || a.from - b.from);
  const away = drives.filter((drive) => drive.state === "missing" || drive.state === "failed");
  const summary = summarize(stripes.value, drives);
  const repair = grid.value.jobs["repair"];
  const last = drives.filter((drive) => drive.state === "online").at(-1);
  const lose = (drive: number): void => setPlan({ drive, draft: () => api.planLoseDrive(drive) });
  const data = stripes.value.data_units;
  const units = data + stripes.value.parity_units;
  const repairAll = async (): Promise<void> => {
    for (const drive of away) await api.driveOnline(drive.index);
    await api.startJob("repair");
  };
  return (
    <section className="card" aria-label="Erasure grid" data-testid="stripe-grid" style={{ "--drives": drives.length } as CSSProperties}>
      <div className="card-head">
        <h2>Where the bytes lie</h2>
        <span className="soft">
          {data} data + {stripes.value.parity_units} parity; each row a slice of {bytes(stripes.value.slice_bytes)} a drive
        </span>
        <div className="aside">
          <button type="button" className="button" disabled={!last} onClick={() => last && lose(last.index)}>
            <Icon name="drive" /> Lose a drive
          </button>
          <button type="button" className="button primary" disabled={repair?.running} onClick={() => act(repairAll)}>
            <Icon name="repair" /> {away.length > 0 ? "Return and repair" : "Repair"}
          </button>
        </div>
      </div>
      <div className="card-body stripe-body">
        <ErrorNote error={error} />
        <div data-testid="stripe-summary" data-kind={summary.kind}>
          {summary.kind === "good" ? (
            <p>
              <span className="chip good">
                <span aria-hidden="true">✓</span> Redundant
              </span>{" "}
              {rows.length > 0 ? summary.text : "Nothing is stored on the drives yet: objects of up to 2 KiB lie in the metadata store."}
            </p>
          ) : (
            <Note kind={summary.kind}>{summary.text}</Note>
          )}
        </div>
        {repair?.running && (
          <div className="stripe-job">
            <ProgressBar done={repair.done} total={repair.total} label="Repair" />
            <span className="soft number">
              repaired {bytes(repair.done)} of {bytes(repair.total)} a drive
            </span>
          </div>
        )}
        {repair && !repair.running && (
          <p className="soft" data-testid="repair-report">
            {repair.error
              ? `The last repair failed: ${repair.error}`
              : `Last repair: ${plural(repair.report?.["units_rebuilt"] ?? 0, "unit")} rebuilt out of ${plural(repair.report?.["rows_checked"] ?? 0, "row")} checked, ${bytes(repair.report?.["bytes_written"] ?? 0)} written.`}
          </p>
        )}
        <div className={`stripes${drives.length > 6 ? " many" : ""}`}>
          <div className="stripe-row head">
            <span className="stripe-label" />
            {drives.map((drive) => (
              <DriveHead
                key={drive.index}
                drive={drive}
                role={drives.length > units ? "" : drive.index < data ? `d${drive.index + 1}` : `p${drive.index - data + 1}`}
                lose={() => lose(drive.index)}
                act={act}
              />
            ))}
            <span className="stripe-size" />
          </div>
          <div role="img" aria-label={`${plural(rows.length, "slice")} on ${drives.length} drives. ${summary.text}`}>
            {rows.map((row, index) => (
              <Row key={`${row.extent}.${row.from}`} row={row} first={rows[index - 1]?.extent !== row.extent} />
            ))}
          </div>
        </div>
        {stripes.value.hidden_extents > 0 && (
          <p className="soft">
            The newest extents are shown; {plural(stripes.value.hidden_extents, "older one")} not, of which{" "}
            {count(stripes.value.hidden_reduced)} below full redundancy.
          </p>
        )}
        <Legend elsewhere={drives.length > units} />
      </div>
      {plan && (
        <PlanDialog
          draft={plan.draft}
          verb={`Lose drive ${plan.drive}`}
          warning="The drive counts as pulled: reads are rebuilt from the others, new rows are written without it. Its files stay where they are, so it can be returned."
          close={() => setPlan(undefined)}
        />
      )}
    </section>
  );
}
