// What the search finds in the ledger: its pages, and accounts by name or id.
import { address } from "../../app/router";
import type { SearchHit } from "../../parts/search";
import { accounts } from "./api";

const PLACES: SearchHit[] = [
  { kind: "page", title: "Ledger: accounts, balances at any time", to: "/ledger/accounts" },
  { kind: "page", title: "Ledger: flows", to: "/ledger/flows" },
  { kind: "page", title: "Ledger: chain, signed head, proofs", to: "/ledger/chain" },
  { kind: "page", title: "Ledger: contention lab", to: "/ledger/contention" },
];

export async function search(text: string): Promise<SearchHit[]> {
  const wanted = text.toLowerCase();
  const hits = PLACES.filter((place) => place.title.toLowerCase().includes(wanted));
  if (!text) return hits;
  const found = (await accounts({ q: text })).accounts;
  return [
    ...hits,
    ...found.map((one) => ({
      kind: "account",
      title: one.name ? `${one.name} (ledger ${one.ledger})` : `${one.id} (ledger ${one.ledger})`,
      to: address("/ledger/accounts", { id: one.id }),
    })),
  ];
}
