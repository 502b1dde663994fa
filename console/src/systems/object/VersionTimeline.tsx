// Versions over time: a lane a key, a block for as long as a version was the one that a GET answers, a hatched gap where a delete
// marker was. Blocks of one lane differ by shade and border, deletions by hatching, glyph and word.
import type { ReactNode } from "react";
import { Choice } from "../../parts/Choice";
import { bytes, localTime } from "../../parts/format";
import { lanesOf, type Scale, type Span } from "./timeline";
import type { Version } from "./versions";

const TICKS = 5;

const SCALES: { id: Scale; title: string }[] = [
  { id: "time", title: "By time" },
  { id: "order", title: "Step by step" },
];

export function ScaleSwitch({ scale, set }: { scale: Scale; set: (scale: Scale) => void }) {
  return <Choice label="Scale" options={SCALES} value={scale} set={set} />;
}

const wordOf = ({ version }: Span): string => {
  const what = version.deleteMarker ? "delete marker" : bytes(version.size);
  return `${what}, since ${localTime(new Date(version.modifiedAt))}${version.latest ? ", the newest" : ""}, version ${version.id}`;
};

interface VersionTimelineProps {
  versions: readonly Version[];
  scale: Scale;
  // What stands before a lane, if it needs a name.
  name?: (key: string) => ReactNode;
  chosen?: string | undefined;
  choose: (version: Version) => void;
}

export function VersionTimeline({ versions, scale, name, chosen, choose }: VersionTimelineProps) {
  const { lanes, begin, end } = lanesOf(versions, Date.now(), scale);
  return (
    <div className={`lanes${name ? " named" : ""}`} data-testid="timeline">
      {lanes.map(({ key, spans }) => (
        <div className="lane" key={key} role="group" aria-label={`Versions of ${key}`}>
          {name && <div className="lane-name">{name(key)}</div>}
          <div className="lane-track">
            {spans.map((span, index) => {
              const { version } = span;
              const marker = version.deleteMarker;
              const look = marker ? "gone" : version.latest ? "newest" : index % 2 === 0 ? "older" : "older other";
              return (
                <button
                  type="button"
                  key={version.id}
                  className={`lane-span ${look}`}
                  data-version={version.id}
                  aria-pressed={version.id === chosen}
                  aria-label={wordOf(span)}
                  title={wordOf(span)}
                  style={{ left: `${span.from * 100}%`, width: `${Math.max(0, span.to - span.from) * 100}%` }}
                  onClick={() => choose(version)}
                >
                  <span aria-hidden="true">{marker ? "×" : bytes(version.size)}</span>
                </button>
              );
            })}
          </div>
        </div>
      ))}
      <div className="lane axis" aria-hidden="true">
        {name && <div className="lane-name" />}
        <div className="lane-ticks">
          {scale === "time" ? (
            Array.from({ length: TICKS }, (_, at) => (
              <span key={at}>{at === TICKS - 1 ? "now" : localTime(new Date(begin + ((end - begin) * at) / (TICKS - 1)))}</span>
            ))
          ) : (
            <>
              <span>the first change</span>
              <span>now</span>
            </>
          )}
        </div>
      </div>
      <ul className="stripe-legend" aria-label="What the blocks mean">
        <li>
          <span className="lane-span newest" aria-hidden="true" /> what a GET answers now
        </li>
        <li>
          <span className="lane-span older" aria-hidden="true" /> an older version
        </li>
        <li>
          <span className="lane-span gone" aria-hidden="true">
            ×
          </span>{" "}
          deleted: a marker covers what was there
        </li>
      </ul>
    </div>
  );
}
