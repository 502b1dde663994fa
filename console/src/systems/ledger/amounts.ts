// Amounts as people read them: whole numbers of the smallest unit, shown with the asset's point and thin spaces. BigInt throughout,
// because sums of a ledger do not fit into a double.
import { THIN } from "../../parts/format";
import type { Account, LedgerTotals } from "./api";

export interface Asset {
  asset: string;
  scale: number;
}
export const PLAIN: Asset = { asset: "", scale: 0 };

export function assetOf(ledgers: Record<string, LedgerTotals> | undefined, ledger: number): Asset {
  return ledgers?.[String(ledger)] ?? PLAIN;
}

const spaced = (digits: string): string => digits.replace(/\B(?=(\d{3})+(?!\d))/g, THIN);

// "12 345.67"
export function amountText(amount: bigint | string, scale = 0): string {
  const value = BigInt(amount);
  const sign = value < 0n ? "−" : "";
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, "0");
  const whole = spaced(digits.slice(0, digits.length - scale));
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(digits.length - scale)}`;
}

// "12 345.67 USD"
export function money(amount: bigint | string, { asset, scale }: Asset): string {
  return asset ? `${amountText(amount, scale)}${THIN}${asset}` : amountText(amount, scale);
}

// What was typed, in the smallest unit; throws with what is wrong.
export function parseAmount(text: string, scale: number): string {
  const plain = text.replace(/[\s\u2009_]/g, "");
  const parts = /^(\d+)(?:\.(\d+))?$/.exec(plain);
  if (!parts) throw new Error("The amount must be digits, such as 1250 or 12.50.");
  const [, whole = "", fraction = ""] = parts;
  if (fraction.length > scale)
    throw new Error(scale === 0 ? "This ledger counts whole units: leave out the point." : `This ledger counts ${scale} digits behind the point.`);
  return BigInt(whole + fraction.padEnd(scale, "0")).toString();
}

export interface Balance {
  // Credits less debits.
  posted: bigint;
  debits: bigint;
  credits: bigint;
  debitsPending: bigint;
  creditsPending: bigint;
}
export function balanceOf(account: Account): Balance {
  const debits = BigInt(account.debits_posted);
  const credits = BigInt(account.credits_posted);
  return {
    posted: credits - debits,
    debits,
    credits,
    debitsPending: BigInt(account.debits_pending),
    creditsPending: BigInt(account.credits_pending),
  };
}

// "125.00 Cr": on which side the balance stands, as bookkeepers write it.
export function sideText(balance: bigint, asset: Asset): string {
  if (balance === 0n) return money(0n, asset);
  return `${money(balance < 0n ? -balance : balance, asset)}${THIN}${balance < 0n ? "Dr" : "Cr"}`;
}

// 0 to 1, exact enough to draw.
export function share(part: bigint, whole: bigint): number {
  return whole === 0n ? 0 : Number((part * 1_000_000n) / whole) / 1_000_000;
}

export function shortId(id: string): string {
  return id.length <= 14 ? id : `${id.slice(0, 5)}…${id.slice(-6)}`;
}

// The kinds of accounts that the JSON face knows; other codes are the client's own.
const KINDS: Record<number, string> = { 1: "asset", 2: "liability", 3: "equity", 4: "income", 5: "expense" };
export function codeText(code: number): string {
  const kind = KINDS[code];
  return kind ? `${code} ${kind}` : String(code);
}

export const ACCOUNT_FLAGS: [number, string][] = [
  [1, "linked"],
  [2, "debits must not exceed credits"],
  [4, "credits must not exceed debits"],
  [8, "history"],
  [16, "imported"],
  [32, "closed"],
];
export const PENDING = 2;
export const POST_PENDING = 4;
export const VOID_PENDING = 8;
export const TRANSFER_FLAGS: [number, string][] = [
  [1, "linked"],
  [PENDING, "pending"],
  [POST_PENDING, "posts a pending one"],
  [VOID_PENDING, "voids a pending one"],
  [16, "balancing debit"],
  [32, "balancing credit"],
  [64, "closing debit"],
  [128, "closing credit"],
  [256, "imported"],
];
export function flagNames(flags: number, names: [number, string][]): string[] {
  return names.filter(([bit]) => flags & bit).map(([, name]) => name);
}

// Rises with time, as the ids that the server makes: 48 bits of milliseconds, 80 random ones.
export function newId(): string {
  const random = crypto.getRandomValues(new Uint8Array(10));
  return random.reduce((id, byte) => (id << 8n) | BigInt(byte), BigInt(Date.now())).toString();
}

// Nanoseconds since 1970, as text, to a Date.
export const timeOf = (timestamp: string): Date => new Date(Number(BigInt(timestamp) / 1_000_000n));
