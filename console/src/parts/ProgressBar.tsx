// CSSOM sets the width, so that the page's policy can forbid inline styles.
export function ProgressBar({ done, total, label, kind }: { done: number; total: number; label: string; kind?: "good" | "warn" | "bad" }) {
  const share = total > 0 ? Math.min(1, done / total) : 0;
  return (
    <div
      className={`bar ${kind ?? ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
    >
      <div style={{ width: `${share * 100}%` }} />
    </div>
  );
}
