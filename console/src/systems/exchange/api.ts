// The exchange's admin API (below /api/exchange/v1/admin) and its live topic. Sequence numbers are texts of digits, because they do
// not fit into a JavaScript number; prices, sizes and amounts are decimals as texts.
import { get, post } from "../../app/api";

const BASE = "/api/exchange/v1/admin";
const at = (...parts: string[]): string => [BASE, ...parts.map(encodeURIComponent)].join("/");

export interface BusReader {
  gating: boolean;
  sequence: string;
  lag: string;
}
// Topic "exchange.live", and GET status.
export interface LiveSample {
  threads: string;
  halted: boolean;
  healthy: boolean;
  halted_why?: string;
  failure?: string;
  sequence: string;
  durable: string;
  shadow: string;
  snapshot: string;
  requests: string;
  reports: string;
  trades: string;
  replayed: string;
  journal_bytes: string;
  syncs: string;
  instruments: number;
  accounts: number;
  sessions: number;
  readers: Record<string, BusReader>;
}
export const status = (): Promise<LiveSample> => get(at("status"));

export interface Instrument {
  symbol: string;
  base: string;
  quote: string;
  tick: string;
  lot: string;
  phases: string;
  band: string;
  collar: string;
  pause_seconds: number;
  fee_maker: string;
  fee_taker: string;
  window_ticks: number;
  orders_max: number;
}
export interface Instruments {
  instruments: Record<string, Instrument>;
}
export const instruments = (): Promise<Instruments> => get(at("instruments"));

export interface Level {
  price: string;
  size: string;
  orders: number;
  // First in turn first; at most 100 of them.
  queue?: string[];
}
// What a call's auction would match now.
export interface Auction {
  size: string;
  price?: string;
  imbalance: string;
}
export interface Book {
  symbol: string;
  phase: string;
  last?: string;
  reference?: string;
  bids: Level[];
  asks: Level[];
  auction?: Auction;
}
export const book = (symbol: string, depth: number): Promise<Book> => get(`${at("book", symbol)}?depth=${depth}&queues=true`);

export const setPhase = (symbol: string, phase: string): Promise<unknown> => post(at("phase"), { symbol, phase });

export interface Accounts {
  accounts: string[];
  next?: number;
}
export const accounts = (): Promise<Accounts> => get(at("accounts"));

export interface Balance {
  asset: string;
  total: string;
  reserved: string;
  free: string;
}
export interface Position {
  symbol: string;
  quantity: string;
}
export interface Account {
  account: string;
  balances: Balance[];
  positions: Position[];
}
export const account = (name: string): Promise<Account> => get(at("accounts", name));

export interface Limits {
  order_quantity_max: string;
  order_notional_max: string;
  open_orders_max: number;
  rate_per_second: number;
  rate_burst: number;
  price_band: string;
  position_max: string;
  short_sale_allowed: boolean;
  short_max: string;
  killed: boolean;
}
export const limits = (name: string): Promise<Limits> => get(at("risk", name));
export const kill = (name: string, killed: boolean): Promise<unknown> => post(at("kill"), { account: name, killed });

export interface Session {
  name: string;
  account: string;
  app: string;
  enabled: boolean;
  reset_on_logon: boolean;
  cancel_on_disconnect: string;
  rate: number;
  burst: number;
  resend_chunk: number;
  logged_on?: boolean;
  next_in?: number;
  next_out?: number;
  peer?: string;
}
export interface Sessions {
  sessions: Session[];
}
export const sessions = (): Promise<Sessions> => get(at("sessions"));

// What a replay found: nothing is asked of the live venue.
export interface Past {
  sequence: string;
  steps: string;
  reports: string;
  events: string;
  hash: string;
  seconds: number;
  book: Book;
}
export const past = (to: string, symbol: string, depth: number): Promise<Past> => post(at("replay"), { to, book: symbol, depth });
