// The event log's admin API (below /api/stream/v1) and its live topics. Offsets and producer ids are texts of digits, because they
// do not fit into a JavaScript number. The test stream_api_test compares these types with the server.
import { get, post, request, type Plan } from "../../app/api";

const BASE = "/api/stream/v1";

// --- live topics

// [start, high watermark, last stable offset, end, bytes, open transactions, duplicates dropped]; the first four are offsets.
export type PartitionNumbers = [string, string, string, string, number, number, number];

export interface LiveTopic {
  partition_count: number;
  durability: string;
  read_path: string;
  partitions: Record<string, PartitionNumbers>;
}
// Counts of batches by how long their answer took; one bucket more than there are bounds.
export interface Latency {
  count: number;
  sum_s: number;
  buckets: number[];
}
// Topic "stream.live". Internal topics are left out, and what is beyond 100 topics or 400 partitions.
export interface LiveSample {
  topic_count: number;
  partition_count: number;
  shown_partitions: number;
  size_bytes: number;
  duplicates: number;
  open_transactions: number;
  produced_bytes: number;
  produced_records: number;
  refused_batches: number;
  sendfile_bytes: number;
  copied_bytes: number;
  disk_full: boolean;
  latency_bounds_s: number[];
  // By what an answer means: "none", "os", "fsync".
  latency: Record<string, Latency>;
  topics: Record<string, LiveTopic>;
}

export interface LiveGroup {
  state: string;
  members: number;
  // Topic, then partition, to the committed offset.
  committed: Record<string, Record<string, string>>;
}
export interface LiveTransaction {
  state: string;
  producer_id: string;
}
// Topic "stream.groups".
export interface GroupsSample {
  group_count: number;
  groups: Record<string, LiveGroup>;
  transaction_count: number;
  transactions: Record<string, LiveTransaction>;
}

export interface Arrow {
  bytes: number;
  calls: number;
  wall_ns: number;
  cpu_ns: number;
}
// Topic "stream.path".
export interface PathSample {
  running: boolean;
  begun: string;
  topic: string;
  partition: number;
  error: string;
  measured: boolean;
  read: Arrow;
  write: Arrow;
  sendfile: Arrow;
}

// --- answers

export interface TopicHead {
  name: string;
  id: string;
  partition_count: number;
  internal: boolean;
  cleanup_policy: string;
  durability: string;
  read_path: string;
  overrides: Record<string, string>;
  size_bytes: number;
  records: string;
  failed_partitions: number;
}
export interface TopicList {
  topics: TopicHead[];
}
export interface PartitionState {
  partition: number;
  log_start_offset: string;
  high_watermark: string;
  last_stable_offset: string;
  end_offset: string;
  size_bytes: number;
  segments: number;
  producers: number;
  open_transactions: number;
  duplicates: number;
  error: string;
}
export interface ConfigEntry {
  name: string;
  value: string;
  default: string;
  overridden: boolean;
  type: string;
  help: string;
}
export interface TopicView {
  name: string;
  id: string;
  partition_count: number;
  internal: boolean;
  cleanup_policy: string;
  durability: string;
  read_path: string;
  overrides: Record<string, string>;
  partitions: PartitionState[];
  config: ConfigEntry[];
}

export interface GroupPosition {
  topic: string;
  partition: number;
  committed: string;
  metadata: string;
  log_start_offset: string;
  high_watermark: string;
  // "-1" where the partition is gone.
  lag: string;
}
export interface GroupMember {
  member_id: string;
  instance_id: string;
  client_id: string;
  client_host: string;
  assignment: { topic: string; partition: number }[];
}
export interface GroupView {
  group: string;
  state: string;
  protocol_type: string;
  protocol: string;
  members: GroupMember[];
  positions: GroupPosition[];
}

export interface Transaction {
  transactional_id: string;
  state: string;
  producer_id: string;
  producer_epoch: number;
  timeout_ms: number;
  started_ms: number;
  partitions: { topic: string; partition: number }[];
}
export interface TransactionList {
  transactions: Transaction[];
}

// A key, value or header: text where it is UTF-8, else base64; cut where it is long.
export interface Shown {
  size_bytes: number;
  cut: boolean;
  text?: string;
  base64?: string;
}
export type MaybeShown = Shown | null;
export interface Message {
  partition: number;
  offset: string;
  timestamp_ms: number;
  timestamp_type: string;
  key: MaybeShown;
  value: MaybeShown;
  headers: { key: string; value: MaybeShown }[];
  codec: string;
  state: "committed" | "aborted" | "open" | "marker";
  marker: string;
  producer_id: string;
  batch_offset: string;
  batch_bytes: number;
}
export interface PartitionPage {
  next: string;
  log_start_offset: string;
  high_watermark: string;
  last_stable_offset: string;
}
export interface MessagePage {
  topic: string;
  messages: Message[];
  partitions: Record<string, PartitionPage>;
}
export interface DuplicateKey {
  key: Shown;
  records: number;
  offsets: string[];
}
export interface Duplicates {
  topic: string;
  partition: number;
  from: string;
  to: string;
  records: number;
  without_key: number;
  distinct_keys: number;
  repeated_keys: number;
  repeated_records: number;
  keys: DuplicateKey[];
}
export interface Appended {
  topic: string;
  partition: number;
  offset: string;
}

// --- requests

type Query = Record<string, string | number | undefined>;
const asked = (path: string, query: Query = {}): string => {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") parameters.set(name, String(value));
  const text = parameters.toString();
  return text ? `${BASE}/${path}?${text}` : `${BASE}/${path}`;
};
const part = encodeURIComponent;

export const topics = (): Promise<TopicList> => get(asked("topics"));
export const topic = (name: string): Promise<TopicView> => get(asked(`topics/${part(name)}`));
export interface NewTopic {
  name: string;
  partitions: number;
  config: Record<string, string>;
}
export const createTopic = (body: NewTopic): Promise<TopicView> => post(asked("topics"), body);
export const changeTopic = (name: string, body: { config?: Record<string, string | null>; partitions?: number }): Promise<TopicView> =>
  request("PATCH", asked(`topics/${part(name)}`), body);
export const planTopicRemoval = (name: string): Promise<Plan> => request("DELETE", asked(`topics/${part(name)}`));

export const group = (name: string): Promise<GroupView> => get(asked(`groups/${part(name)}`));
export const planGroupReset = (name: string, body: { topic: string; to: string; partition?: number }): Promise<Plan> =>
  post(asked(`groups/${part(name)}/reset`), body);
export const planGroupRemoval = (name: string): Promise<Plan> => request("DELETE", asked(`groups/${part(name)}`));

export const transactions = (): Promise<TransactionList> => get(asked("txns"));
export const planTransactionAbort = (id: string): Promise<Plan> => post(asked(`txns/${part(id)}/abort`));

export interface MessagesQuery {
  topic: string;
  partition?: number | undefined;
  offset?: string | undefined;
  limit?: number;
}
export const messages = (query: MessagesQuery): Promise<MessagePage> => get(asked("messages", { ...query }));
export const duplicates = (query: { topic: string; partition: number; records?: number }): Promise<Duplicates> => get(asked("duplicates", { ...query }));
export interface NewMessage {
  topic: string;
  partition: number;
  key?: string;
  value: string;
  headers?: Record<string, string>;
}
export const appendMessage = (body: NewMessage): Promise<Appended> => post(asked("messages"), body);

export const startPath = (body: { topic: string; partition: number }): Promise<PathSample> => post(asked("path"), body);
