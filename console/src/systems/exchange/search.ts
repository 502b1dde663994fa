// What the search finds in the exchange: its pages, and instruments by symbol.
import { address } from "../../app/router";
import type { SearchHit } from "../../parts/search";
import { instruments } from "./api";

const PLACES: SearchHit[] = [
  { kind: "page", title: "Exchange: book, bus, rates", to: "/exchange" },
  { kind: "page", title: "Exchange: risk, kill switch, balances", to: "/exchange/risk" },
  { kind: "page", title: "Exchange: FIX sessions", to: "/exchange/sessions" },
  { kind: "page", title: "Exchange: the book at any sequence number", to: "/exchange/past" },
];

const HITS_MAX = 20;

export async function search(text: string): Promise<SearchHit[]> {
  const wanted = text.toLowerCase();
  const hits = PLACES.filter((place) => place.title.toLowerCase().includes(wanted));
  if (!text) return hits;
  const found = Object.keys((await instruments()).instruments)
    .filter((symbol) => symbol.toLowerCase().includes(wanted))
    .slice(0, HITS_MAX);
  return [...hits, ...found.map((symbol) => ({ kind: "instrument", title: symbol, to: address("/exchange", { symbol }) }))];
}
