// Live topics over one WebSocket (/api/live). A topic is subscribed to while a component shows it; the server sends a snapshot and
// then merge patches (RFC 7396), each of which is acknowledged. When the connection breaks, values stay as they were and the page
// says since when; the client connects again with growing pauses.
import { useEffect, useRef, useState, useSyncExternalStore } from "react";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export function mergePatch(target: Json, patch: Json): Json {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const base = target !== null && typeof target === "object" && !Array.isArray(target) ? target : {};
  const merged: { [key: string]: Json } = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key] ?? null, value);
  }
  return merged;
}

export interface TopicState<T> {
  value?: T;
  atMs?: number;
  error?: string;
}

interface Frame {
  op: "snapshot" | "delta" | "error";
  topic: string;
  seq?: number;
  at_ms?: number;
  value?: Json;
  patch?: Json;
  code?: string;
  message?: string;
}

export type Connection = { state: "off" } | { state: "connecting" | "open" } | { state: "lost"; since: Date; nextTryAt: number };

const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 10_000;

export class LiveClient {
  private socket: WebSocket | undefined;
  private connection: Connection = { state: "off" };
  private readonly topics = new Map<string, { users: number; state: TopicState<unknown> }>();
  private readonly listeners = new Set<() => void>();
  private retry: ReturnType<typeof setTimeout> | undefined;
  private pauseMs = PAUSE_MS_MIN;
  private lostSince: Date | undefined;

  constructor(private readonly onRefused: () => void) {}

  start(): void {
    if (this.connection.state === "off") this.connect();
  }

  stop(): void {
    clearTimeout(this.retry);
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
    this.lostSince = undefined;
    this.set({ state: "off" });
  }

  retryNow(): void {
    if (this.connection.state !== "lost") return;
    clearTimeout(this.retry);
    this.connect();
  }

  use(topic: string): () => void {
    const entry = this.topics.get(topic) ?? { users: 0, state: {} };
    this.topics.set(topic, entry);
    if (++entry.users === 1) this.tell({ op: "subscribe", topic });
    return () => {
      if (--entry.users > 0) return;
      this.topics.delete(topic);
      this.tell({ op: "unsubscribe", topic });
    };
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  current<T>(topic: string): TopicState<T> {
    return (this.topics.get(topic)?.state ?? NOTHING) as TopicState<T>;
  }

  connectionState = (): Connection => this.connection;

  private connect(): void {
    if (this.connection.state !== "lost") this.set({ state: "connecting" });
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/live`);
    this.socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.pauseMs = PAUSE_MS_MIN;
      this.lostSince = undefined;
      this.set({ state: "open" });
      for (const topic of this.topics.keys()) this.tell({ op: "subscribe", topic });
    };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") this.take(JSON.parse(event.data) as Frame);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = undefined;
      this.lostSince ??= new Date();
      // A refused handshake looks like any other failure here: the session may have ended.
      if (!opened) this.onRefused();
      this.set({ state: "lost", since: this.lostSince, nextTryAt: Date.now() + this.pauseMs });
      this.retry = setTimeout(() => this.connect(), this.pauseMs);
      this.pauseMs = Math.min(PAUSE_MS_MAX, this.pauseMs * 2) * (0.85 + Math.random() * 0.3);
    };
  }

  private take(frame: Frame): void {
    const entry = this.topics.get(frame.topic);
    if (frame.op === "error") {
      if (entry) entry.state = { ...entry.state, error: frame.message ?? frame.code ?? "refused" };
    } else {
      this.tell({ op: "ack", topic: frame.topic, seq: frame.seq });
      if (entry) {
        const old = (entry.state.value ?? null) as Json;
        const value = frame.op === "snapshot" ? frame.value : mergePatch(old, frame.patch ?? {});
        entry.state = { value, ...(frame.at_ms !== undefined && { atMs: frame.at_ms }) };
      }
    }
    this.announce();
  }

  private tell(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private set(connection: Connection): void {
    this.connection = connection;
    this.announce();
  }

  private announce(): void {
    for (const listener of this.listeners) listener();
  }
}

const NOTHING: TopicState<never> = {};

// One client for the page; the session starts and stops it.
let refused = () => {};
export const live = new LiveClient(() => refused());
export function whenLiveRefused(listener: () => void): void {
  refused = listener;
}

export function useTopic<T>(topic: string): TopicState<T> {
  useEffect(() => live.use(topic), [topic]);
  return useSyncExternalStore(live.subscribe, () => live.current<T>(topic));
}

export function useConnection(): Connection {
  return useSyncExternalStore(live.subscribe, live.connectionState);
}

// --- rates from counters

// Null values are gaps: nothing was seen then.
export interface Point {
  atMs: number;
  values: Record<string, number> | null;
}

const HISTORY_MS_MAX = 3_600_000;
// A topic that says nothing for so long has not changed: its rates are zero.
const QUIET_MS = 2_500;
// Without a look for so long (another page was open, the connection was lost) the curve has a hole.
const HOLE_MS = 6_000;

// What counters did between samples, per second, for as long as the page is open (an hour at most).
export class RateHistory {
  readonly points: Point[] = [];
  private last: { atMs: number; seenMs: number; values: Record<string, number> } | undefined;

  // `atMs` is the server's time of the sample, `nowMs` this machine's.
  look(nowMs: number, atMs: number, counters: Record<string, number>): void {
    const last = this.last;
    if (!last || nowMs - last.seenMs > HOLE_MS) {
      if (last) this.points.push({ atMs: nowMs, values: null });
      this.last = { atMs, seenMs: nowMs, values: counters };
      return;
    }
    if (atMs <= last.atMs) {
      if (nowMs - last.seenMs < QUIET_MS) return;
      this.push(nowMs, Object.fromEntries(Object.keys(counters).map((name) => [name, 0])));
      this.last = { atMs: last.atMs + (nowMs - last.seenMs), seenMs: nowMs, values: counters };
      return;
    }
    const seconds = Math.max(0.05, (atMs - last.atMs) / 1000);
    const values: Record<string, number> = {};
    for (const [name, value] of Object.entries(counters)) {
      const before = last.values[name];
      // A counter that fell began anew: polis was started again.
      if (before !== undefined) values[name] = (value < before ? value : value - before) / seconds;
    }
    this.push(nowMs, values);
    this.last = { atMs, seenMs: nowMs, values: counters };
  }

  private push(atMs: number, values: Record<string, number>): void {
    this.points.push({ atMs, values });
    while (this.points[0] && this.points[0].atMs < atMs - HISTORY_MS_MAX) this.points.shift();
  }
}

const histories = new Map<string, RateHistory>();

// The rates of a topic's counters, looked at once a second. They live beside the components, so that leaving a page forgets nothing.
export function useRates<T>(topic: string, countersOf: (value: T) => Record<string, number>): RateHistory {
  const [, redraw] = useState(0);
  const history = histories.get(topic) ?? new RateHistory();
  histories.set(topic, history);
  const pick = useRef(countersOf);
  pick.current = countersOf;
  useEffect(() => {
    const timer = setInterval(() => {
      const state = live.current<T>(topic);
      if (live.connectionState().state !== "open" || state.value === undefined || state.atMs === undefined) return;
      history.look(Date.now(), state.atMs, pick.current(state.value));
      redraw((value) => value + 1);
    }, 1000);
    return () => clearInterval(timer);
  }, [topic, history]);
  return history;
}
