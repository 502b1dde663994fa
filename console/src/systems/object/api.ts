// The admin API of the object store and its live topics, as the console reads them. The browser test holds every field named here
// against a running server (tests/browser/api_test.mjs reads `SHAPES` below).
import { get, post, request, type Plan } from "../../app/api";

const BASE = "/api/object/v1";

export type DriveState = "online" | "missing" | "replacing" | "failed";

export interface Drive {
  index: number;
  path: string;
  state: DriveState;
  used_bytes: number;
  available_bytes: number;
  read_errors: number;
  write_errors: number;
  corrupt_blocks: number;
}

export interface BlobFigures {
  extents: number;
  live_bytes: number;
  stored_bytes: number;
  puts: number;
  gets: number;
  degraded_reads: number;
  repaired_units: number;
  syncs: number;
  repair_queue: number;
  scrubbed_bytes: number;
  scrub_errors: number;
  // Of which units lie on drives that are out; and those with too few left to be read.
  reduced_extents?: number;
  unreadable_extents?: number;
}

export interface Job {
  kind: "scrub" | "repair" | "compact";
  running: boolean;
  done: number;
  total: number;
  begun_at: string;
  took_ms: number;
  error?: string;
  report?: Record<string, number>;
}

// Topic "object.grid".
export interface GridSample {
  drives: Record<string, Drive>;
  data_units: number;
  parity_units: number;
  stale: number;
  repairing: number;
  repair_extent: number;
  repair_offset: number;
  extents: Record<string, { file_bytes: number; live_bytes: number; growing: boolean; absent: number; repaired: boolean }>;
  damaged: Record<string, number>;
  jobs: Record<string, Job>;
  blob: BlobFigures;
  requests: number;
  received_bytes: number;
  sent_bytes: number;
}

// Topic "object.stripes": a row is a slice of an extent; cells are o sound, m drive away, d damaged, s perhaps missing, r rebuilding.
export interface StripeRow {
  extent: number;
  from: number;
  to: number;
  cells: string;
  // Where the extent's code is another than the pool's. `homeless` units lie on no drive that is there.
  data_units?: number;
  parity_units?: number;
  homeless?: number;
}
export interface StripesSample {
  data_units: number;
  parity_units: number;
  slice_bytes: number;
  repairing: boolean;
  extents: number;
  hidden_extents: number;
  hidden_reduced: number;
  file_bytes: number;
  live_bytes: number;
  rows: Record<string, StripeRow>;
}

// Topic "object.puts": the latest PUTs by request id.
export interface PutTimes {
  bucket: string;
  key: string;
  size_bytes: number;
  at: string;
  authenticate_ms: number;
  authorize_ms: number;
  bytes_ms: number;
  metadata_ms: number;
  total_ms: number;
}
export interface PutsSample {
  puts: Record<string, PutTimes>;
}

export interface ClassUsage {
  versions: number;
  size_bytes: number;
}

export interface BucketUsage {
  name: string;
  owner: string;
  created_at: string;
  versioning: "unversioned" | "enabled" | "suspended";
  objects: number;
  versions: number;
  delete_markers: number;
  size_bytes: number;
  classes: Record<string, ClassUsage>;
  encryption: "none" | "SSE-S3" | "SSE-KMS";
  object_lock: boolean;
  lifecycle_rules: number;
  has_policy: boolean;
  public_access_blocked: boolean;
}

// Topic "object.access": the last requests of the S3 port and the gateway, by request id.
export interface AccessLine {
  at: string;
  method: string;
  operation: string;
  bucket: string;
  key: string;
  user: string;
  address: string;
  status: number;
  error: string;
  received_bytes: number;
  sent_bytes: number;
  took_ms: number;
}
export interface AccessSample {
  requests: Record<string, AccessLine>;
}

// A key of SSE-KMS by its name; its secret never leaves polis.
export interface KmsKey {
  name: string;
  created_at: string;
  enabled: boolean;
}

export interface Presigned {
  url: string;
  method: string;
  expires_s: number;
}

export interface DurabilityLine {
  what: string;
  data_units: number;
  parity_units: number;
  annual_failure_rate: number;
  overhead: number;
  repair_hours: number;
  nines: number;
  loss_a_year: number;
}
export interface Durability {
  assumptions: {
    data_units: number;
    parity_units: number;
    annual_failure_rate: number;
    repair_hours: number;
    repair_measured: boolean;
    repair_gate_hours: number;
    leaves_out: string;
  };
  measured?: {
    repair_bytes_per_second: number;
    drive_bytes: number;
    repair_hours: number;
    within_gate: boolean;
  };
  nines: number;
  loss_a_year: number;
  table: DurabilityLine[];
}

export const drives = (): Promise<{ drives: Drive[]; one_file_system: boolean; protects: string }> => get(`${BASE}/drives`);
export const buckets = (): Promise<{ buckets: BucketUsage[] }> => get(`${BASE}/buckets`);
export const kmsKeys = (): Promise<{ keys: KmsKey[] }> => get(`${BASE}/kms/keys`);
export const makeKmsKey = (name: string): Promise<KmsKey> => post(`${BASE}/kms/keys`, { name });
export const startJob = (kind: Job["kind"]): Promise<Job> => post(`${BASE}/jobs/${kind}`);
export const driveOnline = (index: number): Promise<Drive> => post(`${BASE}/drives/${index}/online`);
// One more drive: an absent or empty directory on the machine of polis.
export const planAddDrive = (path: string): Promise<Plan> => post(`${BASE}/drives`, { path });
export const planLoseDrive = (index: number): Promise<Plan> => post(`${BASE}/drives/${index}/kill`);
export const planReplaceDrive = (index: number): Promise<Plan> => post(`${BASE}/drives/${index}/replace`);
export const planRemoveBucket = (bucket: string): Promise<Plan> =>
  request("DELETE", `${BASE}/buckets/${encodeURIComponent(bucket)}`);
export const planRemoveObjects = (bucket: string, what: { keys: string[] } | { prefix: string }): Promise<Plan> =>
  post(`${BASE}/buckets/${encodeURIComponent(bucket)}/remove`, what);
// For good: the versions themselves go, no marker takes their place.
export const planRemoveVersions = (bucket: string, key: string, versions: string[]): Promise<Plan> =>
  post(`${BASE}/buckets/${encodeURIComponent(bucket)}/remove`, { keys: [key], versions });
// What a removal left where it was, and why: changed since, locked, not allowed. Undefined if all is gone.
export function keptBy(answer: unknown): Error | undefined {
  const { kept = [] } = answer as { kept?: { key: string; message: string }[] };
  const [first] = kept;
  if (!first) return undefined;
  return new Error(`${first.key} was kept: ${first.message}${kept.length > 1 ? ` (and ${kept.length - 1} more)` : ""}`);
}
export const presign = (what: { bucket: string; key: string; method: string; expires_s: number; endpoint: string }): Promise<Presigned> =>
  post(`${BASE}/presign`, what);
export const durability = (query: { k: number; m: number; afr: number; repair_hours?: number }): Promise<Durability> => {
  const parameters = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  return get(`${BASE}/durability?${parameters}`);
};
