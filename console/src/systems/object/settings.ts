// The settings of a bucket, as the documents that S3 has for them. What was never set is undefined, whichever 404 says so.
import { ApiError } from "../../app/api";
import { call, parseXml, textOf, urlOf } from "./s3";

export type Setting =
  | "versioning"
  | "encryption"
  | "object-lock"
  | "lifecycle"
  | "policy"
  | "cors"
  | "publicAccessBlock";

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; ++bit) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

// Some settings are accepted only with a checksum of their document: CRC32, as the SDKs send it.
export function crc32Base64(text: string): string {
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0);
  crc = ~crc >>> 0;
  return btoa(String.fromCharCode(crc >>> 24, (crc >>> 16) & 255, (crc >>> 8) & 255, crc & 255));
}

const put = async (url: string, body: string): Promise<void> =>
  void (await call("PUT", url, { body, headers: { "x-amz-checksum-crc32": crc32Base64(body) } }));

export async function read(bucket: string, setting: Setting): Promise<string | undefined> {
  try {
    return await (await call("GET", urlOf(bucket, "", { [setting]: "" }))).text();
  } catch (error) {
    if (error instanceof ApiError && error.status === 404 && error.code !== "NoSuchBucket") return undefined;
    throw error;
  }
}
export const write = (bucket: string, setting: Setting, body: string): Promise<void> => put(urlOf(bucket, "", { [setting]: "" }), body);
export const remove = async (bucket: string, setting: Setting): Promise<void> =>
  void (await call("DELETE", urlOf(bucket, "", { [setting]: "" })));

export const escapeXml = (text: string): string =>
  text.replace(/[<>&"']/g, (found) => `&#${found.charCodeAt(0)};`);
const element = (name: string, value: string | number | undefined): string =>
  value === undefined || value === "" ? "" : `<${name}>${escapeXml(String(value))}</${name}>`;

// A document as people read it: one element a line, children indented.
export function prettyXml(text: string): string {
  const lines: string[] = [];
  const walk = (node: Element, depth: number): void => {
    const indent = "  ".repeat(depth);
    const name = node.localName;
    const children = [...node.children];
    if (children.length === 0) {
      const value = node.textContent ?? "";
      lines.push(value === "" ? `${indent}<${name}/>` : `${indent}<${name}>${escapeXml(value)}</${name}>`);
      return;
    }
    lines.push(`${indent}<${name}>`);
    for (const child of children) walk(child, depth + 1);
    lines.push(`${indent}</${name}>`);
  };
  walk(parseXml(text).documentElement, 0);
  return lines.join("\n");
}

// --- versioning

export type VersioningState = "unversioned" | "Enabled" | "Suspended";
export const versioningOf = (document: string | undefined): VersioningState =>
  ((document && textOf(parseXml(document), "Status")) || "unversioned") as VersioningState;
export const versioningDocument = (state: "Enabled" | "Suspended"): string =>
  `<VersioningConfiguration>${element("Status", state)}</VersioningConfiguration>`;

// --- encryption of new objects

export interface DefaultEncryption {
  algorithm: "none" | "AES256" | "aws:kms";
  key: string;
}
export function encryptionOf(document: string | undefined): DefaultEncryption {
  if (!document) return { algorithm: "none", key: "" };
  const parsed = parseXml(document);
  return { algorithm: (textOf(parsed, "SSEAlgorithm") || "none") as DefaultEncryption["algorithm"], key: textOf(parsed, "KMSMasterKeyID") };
}
export const encryptionDocument = ({ algorithm, key }: DefaultEncryption): string =>
  `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>${element("SSEAlgorithm", algorithm)}${
    algorithm === "aws:kms" ? element("KMSMasterKeyID", key) : ""
  }</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`;

// --- object lock

export interface Lock {
  enabled: boolean;
  mode: "" | "GOVERNANCE" | "COMPLIANCE";
  period: number;
  unit: "Days" | "Years";
}
export function lockOf(document: string | undefined): Lock {
  if (!document) return { enabled: false, mode: "", period: 30, unit: "Days" };
  const parsed = parseXml(document);
  const years = textOf(parsed, "Years");
  return {
    enabled: textOf(parsed, "ObjectLockEnabled") === "Enabled",
    mode: textOf(parsed, "Mode") as Lock["mode"],
    period: Number(years || textOf(parsed, "Days") || 30),
    unit: years ? "Years" : "Days",
  };
}
export const lockDocument = (lock: Lock): string => {
  const rule = lock.mode ? `<Rule><DefaultRetention>${element("Mode", lock.mode)}${element(lock.unit, lock.period)}</DefaultRetention></Rule>` : "";
  return `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>${rule}</ObjectLockConfiguration>`;
};

// --- retention and legal hold of one version

export const writeRetention = (bucket: string, key: string, version: string, mode: string, until: string): Promise<void> =>
  put(
    urlOf(bucket, key, { retention: "", ...(version && { versionId: version }) }),
    `<Retention>${element("Mode", mode)}${element("RetainUntilDate", until)}</Retention>`,
  );
export const writeLegalHold = (bucket: string, key: string, version: string, on: boolean): Promise<void> =>
  put(
    urlOf(bucket, key, { "legal-hold": "", ...(version && { versionId: version }) }),
    `<LegalHold>${element("Status", on ? "ON" : "OFF")}</LegalHold>`,
  );

// --- lifecycle

// What the form makes; documents of other clients may hold more, and are shown in words and as XML.
export interface RuleForm {
  id: string;
  prefix: string;
  expireDays: string;
  noncurrentDays: string;
  abortDays: string;
  transitionDays: string;
  transitionClass: string;
}

export function ruleElement(form: RuleForm): string {
  const action = (outer: string, inner: string, days: string, more = ""): string => (days ? `<${outer}>${element(inner, days)}${more}</${outer}>` : "");
  return [
    "<Rule>",
    element("ID", form.id),
    `<Filter>${form.prefix ? element("Prefix", form.prefix) : "<Prefix></Prefix>"}</Filter>`,
    "<Status>Enabled</Status>",
    action("Transition", "Days", form.transitionDays, element("StorageClass", form.transitionClass)),
    action("Expiration", "Days", form.expireDays),
    action("NoncurrentVersionExpiration", "NoncurrentDays", form.noncurrentDays),
    action("AbortIncompleteMultipartUpload", "DaysAfterInitiation", form.abortDays),
    "</Rule>",
  ].join("");
}

export interface RuleView {
  id: string;
  enabled: boolean;
  applies: string;
  actions: string[];
  xml: string;
}

const days = (number: string): string => (number === "1" ? "1 day" : `${number} days`);

export function rulesOf(document: string | undefined): RuleView[] {
  if (!document) return [];
  return [...parseXml(document).documentElement.children]
    .filter((one) => one.localName === "Rule")
    .map((rule) => {
      const child = (name: string): Element | undefined => [...rule.children].find((one) => one.localName === name);
      const filter = child("Filter") ?? rule;
      const parts: string[] = [];
      const prefix = textOf(filter, "Prefix");
      if (prefix) parts.push(`keys that begin with ${prefix}`);
      for (const tag of filter.getElementsByTagName("Tag")) parts.push(`tag ${textOf(tag, "Key")}=${textOf(tag, "Value")}`);
      const above = textOf(filter, "ObjectSizeGreaterThan");
      const below = textOf(filter, "ObjectSizeLessThan");
      if (above) parts.push(`larger than ${above} bytes`);
      if (below) parts.push(`smaller than ${below} bytes`);
      const actions: string[] = [];
      for (const one of rule.children) {
        const text = (name: string): string => textOf(one, name);
        switch (one.localName) {
          case "Expiration":
            if (text("Days")) actions.push(`gone after ${days(text("Days"))}`);
            if (text("Date")) actions.push(`gone on ${text("Date").slice(0, 10)}`);
            if (text("ExpiredObjectDeleteMarker") === "true") actions.push("delete markers that cover nothing are gone");
            break;
          case "NoncurrentVersionExpiration":
            actions.push(
              `older versions gone ${days(text("NoncurrentDays") || "0")} after they were replaced${text("NewerNoncurrentVersions") ? `, but for the newest ${text("NewerNoncurrentVersions")}` : ""}`,
            );
            break;
          case "AbortIncompleteMultipartUpload":
            actions.push(`unfinished uploads aborted after ${days(text("DaysAfterInitiation"))}`);
            break;
          case "Transition":
            actions.push(`${text("StorageClass")} ${text("Days") ? `after ${days(text("Days"))}` : `on ${text("Date").slice(0, 10)}`}`);
            break;
          case "NoncurrentVersionTransition":
            actions.push(`older versions ${text("StorageClass")} ${days(text("NoncurrentDays") || "0")} after they were replaced`);
            break;
        }
      }
      return {
        id: textOf(rule, "ID"),
        enabled: child("Status")?.textContent === "Enabled",
        applies: parts.join(", ") || "every object",
        actions,
        xml: new XMLSerializer().serializeToString(rule).replace(/ xmlns="[^"]*"/g, ""),
      };
    });
}
export const lifecycleDocument = (rules: string[]): string => `<LifecycleConfiguration>${rules.join("")}</LifecycleConfiguration>`;

// --- CORS

export interface CorsView {
  origins: string[];
  methods: string[];
  headers: string[];
  expose: string[];
  maxAge: string;
}
export function corsOf(document: string | undefined): CorsView[] {
  if (!document) return [];
  const all = (rule: Element, name: string): string[] => [...rule.getElementsByTagName(name)].map((one) => one.textContent ?? "");
  return [...parseXml(document).getElementsByTagName("CORSRule")].map((rule) => ({
    origins: all(rule, "AllowedOrigin"),
    methods: all(rule, "AllowedMethod"),
    headers: all(rule, "AllowedHeader"),
    expose: all(rule, "ExposeHeader"),
    maxAge: textOf(rule, "MaxAgeSeconds"),
  }));
}
export const CORS_EXAMPLE = `<CORSConfiguration>
  <CORSRule>
    <AllowedOrigin>https://app.example.com</AllowedOrigin>
    <AllowedMethod>GET</AllowedMethod>
    <AllowedMethod>PUT</AllowedMethod>
    <AllowedHeader>*</AllowedHeader>
    <ExposeHeader>ETag</ExposeHeader>
    <MaxAgeSeconds>3600</MaxAgeSeconds>
  </CORSRule>
</CORSConfiguration>`;

// --- public access

export const ACCESS_SWITCHES = [
  ["BlockPublicAcls", "New ACLs that are public are refused"],
  ["IgnorePublicAcls", "ACLs that are public count for nothing"],
  ["BlockPublicPolicy", "Policies that are public are refused"],
  ["RestrictPublicBuckets", "A public policy is good for this account alone"],
] as const;
export type AccessSwitches = Record<string, boolean>;
export function accessOf(document: string | undefined): AccessSwitches {
  const parsed = document ? parseXml(document) : undefined;
  return Object.fromEntries(ACCESS_SWITCHES.map(([name]) => [name, parsed ? textOf(parsed, name).toLowerCase() === "true" : false]));
}
export const accessDocument = (switches: AccessSwitches): string =>
  `<PublicAccessBlockConfiguration>${ACCESS_SWITCHES.map(([name]) => element(name, String(switches[name] ?? false))).join("")}</PublicAccessBlockConfiguration>`;
