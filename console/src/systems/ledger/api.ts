// The console's part of the ledger's API (below /api/ledger/v1/console). Ids, amounts and timestamps are texts of digits, because
// they do not fit into a JavaScript number; hashes and records are hex. The test ledger_api_test compares these types with the server.
import { get, post } from "../../app/api";

const BASE = "/api/ledger/v1/console";

// --- live topics

// Topic "ledger.live".
export interface Committed {
  op: number;
  timestamp: string;
  operation: string;
  events: number;
  created: number;
  latency_us: number;
}
export interface Verify {
  running: boolean;
  done: number;
  total: number;
  begun: string;
  error: string;
  ops: number;
  events: number;
  accounts: number;
  transfers: number;
  head: string;
  seconds: number;
}
export interface LiveSample {
  op: number;
  timestamp: string;
  accounts: number;
  transfers: number;
  refusals: number;
  expired: number;
  pending_open: number;
  sessions: number;
  memory_bytes: number;
  waiting: number;
  journal_bytes: number;
  journal_syncs: number;
  snapshots: number;
  snapshot_op: number;
  // Quantile to microseconds, of all batches since the start.
  latency_us: Record<string, number>;
  batches: Record<string, Committed>;
  verify: Verify;
}

// Topic "ledger.seconds": second to [transfers, batches, latency p50, p99, max in microseconds]; seconds in [begin, end) that are not
// there saw nothing.
export interface SecondsSample {
  begin: number;
  end: number;
  seconds: Record<string, number[]>;
}

// Topic "ledger.trial".
export interface LedgerTotals {
  ledger: number;
  asset: string;
  scale: number;
  lab: boolean;
  accounts: number;
  transfers: number;
  debits_pending: string;
  debits_posted: string;
  credits_pending: string;
  credits_posted: string;
}
export interface TrialSample {
  op: number;
  timestamp: string;
  ledgers: Record<string, LedgerTotals>;
}

// Topic "ledger.lab".
export interface LabPoint {
  mode: "optimistic" | "pessimistic" | "single_writer";
  workers: number;
  commits: number;
  retries: number;
  per_second: number;
  p50_us: number;
  p99_us: number;
}
export interface LabSample {
  running: boolean;
  begun: string;
  total: number;
  mode: string;
  workers: number;
  error: string;
  ledger: number;
  points: Record<string, LabPoint>;
}

// --- answers

export interface Account {
  id: string;
  name: string;
  ledger: number;
  code: number;
  flags: number;
  user_data_128: string;
  user_data_64: string;
  user_data_32: number;
  timestamp: string;
  debits_pending: string;
  debits_posted: string;
  credits_pending: string;
  credits_posted: string;
  // False where the balances of a past moment could not be summed up while somebody waits; then they mean nothing.
  known: boolean;
}
export interface AccountsPage {
  op: number;
  timestamp: string;
  accounts: Account[];
  // Where the next page begins; empty on the last one.
  next: string;
}

export interface Transfer {
  id: string;
  debit_account_id: string;
  credit_account_id: string;
  amount: string;
  pending_id: string;
  user_data_128: string;
  user_data_64: string;
  user_data_32: number;
  timeout: number;
  ledger: number;
  code: number;
  flags: number;
  timestamp: string;
  state: "" | "pending" | "posted" | "voided" | "expired";
}
export interface AccountView {
  op: number;
  account: Account;
  transfers: Transfer[];
  names: Record<string, string>;
  more: boolean;
}

export interface Flow {
  debit: string;
  credit: string;
  amount: string;
  transfers: number;
}
export interface Flows {
  op: number;
  ledger: number;
  by: "account" | "code";
  read: number;
  pending: number;
  amount: string;
  transfers: number;
  from_timestamp: string;
  to_timestamp: string;
  flows: Flow[];
  names: Record<string, string>;
}

export interface Link {
  op: number;
  timestamp: string;
  operation: string;
  operation_number: number;
  count: number;
  previous: string;
  root: string;
  head: string;
}
export interface Chain {
  ops: number;
  links: Link[];
}
export interface Proof {
  link: Link;
  index: number;
  record: string;
  status: number;
  path: string[];
  transfer: Transfer;
}
export interface SignedHead {
  op: number;
  timestamp: string;
  head: string;
  signed_at: string;
  text: string;
  signature: string;
  public_key_pem: string;
}
export interface OpAt {
  op: number;
  timestamp: string;
}
export interface Booked {
  id: string;
  timestamp: string;
  replayed: boolean;
}

// --- requests

type Query = Record<string, string | number | undefined>;
const asked = (path: string, query: Query): string => {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") parameters.set(name, String(value));
  const text = parameters.toString();
  return text ? `${BASE}/${path}?${text}` : `${BASE}/${path}`;
};

export interface AccountsQuery {
  q?: string;
  ledger?: number;
  after?: string;
  limit?: number;
  at_op?: number | undefined;
}
export const accounts = (query: AccountsQuery): Promise<AccountsPage> => get(asked("accounts", { ...query }));
export const account = (id: string, query: { before?: string; limit?: number; at_op?: number | undefined }): Promise<AccountView> =>
  get(asked(`accounts/${encodeURIComponent(id)}`, { ...query }));
export const flows = (query: { ledger: number; by: string; transfers: number; to_op?: number | undefined }): Promise<Flows> =>
  get(asked("flows", { ...query }));
export const chain = (query: { to?: number; limit?: number }): Promise<Chain> => get(asked("chain", { ...query }));
export const opAt = (time: string): Promise<OpAt> => get(asked("chain/op-at", { time }));
export const head = (): Promise<SignedHead> => get(asked("head", {}));
export const proof = (transfer: string): Promise<Proof> => get(asked(`proof/${encodeURIComponent(transfer)}`, {}));
export const startVerify = (): Promise<Verify> => post(`${BASE}/verify`);
export const startLab = (): Promise<LabSample> => post(`${BASE}/lab`, {});

export interface NewAccount {
  id: string;
  ledger: number;
  code: number;
  flags: number;
}
// Names and assets are kept by the JSON face, beside the books.
export interface NamedAccount {
  name: string;
  id?: string;
  ledger: number;
  code: number;
  limit: string;
  history: boolean;
}
export const nameLedger = (id: number, asset: string, scale: number): Promise<unknown> => post("/api/ledger/v1/ledgers", { id, asset, scale });
export const makeNamedAccount = (body: NamedAccount): Promise<{ id: string }> => post("/api/ledger/v1/accounts", body);

export interface NewTransfer {
  id: string;
  debit_account_id: string;
  credit_account_id: string;
  amount: string;
  ledger: number;
  code: number;
  flags: number;
  timeout?: number;
}
export const makeAccount = (body: NewAccount): Promise<Booked> => post(`${BASE}/accounts`, body);
export const makeTransfer = (body: NewTransfer): Promise<Booked> => post(`${BASE}/transfers`, body);
export const finishTransfer = (pending: string, how: "post" | "void", body: { id: string; amount?: string }): Promise<Booked> =>
  post(`${BASE}/transfers/${encodeURIComponent(pending)}/${how}`, body);
