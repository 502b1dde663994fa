// The minio package: streaming signatures, forms, listings with its own XML reader.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import * as Minio from "minio";

const settings = JSON.parse(process.env.S3_SETTINGS);
const client = new Minio.Client({ endPoint: settings.host, port: settings.port, useSSL: false, pathStyle: true, region: "us-east-1",
  accessKey: settings.access_key, secretKey: settings.secret_key, partSize: 5 * 1024 * 1024 });
const bucket = "minio-js";
const collect = async (stream) => Buffer.concat(await stream.toArray());
const fails = async (promise, code) => {
  const error = await promise.then(() => assert.fail(`expected ${code}`), (e) => e);
  assert.equal(error.code, code);
};

assert.equal(await client.bucketExists(bucket), false);
await client.makeBucket(bucket, "us-east-1");
assert.equal(await client.bucketExists(bucket), true);
assert.ok((await client.listBuckets()).some((b) => b.name === bucket));

const small = randomBytes(40_000);
const { etag } = await client.putObject(bucket, "small", small, small.length, { "Content-Type": "text/x-small", "X-Amz-Meta-Shape": "round" });
assert.equal(etag, createHash("md5").update(small).digest("hex"));
assert.ok((await collect(await client.getObject(bucket, "small"))).equals(small));
const stat = await client.statObject(bucket, "small");
assert.equal(stat.size, small.length);
assert.equal(stat.metaData["content-type"], "text/x-small");
assert.equal(stat.metaData.shape, "round");
assert.ok((await collect(await client.getPartialObject(bucket, "small", 100, 50))).equals(small.subarray(100, 150)));

const large = randomBytes(12_345_678);
await client.putObject(bucket, "folder/large ü", Readable.from(large));
assert.ok((await collect(await client.getObject(bucket, "folder/large ü"))).equals(large));
await client.copyObject(bucket, "copy", `/${bucket}/small`);
assert.ok((await collect(await client.getObject(bucket, "copy"))).equals(small));

const names = (await client.listObjectsV2(bucket, "", true).toArray()).map((o) => o.name);
assert.deepEqual(names, ["copy", "folder/large ü", "small"]);
const top = await client.listObjectsV2(bucket, "", false).toArray();
assert.ok(top.some((o) => o.prefix === "folder/"));

await client.setObjectTagging(bucket, "small", { team: "blue", "key with blank": "v+w" });
assert.equal((await client.getObjectTagging(bucket, "small")).length, 2);
const policy = JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: "*", Action: ["s3:GetObject"], Resource: [`arn:aws:s3:::${bucket}/*`] }] });
await client.setBucketPolicy(bucket, policy);
assert.deepEqual(JSON.parse(await client.getBucketPolicy(bucket)), JSON.parse(policy));
assert.equal((await fetch(`http://${settings.host}:${settings.port}/${bucket}/small`)).status, 200, "everybody may read now");

const got = await fetch(await client.presignedGetObject(bucket, "small", 60));
assert.ok(Buffer.from(await got.arrayBuffer()).equals(small));
const put = await fetch(await client.presignedPutObject(bucket, "by-url", 60), { method: "PUT", body: "hello" });
assert.equal(put.status, 200);

// A browser's form.
const post = client.newPostPolicy();
post.setBucket(bucket);
post.setKey("by-form");
post.setExpires(new Date(Date.now() + 60_000));
post.setContentLengthRange(1, 1000);
const { postURL, formData } = await client.presignedPostPolicy(post);
const form = new FormData();
for (const [name, value] of Object.entries(formData)) form.append(name, value);
form.append("file", new Blob(["from a form"]), "x.txt");
const posted = await fetch(postURL, { method: "POST", body: form });
assert.ok(posted.ok, `form: ${posted.status} ${await posted.text()}`);
assert.equal((await collect(await client.getObject(bucket, "by-form"))).toString(), "from a form");

const upload = await client.initiateNewMultipartUpload(bucket, "abandoned", {});
assert.equal(typeof upload, "string");
await client.removeIncompleteUpload(bucket, "abandoned");

await fails(client.getObject(bucket, "absent"), "NoSuchKey");
await fails(client.removeBucket(bucket), "BucketNotEmpty");
await fails(client.makeBucket("Bad_Name!").catch((e) => Promise.reject(Object.assign(e, { code: e.code ?? e.name }))), "InvalidBucketNameError");
await client.removeObjects(bucket, ["small", "copy", "folder/large ü", "by-url", "by-form"]);
await client.removeBucket(bucket);
assert.equal(await client.bucketExists(bucket), false);
console.log("ok");
