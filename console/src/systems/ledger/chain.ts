// The hash chain, computed again in this browser: what makes the books verifiable by who does not trust the server.
//
//   leaf = SHA-256(00 | record, 128 bytes | status u32)         node = SHA-256(01 | left | right), the tree of RFC 6962
//   head = SHA-256(02 | previous head | op u64 | timestamp u64 | operation u8 | count u32 | root), little endian
import type { Link, Proof, SignedHead } from "./api";

// Browsers offer their cryptography on HTTPS and on this machine only.
export const canHash = (): boolean => globalThis.isSecureContext && !!globalThis.crypto?.subtle;
export const WHY_NOT = "This browser computes hashes only over HTTPS or on localhost. Open the console there, or use: polis ledger verify";

export const ZERO_HASH = "0".repeat(64);
// Links that are fetched at once.
const PAGE = 1_000;

export function unhex(text: string): Uint8Array<ArrayBuffer> {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new Error("not hex");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
export const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

async function sha256(...parts: Uint8Array<ArrayBuffer>[]): Promise<Uint8Array<ArrayBuffer>> {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", all));
}

const one = (value: number): Uint8Array<ArrayBuffer> => Uint8Array.of(value);
function u32(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
function u64(value: bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

export async function linkHead(link: Link): Promise<string> {
  return hex(
    await sha256(
      one(2),
      unhex(link.previous),
      u64(BigInt(link.op)),
      u64(BigInt(link.timestamp)),
      one(link.operation_number),
      u32(link.count),
      unhex(link.root),
    ),
  );
}

// What is wrong with a link; empty when it holds. `before` is the head after the command before it.
export async function checkLink(link: Link, before: string | undefined): Promise<string> {
  if (before !== undefined && link.previous !== before) return `op ${link.op} continues another chain than op ${link.op - 1} ended`;
  const head = await linkHead(link);
  return head === link.head ? "" : `op ${link.op} hashes to ${head.slice(0, 16)}…, the server says ${link.head.slice(0, 16)}…`;
}

export interface ProofStep {
  name: string;
  hash: string;
  side?: "left" | "right";
}
// From the record up to the head, by RFC 6962 §2.1.1 (in the form of RFC 9162 §2.1.3.2). Throws with what differs.
export async function checkProof(proof: Proof): Promise<ProofStep[]> {
  const record = unhex(proof.record);
  if (record.length !== 128) throw new Error("the record does not have 128 bytes");
  if (proof.index >= proof.link.count) throw new Error(`leaf ${proof.index} lies outside a tree of ${proof.link.count}`);
  let hash = await sha256(one(0), record, u32(proof.status));
  const steps: ProofStep[] = [{ name: "leaf: the record and its status", hash: hex(hash) }];
  let at = proof.index;
  let last = proof.link.count - 1;
  for (const sibling of proof.path) {
    if (last === 0) throw new Error("the path is longer than the tree is high");
    if (at & 1 || at === last) {
      hash = await sha256(one(1), unhex(sibling), hash);
      steps.push({ name: "node: with its left neighbour", hash: hex(hash), side: "left" });
      while (!(at & 1) && at !== 0) {
        at >>= 1;
        last >>= 1;
      }
    } else {
      hash = await sha256(one(1), hash, unhex(sibling));
      steps.push({ name: "node: with its right neighbour", hash: hex(hash), side: "right" });
    }
    at >>= 1;
    last >>= 1;
  }
  if (last !== 0) throw new Error("the path is shorter than the tree is high");
  if (hex(hash) !== proof.link.root) throw new Error(`the path ends in ${hex(hash).slice(0, 16)}…, the batch's root is ${proof.link.root.slice(0, 16)}…`);
  const wrong = await checkLink(proof.link, undefined);
  if (wrong) throw new Error(wrong);
  steps.push({ name: `head after op ${proof.link.op}`, hash: proof.link.head });
  return steps;
}

// Follows the chain from the head after op `from` to the signed one, page by page as `links` brings it. Says what is wrong, or nothing.
export async function checkUpTo(
  signed: SignedHead,
  from: { op: number; head: string },
  links: (to: number, limit: number) => Promise<Link[]>,
  progress: (op: number) => boolean,
): Promise<string> {
  let { op, head } = from;
  while (op < signed.op) {
    const to = Math.min(signed.op, op + PAGE);
    const page = await links(to, to - op);
    if (page.length === 0) return `the server sends nothing behind op ${op}`;
    for (const link of page) {
      const wrong = link.op === op + 1 ? await checkLink(link, head) : `the server left out op ${op + 1}`;
      if (wrong) return wrong;
      op = link.op;
      head = link.head;
    }
    if (!progress(op)) return "";
  }
  return head === signed.head ? "" : "the chain ends in another head than the one that was signed";
}

// Whether the key signed the head; undefined in a browser without Ed25519.
export async function checkSignature(head: SignedHead): Promise<boolean | undefined> {
  const decode = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const der = decode(head.public_key_pem.replace(/-----[^-]+-----|\s/g, ""));
  let key: CryptoKey;
  try {
    key = await crypto.subtle.importKey("spki", der, "Ed25519", false, ["verify"]);
  } catch {
    return undefined;
  }
  const says = head.text.includes(`\nhead ${head.head}\n`) && head.text.includes(`\nop ${head.op}\n`);
  return says && (await crypto.subtle.verify("Ed25519", key, decode(head.signature), new TextEncoder().encode(head.text)));
}

// The same with openssl alone, ready to paste into a shell.
export function opensslCommand(head: SignedHead): string {
  return [
    `cat > ledger-key.pem <<'END'\n${head.public_key_pem.trim()}\nEND`,
    `printf '%s' '${head.text}' > ledger-head.txt`,
    `echo '${head.signature}' | base64 -d > ledger-head.sig`,
    "openssl pkeyutl -verify -pubin -inkey ledger-key.pem -rawin -in ledger-head.txt -sigfile ledger-head.sig",
  ].join("\n");
}
