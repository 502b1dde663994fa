// Versions of objects as S3 lists them, one version looked at closely, and what can be done with it.
import { call, decode, parseXml, textOf, unquoted, urlOf } from "./s3";

export interface Version {
  key: string;
  id: string;
  latest: boolean;
  deleteMarker: boolean;
  size: number;
  etag: string;
  modifiedAt: string;
  storageClass: string;
}
export interface VersionPage {
  versions: Version[];
  next?: { key: string; version: string };
}

// In S3's order: by key, then the newest first.
export async function listVersions(bucket: string, prefix: string, from?: VersionPage["next"], limit = 500): Promise<VersionPage> {
  const response = await call(
    "GET",
    urlOf(bucket, "", {
      "versions": "",
      "encoding-type": "url",
      "max-keys": limit,
      ...(prefix && { prefix }),
      ...(from && { "key-marker": from.key, ...(from.version && { "version-id-marker": from.version }) }),
    }),
  );
  const answer = parseXml(await response.text()).documentElement;
  const versions = [...answer.children]
    .filter((one) => one.localName === "Version" || one.localName === "DeleteMarker")
    .map((one) => ({
      key: decode(textOf(one, "Key")),
      id: textOf(one, "VersionId"),
      latest: textOf(one, "IsLatest") === "true",
      deleteMarker: one.localName === "DeleteMarker",
      size: Number(textOf(one, "Size") || 0),
      etag: unquoted(textOf(one, "ETag")),
      modifiedAt: textOf(one, "LastModified"),
      storageClass: textOf(one, "StorageClass"),
    }));
  if (textOf(answer, "IsTruncated") !== "true") return { versions };
  return { versions, next: { key: decode(textOf(answer, "NextKeyMarker")), version: textOf(answer, "NextVersionIdMarker") } };
}

const VERSIONS_MAX = 2000;

// Every version of one key, the newest first, up to VERSIONS_MAX. Keys that only begin with it come after all of its versions.
export async function versionsOf(bucket: string, key: string): Promise<{ versions: Version[]; more: boolean }> {
  const found: Version[] = [];
  let from: VersionPage["next"];
  do {
    const page = await listVersions(bucket, key, from);
    found.push(...page.versions.filter((one) => one.key === key));
    from = page.versions.at(-1)?.key === key ? page.next : undefined;
  } while (from && found.length < VERSIONS_MAX);
  return { versions: found, more: from !== undefined };
}

export interface VersionDetails {
  contentType: string;
  storageClass: string;
  encryption: string;
  checksum: string;
  parts: string;
  expires: string;
  retention?: { mode: string; until: string };
  legalHold: boolean;
  metadata: [string, string][];
  tags: [string, string][];
}

const at = (bucket: string, key: string, version: string, more: Record<string, string> = {}): string =>
  urlOf(bucket, key, { ...more, ...(version && { versionId: version }) });

export async function details(bucket: string, key: string, version: string): Promise<VersionDetails> {
  const head = (await call("HEAD", at(bucket, key, version), { headers: { "x-amz-checksum-mode": "ENABLED" } })).headers;
  const text = (name: string): string => head.get(name) ?? "";
  const checksum = ["crc64nvme", "crc32c", "crc32", "sha256", "sha1"].find((name) => head.has(`x-amz-checksum-${name}`));
  const tags =
    Number(text("x-amz-tagging-count")) > 0
      ? [...parseXml(await (await call("GET", at(bucket, key, version, { tagging: "" }))).text()).getElementsByTagName("Tag")]
      : [];
  const customer = text("x-amz-server-side-encryption-customer-algorithm");
  const kms = text("x-amz-server-side-encryption-aws-kms-key-id");
  const mode = text("x-amz-object-lock-mode");
  return {
    contentType: text("content-type"),
    storageClass: text("x-amz-storage-class") || "STANDARD",
    encryption: customer ? `${customer}, key of the client` : [text("x-amz-server-side-encryption"), kms].filter(Boolean).join(", key "),
    checksum: checksum ? `${checksum.toUpperCase()} ${text(`x-amz-checksum-${checksum}`)}` : "",
    parts: text("x-amz-mp-parts-count") || (/-(\d+)"?$/.exec(text("etag"))?.[1] ?? ""),
    expires: text("x-amz-expiration"),
    ...(mode && { retention: { mode, until: text("x-amz-object-lock-retain-until-date") } }),
    legalHold: text("x-amz-object-lock-legal-hold") === "ON",
    metadata: [...head].filter(([name]) => name.startsWith("x-amz-meta-")).map(([name, value]) => [name.slice(11), value]),
    tags: tags.map((tag) => [textOf(tag, "Key"), textOf(tag, "Value")]),
  };
}

// An older version becomes the newest again: a copy inside the store, in its own right a new version.
export async function restore(bucket: string, version: Version): Promise<void> {
  const source = `${bucket}/${version.key}`.split("/").map(encodeURIComponent).join("/");
  await call("PUT", urlOf(bucket, version.key), { headers: { "x-amz-copy-source": `/${source}?versionId=${version.id}` } });
}
