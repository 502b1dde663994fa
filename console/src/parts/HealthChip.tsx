// Healthy, degraded, failed: a word, a glyph and a colour.
export type HealthState = "healthy" | "degraded" | "failed";

const looks: Record<HealthState, [string, string, string]> = {
  healthy: ["good", "✓", "Healthy"],
  degraded: ["warn", "!", "Degraded"],
  failed: ["bad", "✕", "Failed"],
};

export function HealthChip({ state }: { state: HealthState | undefined }) {
  if (!state) return <span className="chip">… waiting</span>;
  const [kind, glyph, word] = looks[state];
  return (
    <span className={`chip ${kind}`} data-health={state}>
      <span aria-hidden="true">{glyph}</span> {word}
    </span>
  );
}

export function HealthGlyph({ state }: { state: HealthState | undefined }) {
  if (!state) return null;
  const [kind, glyph, word] = looks[state];
  return (
    <span className={`chip ${kind}`} title={word}>
      <span aria-hidden="true">{glyph}</span>
      <span className="hidden-text">{word}</span>
    </span>
  );
}
