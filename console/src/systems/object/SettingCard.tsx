import type { ReactNode } from "react";
import { ErrorNote, Waiting } from "../../parts/Note";

// The frame of one setting: what holds now stands at its head.
export function SettingCard({ title, state, error, loading, children }: { title: string; state: ReactNode; error: unknown; loading: boolean; children: ReactNode }) {
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
        <div className="aside">{state}</div>
      </div>
      <ErrorNote error={error} />
      {loading ? <Waiting /> : <div className="card-body setting">{children}</div>}
    </section>
  );
}

export const stateChip = (on: boolean, yes: string, no: string): ReactNode => (
  <span className={`chip ${on ? "good" : ""}`}>{on ? `✓ ${yes}` : no}</span>
);
