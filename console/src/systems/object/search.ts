// What the search finds in the object store: its pages, buckets by name, and keys as bucket/prefix.
import { address } from "../../app/router";
import type { SearchHit } from "../../parts/search";
import { buckets } from "./api";
import { list } from "./s3";

const PLACES: SearchHit[] = [
  { kind: "page", title: "Object store: buckets", to: "/object/buckets" },
  { kind: "page", title: "Object store: requests, waterfall of a PUT, access tail", to: "/object/requests" },
  { kind: "page", title: "Object store: durability", to: "/object/durability" },
  { kind: "page", title: "Object store: how erasure coding works, a lesson", to: "/object/lesson" },
];

export async function search(text: string): Promise<SearchHit[]> {
  const wanted = text.toLowerCase();
  const hits = PLACES.filter((place) => place.title.toLowerCase().includes(wanted));
  const all = (await buckets()).buckets;
  const [name = "", ...rest] = text.split("/");
  if (rest.length > 0 && all.some((one) => one.name === name)) {
    const prefix = rest.join("/");
    const page = await list(name, prefix, undefined, 20);
    return [
      ...page.folders.map((folder) => ({
        kind: "folder",
        title: `${name}/${folder}`,
        to: address("/object/buckets", { bucket: name, prefix: folder }),
      })),
      ...page.objects.map((object) => ({
        kind: "object",
        title: `${name}/${object.key}`,
        to: address("/object/buckets", { bucket: name, key: object.key }),
      })),
    ];
  }
  for (const bucket of all)
    if (bucket.name.includes(wanted))
      hits.push({ kind: "bucket", title: bucket.name, to: address("/object/buckets", { bucket: bucket.name }) });
  return hits;
}
