// @aws-sdk/client-s3 with its defaults, so that the checksums and trailers of today's SDKs are exercised.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  CompleteMultipartUploadCommand, CopyObjectCommand, CreateBucketCommand, CreateMultipartUploadCommand, DeleteBucketCommand,
  DeleteObjectCommand, DeleteObjectsCommand, GetObjectCommand, GetObjectAttributesCommand, HeadObjectCommand, ListObjectsV2Command,
  ListObjectVersionsCommand, PutBucketCorsCommand, PutBucketVersioningCommand, PutObjectCommand, PutObjectLegalHoldCommand,
  RenameObjectCommand, S3Client, UploadPartCommand,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const settings = JSON.parse(process.env.S3_SETTINGS);
const config = {
  endpoint: `http://${settings.host}:${settings.port}`, region: "us-east-1", forcePathStyle: true, maxAttempts: 1,
  credentials: { accessKeyId: settings.access_key, secretAccessKey: settings.secret_key },
};
const client = new S3Client(config);
const Bucket = "sdk";
const md5 = (bytes) => createHash("md5").update(bytes).digest("hex");
const bytesOf = async (answer) => Buffer.from(await answer.Body.transformToByteArray());
const fails = async (promise, name, status) => {
  const error = await promise.then(() => assert.fail(`expected ${name}`), (e) => e);
  assert.equal(error.name, name);
  if (status) assert.equal(error.$metadata.httpStatusCode, status);
};

await client.send(new CreateBucketCommand({ Bucket }));

// Plain puts with every checksum the SDK can make; the answer is verified by the SDK itself.
for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
  const body = randomBytes(70_000);
  try {
    await client.send(new PutObjectCommand({ Bucket, Key: `sum/${ChecksumAlgorithm}`, Body: body, ChecksumAlgorithm }));
  } catch (error) {
    // CRC64NVME needs the native CRT package, which is not installed: the SDK says so before it sends anything.
    if (ChecksumAlgorithm === "CRC64NVME" && !error.$response && !error.$metadata?.httpStatusCode) continue;
    throw error;
  }
  const got = await client.send(new GetObjectCommand({ Bucket, Key: `sum/${ChecksumAlgorithm}`, ChecksumMode: "ENABLED" }));
  assert.ok((await bytesOf(got)).equals(body));
  assert.equal(got.ETag, `"${md5(body)}"`);
  assert.ok(got[`Checksum${ChecksumAlgorithm}`], `no ${ChecksumAlgorithm} came back`);
}
await fails(client.send(new PutObjectCommand({ Bucket, Key: "bad", Body: "text", ChecksumSHA256: Buffer.alloc(32).toString("base64") })),
  "BadDigest");

// A stream of unknown origin: aws-chunked with a trailer.
const streamed = randomBytes(3_000_001);
await client.send(new PutObjectCommand({ Bucket, Key: "streamed", Body: Readable.from([streamed.subarray(0, 1_000_000), streamed.subarray(1_000_000)]),
  ContentLength: streamed.length, Metadata: { colour: "green" } }));
const back = await client.send(new GetObjectCommand({ Bucket, Key: "streamed" }));
assert.ok((await bytesOf(back)).equals(streamed));
assert.equal(back.Metadata.colour, "green");
assert.equal(back.ContentEncoding, undefined, "aws-chunked must not be stored");

const range = await client.send(new GetObjectCommand({ Bucket, Key: "streamed", Range: "bytes=999990-1000009" }));
assert.ok((await bytesOf(range)).equals(streamed.subarray(999_990, 1_000_010)));
assert.equal(range.ContentRange, "bytes 999990-1000009/3000001");

// Multipart, by lib-storage and by hand.
const large = randomBytes(17_000_000);
await new Upload({ client, params: { Bucket, Key: "large", Body: Readable.from(large) }, partSize: 5 << 20, queueSize: 4 }).done();
assert.ok((await bytesOf(await client.send(new GetObjectCommand({ Bucket, Key: "large" })))).equals(large));
const attributes = await client.send(new GetObjectAttributesCommand({ Bucket, Key: "large", ObjectAttributes: ["ObjectSize", "ETag", "ObjectParts"] }));
assert.equal(attributes.ObjectSize, large.length);
const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: "byhand" }));
const parts = [];
for (const [PartNumber, Body] of [[1, large.subarray(0, 6_000_000)], [2, large.subarray(6_000_000, 6_000_100)]]) {
  const { ETag, ChecksumCRC32 } = await client.send(new UploadPartCommand({ Bucket, Key: "byhand", UploadId, PartNumber, Body }));
  parts.push({ PartNumber, ETag, ChecksumCRC32 });
}
await fails(client.send(new CompleteMultipartUploadCommand({ Bucket, Key: "byhand", UploadId, MultipartUpload: { Parts: [...parts].reverse() } })),
  "InvalidPartOrder", 400);
const complete = { Bucket, Key: "byhand", UploadId, MultipartUpload: { Parts: parts } };
const done = await client.send(new CompleteMultipartUploadCommand(complete));
assert.match(done.ETag, /-2"$/);
assert.equal((await client.send(new CompleteMultipartUploadCommand(complete))).ETag, done.ETag, "a repeated Complete answers the same");
const part2 = await client.send(new GetObjectCommand({ Bucket, Key: "byhand", PartNumber: 2 }));
assert.equal(part2.PartsCount, 2);
assert.equal((await bytesOf(part2)).length, 100);

// Conditions.
await fails(client.send(new PutObjectCommand({ Bucket, Key: "byhand", Body: "x", IfNoneMatch: "*" })), "PreconditionFailed", 412);
await client.send(new PutObjectCommand({ Bucket, Key: "once", Body: "x", IfNoneMatch: "*" }));
const { ETag } = await client.send(new HeadObjectCommand({ Bucket, Key: "once" }));
await client.send(new PutObjectCommand({ Bucket, Key: "once", Body: "y", IfMatch: ETag }));
await fails(client.send(new PutObjectCommand({ Bucket, Key: "once", Body: "z", IfMatch: ETag })), "PreconditionFailed", 412);

// Names that must survive encoding, in paths, listings and copies.
const strange = ["a+b c&d=e", "ä/ö?ü#", "dots/../x", "per%cent", "emoji-\u{1F600}", "quote\"'<>"];
for (const Key of strange) await client.send(new PutObjectCommand({ Bucket, Key: `n/${Key}`, Body: Key }));
for (const Key of strange) assert.equal((await bytesOf(await client.send(new GetObjectCommand({ Bucket, Key: `n/${Key}` })))).toString(), Key);
await client.send(new CopyObjectCommand({ Bucket, Key: "copied", CopySource: `${Bucket}/${encodeURIComponent("n/a+b c&d=e")}` }));
const listed = [];
for await (const page of paginateListObjectsV2({ client, pageSize: 2 }, { Bucket, Prefix: "n/", EncodingType: "url" }))
  listed.push(...(page.Contents ?? []).map((c) => decodeURIComponent(c.Key.replace(/\+/g, " "))));
assert.deepEqual(listed, strange.map((k) => `n/${k}`).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
const folders = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: "/" }));
assert.deepEqual(folders.CommonPrefixes.map((p) => p.Prefix), ["n/", "sum/"]);

// Pre-signed URLs, there and back, by fetch.
// With its defaults the SDK signs the checksum of an empty body into the URL of a PUT; then the answer names the setting.
const signedPut = new PutObjectCommand({ Bucket, Key: "signed", Metadata: { colour: "green & blue" } });
const put = await fetch(await getSignedUrl(client, signedPut, { expiresIn: 60 }), { method: "PUT", body: "by URL" });
if (!put.ok) assert.match(await put.text(), /BadDigest.*requestChecksumCalculation.*WHEN_REQUIRED/s);
const required = new S3Client({ ...config, requestChecksumCalculation: "WHEN_REQUIRED" });
assert.equal((await fetch(await getSignedUrl(required, signedPut, { expiresIn: 60 }), { method: "PUT", body: "by URL" })).status, 200);
const signed = await client.send(new GetObjectCommand({ Bucket, Key: "signed" }));
assert.equal((await bytesOf(signed)).toString(), "by URL");
assert.equal(signed.Metadata.colour, "green & blue", "what the SDK moved from headers into the URL");
const getUrl = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: "once", ResponseContentType: "text/css" }), { expiresIn: 60 });
const got = await fetch(getUrl);
assert.equal(await got.text(), "y");
assert.equal(got.headers.get("content-type"), "text/css");
assert.equal((await fetch(getUrl.replace(/X-Amz-Signature=..../, "X-Amz-Signature=0000"))).status, 403);

// Encryption: with the client's key only over TLS.
const secure = new S3Client({ ...config, endpoint: `https://localhost:${settings.tls_port}` });
const key = randomBytes(32);
const customer = { SSECustomerAlgorithm: "AES256", SSECustomerKey: key.toString("base64"), SSECustomerKeyMD5: createHash("md5").update(key).digest("base64") };
await secure.send(new PutObjectCommand({ Bucket, Key: "sealed", Body: streamed, ...customer }));
assert.ok((await bytesOf(await secure.send(new GetObjectCommand({ Bucket, Key: "sealed", ...customer })))).equals(streamed));
await fails(client.send(new PutObjectCommand({ Bucket, Key: "sealed", Body: "x", ...customer })), "InvalidRequest", 400);
await fails(secure.send(new GetObjectCommand({ Bucket, Key: "sealed" })), "InvalidRequest", 400);
const aes = await client.send(new PutObjectCommand({ Bucket, Key: "aes", Body: streamed, ServerSideEncryption: "AES256" }));
assert.equal(aes.ServerSideEncryption, "AES256");
const ofAes = await client.send(new GetObjectCommand({ Bucket, Key: "aes", Range: "bytes=65530-65545" }));
assert.ok((await bytesOf(ofAes)).equals(streamed.subarray(65_530, 65_546)), "a range over the border of two packets");
await new Upload({ client: secure, params: { Bucket, Key: "sealed parts", Body: Readable.from(large), ...customer }, partSize: 5 << 20 }).done();
assert.ok((await bytesOf(await secure.send(new GetObjectCommand({ Bucket, Key: "sealed parts", ...customer })))).equals(large));

// Object lock.
const Locked = { Bucket: "sdk-locked" };
await client.send(new CreateBucketCommand({ ...Locked, ObjectLockEnabledForBucket: true }));
const kept = await client.send(new PutObjectCommand({ ...Locked, Key: "kept", Body: "x", ObjectLockMode: "GOVERNANCE", ObjectLockRetainUntilDate: new Date(Date.now() + 3_600_000) }));
await fails(client.send(new DeleteObjectCommand({ ...Locked, Key: "kept", VersionId: kept.VersionId })), "AccessDenied", 403);
await client.send(new PutObjectLegalHoldCommand({ ...Locked, Key: "kept", LegalHold: { Status: "ON" } }));
await fails(client.send(new DeleteObjectCommand({ ...Locked, Key: "kept", VersionId: kept.VersionId, BypassGovernanceRetention: true })), "AccessDenied", 403);
await client.send(new PutObjectLegalHoldCommand({ ...Locked, Key: "kept", LegalHold: { Status: "OFF" } }));
await client.send(new DeleteObjectCommand({ ...Locked, Key: "kept", VersionId: kept.VersionId, BypassGovernanceRetention: true }));
await client.send(new DeleteBucketCommand(Locked));

// A rename, which copies nothing.
await client.send(new RenameObjectCommand({ Bucket, Key: "renamed", RenameSource: "aes" }));
assert.ok((await bytesOf(await client.send(new GetObjectCommand({ Bucket, Key: "renamed" })))).equals(streamed));
await fails(client.send(new GetObjectCommand({ Bucket, Key: "aes" })), "NoSuchKey", 404);

// CORS: a browser asks before it sends.
await client.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: [{ AllowedMethods: ["GET", "PUT"], AllowedOrigins: ["https://app.example"], AllowedHeaders: ["*"] }] } }));
const preflight = await fetch(`http://${settings.host}:${settings.port}/${Bucket}/once`, { method: "OPTIONS",
  headers: { origin: "https://app.example", "access-control-request-method": "PUT", "access-control-request-headers": "x-amz-date" } });
assert.equal(preflight.status, 200);
assert.equal(preflight.headers.get("access-control-allow-origin"), "https://app.example");

// Versions, then everything goes in one request a page.
await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
await client.send(new PutObjectCommand({ Bucket, Key: "once", Body: "newer" }));
const versions = await client.send(new ListObjectVersionsCommand({ Bucket, Prefix: "once" }));
assert.equal(versions.Versions.length, 2);
assert.equal(versions.Versions[1].VersionId, "null");
await fails(client.send(new GetObjectCommand({ Bucket, Key: "absent" })), "NoSuchKey", 404);
await fails(client.send(new DeleteBucketCommand({ Bucket })), "BucketNotEmpty", 409);
const all = await client.send(new ListObjectVersionsCommand({ Bucket }));
const { Deleted, Errors } = await client.send(new DeleteObjectsCommand({ Bucket, Delete: {
  Objects: [...(all.Versions ?? []), ...(all.DeleteMarkers ?? [])].map(({ Key, VersionId }) => ({ Key, VersionId })) } }));
assert.equal(Errors, undefined);
assert.equal(Deleted.length, all.Versions.length);
await client.send(new DeleteBucketCommand({ Bucket }));
console.log("ok");
