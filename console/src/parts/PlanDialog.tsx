// A destructive action in two steps: the server drafts a plan, the page shows exactly what it lists, and applies it by its id.
import { useCallback, useEffect, useState } from "react";
import { applyPlan, type Plan } from "../app/api";
import { Dialog } from "./Dialog";
import { bytes, plural } from "./format";
import { ErrorNote, Waiting } from "./Note";
import { Time } from "./Time";

interface PlanDialogProps {
  // Asks the server for the plan.
  draft: () => Promise<Plan>;
  verb: string;
  warning?: string;
  close: () => void;
  done?: (answer: unknown) => void;
}

export function PlanDialog({ draft, verb, warning, close, done }: PlanDialogProps) {
  const [plan, setPlan] = useState<Plan>();
  const [error, setError] = useState<unknown>();
  const [applying, setApplying] = useState(false);
  // The dialog asks once, when it opens; a fresh closure from its parent is no reason to ask again.
  const [ask] = useState(() => draft);
  useEffect(() => {
    let open = true;
    ask().then(
      (answer) => open && setPlan(answer),
      (reason) => open && setError(reason),
    );
    return () => {
      open = false;
    };
  }, [ask]);
  const apply = useCallback(async () => {
    if (!plan) return;
    setApplying(true);
    setError(undefined);
    try {
      const answer = await applyPlan(plan.id);
      done?.(answer);
      close();
    } catch (reason) {
      setError(reason);
      setPlan(undefined);
    } finally {
      setApplying(false);
    }
  }, [plan, done, close]);
  return (
    <Dialog
      title={plan?.title ?? "The plan"}
      close={close}
      foot={
        <>
          <button type="button" className="button" onClick={close} autoFocus>
            {plan ? "Keep as it is" : "Close"}
          </button>
          {plan && (
            <button type="button" className="button danger" onClick={apply} disabled={applying}>
              {applying ? "Working …" : verb}
            </button>
          )}
        </>
      }
    >
      <ErrorNote error={error} />
      {!plan && !error && <Waiting what="Finding out what this touches" />}
      {plan && (
        <>
          {warning && <p>{warning}</p>}
          <ul className="touches" tabIndex={0} aria-label="What it touches">
            {plan.touches.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
          <p className="soft">
            Touches {plural(plan.touched_count, "thing")}
            {plan.touched_bytes > 0 && <>, {bytes(plan.touched_bytes)}</>}. Plan <code>{plan.id}</code>, open until{" "}
            <Time at={plan.expires_at} />.
          </p>
        </>
      )}
    </Dialog>
  );
}
