// How long producers waited for their answer, by what the answer means: three histograms over the same buckets, side by side.
import { useEffect, useRef, useState } from "react";
import { SeriesMark } from "../../parts/Chart";
import { count, duration } from "../../parts/format";
import type { Latency, LiveSample } from "./api";

const LEVELS = [
  { level: "none", title: "acks=0", what: "nobody is waited for", color: 4, dash: [2, 3] },
  { level: "os", title: "page cache", what: "acks=1 or all, polis.durability=os", color: 2, dash: [6, 4] },
  { level: "fsync", title: "disk", what: "acks=1 or all, fsync before the answer", color: 3, dash: undefined },
];

const WINDOW_MS = 60_000;
interface Look {
  atMs: number;
  latency: Record<string, Latency>;
}
// A look every few seconds, for as long as the page is open: what was counted in the last minute is the difference to the oldest.
const looks: Look[] = [];

function useLastMinute(latency: Record<string, Latency> | undefined): { latency: Record<string, Latency>; minute: boolean } {
  const latest = useRef(latency);
  latest.current = latency;
  const [, redraw] = useState(0);
  useEffect(() => {
    const look = () => {
      if (!latest.current) return;
      looks.push({ atMs: Date.now(), latency: latest.current });
      while (looks.length > 1 && (looks[1]?.atMs ?? 0) < Date.now() - WINDOW_MS) looks.shift();
      redraw((value) => value + 1);
    };
    look();
    const timer = setInterval(look, 3000);
    return () => clearInterval(timer);
  }, []);
  const before = looks[0]?.latency;
  if (!latency) return { latency: {}, minute: false };
  if (!before) return { latency, minute: false };
  const since: Record<string, Latency> = {};
  let seen = 0;
  for (const [level, now] of Object.entries(latency)) {
    const old = before[level];
    // Counters that fell began anew: polis was started again.
    if (!old || old.count > now.count) return { latency, minute: false };
    since[level] = { count: now.count - old.count, sum_s: now.sum_s - old.sum_s, buckets: now.buckets.map((value, at) => value - (old.buckets[at] ?? 0)) };
    seen += now.count - old.count;
  }
  return seen > 0 ? { latency: since, minute: true } : { latency, minute: false };
}

// The bound below which the share lies; undefined beyond the last.
function quantile(latency: Latency, bounds: number[], share: number): number | undefined {
  let left = latency.count * share;
  for (let at = 0; at < bounds.length; ++at) {
    const here = latency.buckets[at] ?? 0;
    const low = at === 0 ? 0 : (bounds[at - 1] ?? 0);
    const high = bounds[at] ?? 0;
    if (left <= here && here > 0) return low + ((high - low) * left) / here;
    left -= here;
  }
  return undefined;
}

export function LatencyPlot({ live }: { live: LiveSample | undefined }) {
  const { latency, minute } = useLastMinute(live?.latency);
  const bounds = live?.latency_bounds_s ?? [];
  const shown = LEVELS.filter(({ level }) => (latency[level]?.count ?? 0) > 0);
  return (
    <section className="card" aria-label="Latency of producing by acknowledgement">
      <div className="card-head">
        <h2>Latency by acknowledgement</h2>
        <div className="aside">{shown.length > 0 && (minute ? "the last minute" : "since polis was started")}</div>
      </div>
      {shown.length === 0 && <p className="card-body soft">Nobody has produced anything since polis was started.</p>}
      <div className="latencies">
        {shown.map(({ level, title, what, color, dash }) => {
          const one = latency[level] as Latency;
          const most = Math.max(1, ...one.buckets);
          const p50 = quantile(one, bounds, 0.5);
          const p99 = quantile(one, bounds, 0.99);
          const text = (value: number | undefined): string => (value === undefined ? `over ${duration(bounds.at(-1) ?? 0)}` : duration(value));
          return (
            <div className="latency" key={level} data-testid="latency" data-level={level}>
              <div className="latency-head">
                <b>
                  <SeriesMark color={color} dash={dash} /> {title}
                </b>
                <span className="soft">{what}</span>
                <span>
                  p50 <b>{text(p50)}</b>, p99 <b>{text(p99)}</b>, {count(one.count)} requests
                </span>
              </div>
              <div className="latency-bars" role="img" aria-label={`${title}: p50 ${text(p50)}, p99 ${text(p99)}, ${one.count} requests`}>
                {one.buckets.map((value, at) => (
                  <span key={at} title={`${at < bounds.length ? `up to ${duration(bounds[at] ?? 0)}` : `over ${duration(bounds.at(-1) ?? 0)}`}: ${value}`}>
                    <i className={`s${color}`} style={{ height: `${value > 0 ? Math.max(2, (value / most) * 100) : 0}%` }} />
                  </span>
                ))}
              </div>
            </div>
          );
        })}
      </div>
      {shown.length > 0 && (
        <div className="latency-scale soft" aria-hidden="true">
          <span>{duration(bounds[0] ?? 0)}</span>
          <span>{duration(bounds[Math.floor(bounds.length / 2)] ?? 0)}</span>
          <span>{duration(bounds.at(-1) ?? 0)}</span>
        </div>
      )}
    </section>
  );
}
