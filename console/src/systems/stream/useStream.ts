// What every part of the page knows: the live samples, the port that clients speak to, and how lags went while the page was open.
import { useEffect, useState } from "react";
import { usePort } from "../../app/usePort";
import { live as liveClient, useTopic, type TopicState } from "../../parts/live";
import type { GroupsSample, LiveSample, PathSample } from "./api";
import { lags } from "./offsets";

export const useLive = (): TopicState<LiveSample> => useTopic<LiveSample>("stream.live");
export const useGroups = (): TopicState<GroupsSample> => useTopic<GroupsSample>("stream.groups");
export const usePath = (): TopicState<PathSample> => useTopic<PathSample>("stream.path");

export const useKafkaPort = (): number => usePort("stream", "kafka", 9092);

export interface LagPoint {
  atMs: number;
  lags: Record<string, number>;
}

const HISTORY_MS_MAX = 3_600_000;
// Beside the components, so that leaving the page forgets nothing.
const history: LagPoint[] = [];

// Looked at once a second while somebody looks.
export function useLagHistory(): readonly LagPoint[] {
  const [, redraw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => {
      if (liveClient.connectionState().state !== "open") return;
      const groups = liveClient.current<GroupsSample>("stream.groups").value;
      const live = liveClient.current<LiveSample>("stream.live").value;
      if (!groups || !live) return;
      const atMs = Date.now();
      history.push({ atMs, lags: lags(groups, live) });
      while (history[0] && history[0].atMs < atMs - HISTORY_MS_MAX) history.shift();
      redraw((value) => value + 1);
    }, 1000);
    return () => clearInterval(timer);
  }, []);
  return history;
}
