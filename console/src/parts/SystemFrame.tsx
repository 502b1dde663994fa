// What every system's page begins with: its name, its health in a word and a sentence, its tabs.
import type { ReactNode } from "react";
import type { HomeSample } from "../app/api";
import { Link, usePlace } from "../app/router";
import { HealthChip } from "./HealthChip";
import { useTopic } from "./live";
import { Note } from "./Note";

export interface SystemTab {
  path: string;
  title: string;
}

interface SystemFrameProps {
  system: string;
  title: string;
  what: string;
  tabs: readonly SystemTab[];
  children: ReactNode;
}

export function SystemFrame({ system, title, what, tabs, children }: SystemFrameProps) {
  const { path } = usePlace();
  const health = useTopic<HomeSample>("polis.home").value?.systems[system];
  return (
    <>
      <div className="page-head">
        <h1>{title}</h1>
        <HealthChip state={health?.state} />
        <p>{what}</p>
      </div>
      {health?.message && <Note kind={health.state === "failed" ? "bad" : "warn"}>{health.message}</Note>}
      <nav className="tabs" aria-label={title}>
        {tabs.map((tab) => (
          <Link key={tab.path} to={tab.path} aria-current={path === tab.path ? "page" : undefined}>
            {tab.title}
          </Link>
        ))}
      </nav>
      {children}
    </>
  );
}
