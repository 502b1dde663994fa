// Uploads from the browser: files are cut into parts, a few of which are under way at once; each part is retried alone, the whole can
// be paused and resumed. Uploads live beside the components, so that leaving the page does not end them; what was under way when the
// tab was closed is remembered (not its bytes) and goes on when the same file is chosen again.
import { useSyncExternalStore } from "react";
import { ApiError } from "../../app/api";
import * as s3 from "./s3";

export const PART_BYTES_MIN = 5 * 1024 * 1024;
const PARTS_MAX = 10_000;
const PARTS_AT_ONCE = 3;
const TRIES = 4;

export interface PartState {
  number: number;
  from: number;
  to: number;
  sent: number;
  state: "waiting" | "sending" | "stored" | "failed";
}

export interface Upload {
  id: number;
  bucket: string;
  key: string;
  size: number;
  parts: PartState[];
  state: "starting" | "sending" | "paused" | "finishing" | "done" | "failed";
  error?: string;
  startedAt: number;
  endedAt?: number;
  resumed: boolean;
}

interface Running {
  file: File;
  uploadId?: string;
  stop: AbortController;
  stored: Map<number, s3.StoredPart>;
}

let uploads: readonly Upload[] = [];
const running = new Map<number, Running>();
const listeners = new Set<() => void>();
let lastId = 0;

function change(id: number, patch: Partial<Upload>): void {
  uploads = uploads.map((one) => (one.id === id ? { ...one, ...patch } : one));
  for (const listener of listeners) listener();
}
const find = (id: number): Upload | undefined => uploads.find((one) => one.id === id);

function changePart(id: number, number: number, patch: Partial<PartState>): void {
  const upload = find(id);
  if (upload) change(id, { parts: upload.parts.map((part) => (part.number === number ? { ...part, ...patch } : part)) });
}

export function useUploads(): readonly Upload[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => uploads,
  );
}

// --- what survives a closed tab

interface Remembered {
  uploadId: string;
  partBytes: number;
}
const memoryKey = (bucket: string, key: string, file: File): string =>
  `polis.upload ${bucket}/${key} ${file.size} ${file.lastModified}`;
function recall(name: string): Remembered | undefined {
  try {
    const text = localStorage.getItem(name);
    return text ? (JSON.parse(text) as Remembered) : undefined;
  } catch {
    return undefined;
  }
}
function remember(name: string, value: Remembered | undefined): void {
  try {
    if (value) localStorage.setItem(name, JSON.stringify(value));
    else localStorage.removeItem(name);
  } catch {
    // Without storage an upload ends with its tab.
  }
}

// --- the work

const partSize = (size: number): number => {
  const step = 1024 * 1024;
  return Math.max(PART_BYTES_MIN, Math.ceil(size / PARTS_MAX / step) * step);
};

function cut(size: number, partBytes: number): PartState[] {
  const parts: PartState[] = [];
  for (let from = 0; from < size || parts.length === 0; from += partBytes)
    parts.push({ number: parts.length + 1, from, to: Math.min(size, from + partBytes), sent: 0, state: "waiting" });
  return parts;
}

export function start(bucket: string, key: string, file: File): void {
  const id = ++lastId;
  const kept = recall(memoryKey(bucket, key, file));
  const upload: Upload = {
    id,
    bucket,
    key,
    size: file.size,
    parts: cut(file.size, kept?.partBytes ?? partSize(file.size)),
    state: "starting",
    startedAt: Date.now(),
    resumed: kept !== undefined,
  };
  uploads = [upload, ...uploads];
  running.set(id, { file, stop: new AbortController(), stored: new Map(), ...(kept && { uploadId: kept.uploadId }) });
  void run(id);
}

export function pause(id: number): void {
  const parts = find(id)?.parts.map((part) => (part.state === "sending" ? { ...part, sent: 0, state: "waiting" as const } : part));
  change(id, { state: "paused", ...(parts && { parts }) });
  running.get(id)?.stop.abort();
}

export function resume(id: number): void {
  const work = running.get(id);
  if (!work) return;
  work.stop = new AbortController();
  const upload = find(id);
  if (upload) {
    const parts = upload.parts.map((part) => (part.state === "stored" ? part : { ...part, sent: 0, state: "waiting" as const }));
    const { error: _, ...rest } = upload;
    uploads = uploads.map((one) => (one.id === id ? { ...rest, parts, state: "starting" } : one));
  }
  void run(id);
}

export async function cancel(id: number): Promise<void> {
  const work = running.get(id);
  const upload = find(id);
  work?.stop.abort();
  running.delete(id);
  uploads = uploads.filter((one) => one.id !== id);
  for (const listener of listeners) listener();
  if (!work || !upload || upload.state === "done") return;
  remember(memoryKey(upload.bucket, upload.key, work.file), undefined);
  if (work.uploadId) await s3.abortUpload(upload.bucket, upload.key, work.uploadId);
}

async function run(id: number): Promise<void> {
  const work = running.get(id);
  const upload = find(id);
  if (!work || !upload) return;
  const signal = work.stop.signal;
  try {
    if (upload.parts.length === 1) await sendWhole(upload, work, signal);
    else await sendParts(upload, work, signal);
    change(id, { state: "done", endedAt: Date.now() });
    running.delete(id);
  } catch (error) {
    // Paused or cancelled: the error is only the echo of it.
    if (find(id)?.state === "paused" || !running.has(id)) return;
    work.stop.abort();
    change(id, { state: "failed", error: error instanceof Error ? error.message : String(error) });
  }
}

async function sendWhole(upload: Upload, work: Running, signal: AbortSignal): Promise<void> {
  change(upload.id, { state: "sending" });
  await sendPart(upload, work, 1, signal, s3.urlOf(upload.bucket, upload.key));
}

async function sendParts(upload: Upload, work: Running, signal: AbortSignal): Promise<void> {
  const { bucket, key, id } = upload;
  const memory = memoryKey(bucket, key, work.file);
  if (work.uploadId) {
    await takeStored(upload, work).catch((error: unknown) => {
      // Aborted or completed meanwhile: begin anew.
      if (error instanceof ApiError && error.status === 404) delete work.uploadId;
      else throw error;
    });
  }
  if (!work.uploadId) {
    work.stored.clear();
    work.uploadId = await s3.beginUpload(bucket, key, work.file.type || "application/octet-stream");
    remember(memory, { uploadId: work.uploadId, partBytes: (upload.parts[0]?.to ?? 0) - (upload.parts[0]?.from ?? 0) });
  }
  signal.throwIfAborted();
  change(id, { state: "sending" });
  const waiting = upload.parts.map((part) => part.number).filter((number) => !work.stored.has(number));
  const worker = async (): Promise<void> => {
    for (let number = waiting.shift(); number !== undefined; number = waiting.shift())
      await sendPart(upload, work, number, signal, s3.urlOf(bucket, key, { partNumber: number, uploadId: work.uploadId ?? "" }));
  };
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, worker));
  change(id, { state: "finishing" });
  await s3.completeUpload(bucket, key, work.uploadId, [...work.stored.values()]);
  remember(memory, undefined);
}

async function takeStored(upload: Upload, work: Running): Promise<void> {
  for (const part of await s3.listParts(upload.bucket, upload.key, work.uploadId ?? "")) {
    const mine = upload.parts[part.number - 1];
    if (!mine || mine.to - mine.from !== part.size) continue;
    work.stored.set(part.number, part);
    changePart(upload.id, part.number, { state: "stored", sent: part.size });
  }
}

async function sendPart(upload: Upload, work: Running, number: number, signal: AbortSignal, url: string): Promise<void> {
  const part = upload.parts[number - 1];
  if (!part) return;
  const slice = work.file.slice(part.from, part.to);
  for (let tried = 1; ; ++tried) {
    changePart(upload.id, number, { state: "sending", sent: 0 });
    try {
      const type = upload.parts.length === 1 ? work.file.type || "application/octet-stream" : "";
      const etag = await s3.putBytes(url, slice, type, signal, (sent) => changePart(upload.id, number, { sent }));
      work.stored.set(number, { number, etag, size: slice.size });
      changePart(upload.id, number, { state: "stored", sent: slice.size });
      return;
    } catch (error) {
      if (signal.aborted) throw error;
      // What the server refuses for good is not tried again.
      const forGood = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 408;
      if (forGood || tried === TRIES) {
        changePart(upload.id, number, { state: "failed" });
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 400 * 2 ** tried));
    }
  }
}
