// A command to copy. Pages served over plain HTTP from another host have no clipboard API: then the text is selected instead.
import { useEffect, useRef, useState } from "react";
import { Icon } from "./icons";

export function Command({ text, label = "command" }: { text: string; label?: string }) {
  const [state, setState] = useState<"idle" | "copied" | "selected">("idle");
  const shown = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (state === "idle") return;
    const timer = setTimeout(() => setState("idle"), 2500);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState("copied");
    } catch {
      if (shown.current) getSelection()?.selectAllChildren(shown.current);
      setState("selected");
    }
  };
  return (
    <div className="command">
      <pre ref={shown} tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <button type="button" className="button quiet small" onClick={copy} aria-label={`Copy ${label}`}>
        <Icon name={state === "copied" ? "check" : "copy"} size={14} />
        <span aria-live="polite">{state === "copied" ? "Copied" : state === "selected" ? "Press Ctrl+C" : "Copy"}</span>
      </button>
    </div>
  );
}
