// What the search finds in the event log: its pages, and topics by name.
import { address } from "../../app/router";
import type { SearchHit } from "../../parts/search";
import { topics } from "./api";

const PLACES: SearchHit[] = [
  { kind: "page", title: "Event log: topics", to: "/stream/topics" },
  { kind: "page", title: "Event log: messages, duplicates by key", to: "/stream/messages" },
  { kind: "page", title: "Event log: consumer groups, lag, transactions", to: "/stream/groups" },
  { kind: "page", title: "Event log: copying against zero copy, measured", to: "/stream/paths" },
];

const HITS_MAX = 20;

export async function search(text: string): Promise<SearchHit[]> {
  const wanted = text.toLowerCase();
  const hits = PLACES.filter((place) => place.title.toLowerCase().includes(wanted));
  if (!text) return hits;
  const found = (await topics()).topics.filter((one) => one.name.toLowerCase().includes(wanted)).slice(0, HITS_MAX);
  return [...hits, ...found.map((one) => ({ kind: "topic", title: one.name, to: address("/stream/topics", { topic: one.name }) }))];
}
