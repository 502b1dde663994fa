import type { ReactNode } from "react";
import { Command } from "./Command";

// Nothing is here yet: says what to do next, with the command to copy.
export function Empty({ title, children, command }: { title: string; children?: ReactNode; command?: string }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children}
      {command && <Command text={command} />}
    </div>
  );
}
