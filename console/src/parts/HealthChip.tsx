// Healthy, degraded, failed: a word, a glyph and a colour. Without a live connection it is what was last seen, and says so.
import { useConnection } from "./live";

export type HealthState = "healthy" | "degraded" | "failed";

const looks: Record<HealthState, [string, string, string]> = {
  healthy: ["good", "✓", "Healthy"],
  degraded: ["warn", "!", "Degraded"],
  failed: ["bad", "✕", "Failed"],
};

export function HealthChip({ state }: { state: HealthState | undefined }) {
  const lost = useConnection().state === "lost";
  if (!state) return <span className="chip">… waiting</span>;
  const [kind, glyph, word] = looks[state];
  if (lost) return <span className="chip">? Last seen {word.toLowerCase()}</span>;
  return (
    <span className={`chip ${kind}`} data-health={state}>
      <span aria-hidden="true">{glyph}</span> {word}
    </span>
  );
}

export function HealthGlyph({ state }: { state: HealthState | undefined }) {
  const lost = useConnection().state === "lost";
  if (!state) return null;
  const [kind, glyph, word] = looks[state];
  const text = lost ? `Last seen ${word.toLowerCase()}` : word;
  return (
    <span className={lost ? "chip" : `chip ${kind}`} title={text}>
      <span aria-hidden="true">{lost ? "?" : glyph}</span>
      <span className="hidden-text">{text}</span>
    </span>
  );
}
