// The search over everything: pages, and what each system finds by itself.
import type { SearchHit } from "../parts/search";
import { PAGES } from "./pages";

const PLACES: SearchHit[] = [
  { kind: "page", title: "Home", to: "/" },
  { kind: "page", title: "Users and keys", to: "/access" },
  ...PAGES.map((page) => ({ kind: "page", title: page.title, to: `/${page.id}` })),
];

export async function searchEverything(text: string): Promise<SearchHit[]> {
  const wanted = text.trim().toLowerCase();
  const places = PLACES.filter((place) => place.title.toLowerCase().includes(wanted));
  const found = await Promise.allSettled(PAGES.map((page) => page.search?.(text.trim()) ?? []));
  return [...places, ...found.flatMap((one) => (one.status === "fulfilled" ? one.value : []))].slice(0, 40);
}
