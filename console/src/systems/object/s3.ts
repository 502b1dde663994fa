// S3 as the browser speaks it: the gateway on the main port takes the session in place of a signature.
import { ApiError, send } from "../../app/api";

const GATEWAY = "/api/object/v1/s3";

// Every byte but the unreserved ones is encoded; '/' separates.
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`);

export function urlOf(bucket: string, key = "", query: Record<string, string | number> = {}): string {
  const path = key ? `/${key.split("/").map(encode).join("/")}` : "";
  const parameters = Object.entries(query).map(([name, value]) => (value === "" ? name : `${name}=${encode(String(value))}`));
  return `${GATEWAY}/${encode(bucket)}${path}${parameters.length ? `?${parameters.join("&")}` : ""}`;
}

// S3 says what is wrong in XML.
function readable(error: unknown): unknown {
  if (!(error instanceof ApiError) || !error.message.startsWith("<?xml")) return error;
  const document = new DOMParser().parseFromString(error.message, "application/xml");
  const code = document.querySelector("Code")?.textContent ?? "";
  const message = document.querySelector("Message")?.textContent ?? "";
  return new ApiError(error.status, code, message ? `${message} (${code})` : code);
}

export async function call(method: string, url: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await send(url, { method, ...init });
  } catch (error) {
    throw readable(error);
  }
}

export function parseXml(text: string): Document {
  const parsed = new DOMParser().parseFromString(text, "application/xml");
  if (parsed.querySelector("parsererror")) throw new Error("this is not well-formed XML");
  return parsed;
}

async function document(method: string, url: string, body?: string): Promise<Document> {
  const response = await call(method, url, body === undefined ? {} : { body });
  const parsed = parseXml(await response.text());
  // A Complete that fails late says so in the body of a 200.
  if (parsed.documentElement.localName === "Error")
    throw new ApiError(200, parsed.querySelector("Code")?.textContent ?? "", parsed.querySelector("Message")?.textContent ?? "failed");
  return parsed;
}

export const textOf = (element: Element | Document, name: string): string => element.getElementsByTagName(name)[0]?.textContent ?? "";
export const unquoted = (etag: string): string => etag.replace(/^"|"$/g, "");

export const decode = (text: string): string => decodeURIComponent(text.replace(/\+/g, " "));

export interface ObjectEntry {
  key: string;
  size: number;
  etag: string;
  modifiedAt: string;
}
export interface ListPage {
  folders: string[];
  objects: ObjectEntry[];
  next?: string;
}

export async function list(bucket: string, prefix: string, token?: string, limit = 200): Promise<ListPage> {
  const answer = await document(
    "GET",
    urlOf(bucket, "", {
      "list-type": 2,
      "encoding-type": "url",
      "delimiter": "/",
      "max-keys": limit,
      ...(prefix && { prefix }),
      ...(token && { "continuation-token": token }),
    }),
  );
  const next = textOf(answer, "NextContinuationToken");
  return {
    folders: [...answer.getElementsByTagName("CommonPrefixes")].map((one) => decode(textOf(one, "Prefix"))),
    objects: [...answer.getElementsByTagName("Contents")].map((one) => ({
      key: decode(textOf(one, "Key")),
      size: Number(textOf(one, "Size")),
      etag: unquoted(textOf(one, "ETag")),
      modifiedAt: textOf(one, "LastModified"),
    })),
    ...(next && { next }),
  };
}

export const makeBucket = async (bucket: string, objectLock = false): Promise<void> =>
  void (await call("PUT", urlOf(bucket), objectLock ? { headers: { "x-amz-bucket-object-lock-enabled": "true" } } : {}));

// One transaction, no byte copied. With `prefix` both names are prefixes, and everything below goes along or nothing.
export const rename = async (bucket: string, from: string, to: string, prefix: boolean): Promise<void> =>
  void (await call("PUT", urlOf(bucket, to, { renameObject: prefix ? "prefix" : "" }), {
    headers: { "x-amz-rename-source": `/${bucket}/${from.split("/").map(encode).join("/")}` },
  }));

export async function beginUpload(bucket: string, key: string, type: string): Promise<string> {
  const response = await call("POST", urlOf(bucket, key, { uploads: "" }), { headers: { "content-type": type } });
  return textOf(new DOMParser().parseFromString(await response.text(), "application/xml"), "UploadId");
}

export interface StoredPart {
  number: number;
  etag: string;
  size: number;
}

// What the server already has of an upload: what a resumed one need not send again.
export async function listParts(bucket: string, key: string, uploadId: string): Promise<StoredPart[]> {
  const parts: StoredPart[] = [];
  let marker = "";
  do {
    const answer = await document("GET", urlOf(bucket, key, { uploadId, ...(marker && { "part-number-marker": marker }) }));
    for (const one of answer.getElementsByTagName("Part"))
      parts.push({ number: Number(textOf(one, "PartNumber")), etag: unquoted(textOf(one, "ETag")), size: Number(textOf(one, "Size")) });
    marker = textOf(answer, "IsTruncated") === "true" ? textOf(answer, "NextPartNumberMarker") : "";
  } while (marker);
  return parts;
}

export async function completeUpload(bucket: string, key: string, uploadId: string, parts: StoredPart[]): Promise<void> {
  const list = [...parts]
    .sort((a, b) => a.number - b.number)
    .map((part) => `<Part><PartNumber>${part.number}</PartNumber><ETag>"${part.etag}"</ETag></Part>`)
    .join("");
  await document("POST", urlOf(bucket, key, { uploadId }), `<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`);
}

export const abortUpload = async (bucket: string, key: string, uploadId: string): Promise<void> =>
  void (await call("DELETE", urlOf(bucket, key, { uploadId })));

// One body with its progress, which fetch cannot tell: XMLHttpRequest can. Answers the ETag.
export function putBytes(url: string, body: Blob, type: string, signal: AbortSignal, progress: (sent: number) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open("PUT", url);
    if (type) xhr.setRequestHeader("content-type", type);
    xhr.upload.onprogress = (event) => progress(event.loaded);
    xhr.onload = () => {
      if (xhr.status === 200) resolve(unquoted(xhr.getResponseHeader("etag") ?? ""));
      else reject(readable(new ApiError(xhr.status, "", xhr.responseText || `polis answered ${xhr.status}`)));
    };
    xhr.onerror = () => reject(new ApiError(0, "unavailable", "the connection broke"));
    xhr.onabort = () => reject(new DOMException("paused", "AbortError"));
    signal.addEventListener("abort", () => xhr.abort(), { once: true });
    if (signal.aborted) reject(new DOMException("paused", "AbortError"));
    else xhr.send(body);
  });
}
