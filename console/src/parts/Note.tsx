import type { ReactNode } from "react";
import { Icon } from "./icons";

export function Note({ kind, children, action }: { kind: "bad" | "warn" | "info"; children: ReactNode; action?: ReactNode }) {
  return (
    <div className={`note ${kind}`} role={kind === "bad" ? "alert" : "status"}>
      <Icon name={kind === "info" ? "info" : "alert"} />
      <div>{children}</div>
      {action && <div className="note-action">{action}</div>}
    </div>
  );
}

export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null;
  const text = error instanceof Error ? error.message : String(error);
  return (
    <Note
      kind="bad"
      action={
        retry && (
          <button type="button" className="button small" onClick={retry}>
            Try again
          </button>
        )
      }
    >
      {text}
    </Note>
  );
}

export function Waiting({ what = "Loading" }: { what?: string }) {
  return (
    <div className="waiting" role="status">
      <span className="spinner" /> {what} …
    </div>
  );
}
