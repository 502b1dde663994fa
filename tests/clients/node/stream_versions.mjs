// Every version of every api that both the broker and @platformatic/kafka know, over raw connections: one round of producing, reading, a group,
// a transaction and administration a "generation", in which each api has the version of that number, or the nearest that both know. Its
// parsers were written apart from the broker's, so a byte too many or too few is noticed. An error code in an answer throws.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Connection } from "@platformatic/kafka";

const settings = JSON.parse(process.env.STREAM_SETTINGS);
const [host, port] = settings.broker.split(":");
const folder = join(dirname(fileURLToPath(import.meta.resolve("@platformatic/kafka"))), "apis");
const apis = new Map();  // name → version → api
for (const group of ["admin", "consumer", "metadata", "producer"]) {
  for (const file of readdirSync(join(folder, group))) {
    const found = /^(.*)-v(\d+)\.js$/.exec(file);
    if (!found) continue;
    const { api } = await import(pathToFileURL(join(folder, group, file)));
    if (!apis.has(found[1])) apis.set(found[1], new Map());
    apis.get(found[1]).set(Number(found[2]), api);
  }
}

const connection = new Connection("polis-test");
await connection.connect(host, Number(port));
const offered = new Map((await apis.get("api-versions").get(3).async(connection, "polis-test", "1.0")).apiKeys.map((row) => [row.apiKey, row]));
const spoken = new Map();
for (const [name, versions] of apis) {
  const range = offered.get([...versions.values()][0].key);
  const common = range ? [...versions.keys()].filter((v) => v >= range.minVersion && v <= range.maxVersion).sort((a, b) => a - b) : [];
  if (common.length) spoken.set(name, common);
}
const used = new Set();
const failures = [];
const generations = Math.max(...[...spoken.values()].flat());

// What the client's own record writer counts with.
class Sequences extends Map {
  getWithDefault(key, fallback) { return this.get(key) ?? fallback; }
  preIncrement(key, by, fallback) { return this.set(key, (this.get(key) ?? fallback) + by).get(key); }
  postIncrement(key, by, fallback) { const before = this.get(key) ?? fallback; this.set(key, before + by); return before; }
}
const fresh = (name) => `${name}-${randomUUID().slice(0, 8)}`;
async function round(generation) {
  const call = async (name, ...args) => {
    const common = spoken.get(name);
    const version = common.findLast((v) => v <= generation) ?? common[0];
    used.add(`${name}-v${version}`);
    try {
      return await apis.get(name).get(version).async(connection, ...args);
    } catch (error) {
      throw new Error(`${name} v${version}: ${error.message} ${JSON.stringify(error.errors ?? error.cause ?? error.response ?? "", (k, v) => typeof v === "bigint" ? `${v}` : v)}`, { cause: error });
    }
  };
  const topic = fresh("versions"), groupId = fresh("group"), transactionalId = fresh("transaction");
  await call("api-versions", "polis-test", "1.0");
  await call("create-topics", [{ name: topic, numPartitions: 2, replicationFactor: 1, assignments: [], configs: [{ name: "retention.ms", value: "3600000" }] }], 10_000, false);
  const { topics } = await call("metadata", [topic], false, true, true);
  assert.equal(topics[0].partitions.length, 2);
  const topicId = (await apis.get("metadata").get(12).async(connection, [topic], false, false)).topics[0].topicId;
  await call("metadata", null, false, false, false);
  await call("describe-cluster", true, 1);
  await call("describe-topic-partitions", [{ name: topic }], 100);

  // Producing and reading.
  const idempotent = await call("init-producer-id", null, 60_000, -1n, -1);
  const record = (value, partition = 0) => ({ topic, partition, key: Buffer.from("key"), value: Buffer.from(value), headers: new Map([[Buffer.from("h"), Buffer.from("v")]]), timestamp: BigInt(Date.now()) });
  const produced = await call("produce", -1, 10_000, [record("one"), record("two")], { compression: "gzip", producerId: idempotent.producerId, producerEpoch: idempotent.producerEpoch, firstSequence: 0, sequences: new Sequences(), partitionLeaderEpoch: 0 });
  assert.equal(produced.responses[0].partitionResponses[0].baseOffset, 0n);
  const fetched = await call("fetch", 500, 1, 1 << 20, 0, 0, -1, [{ topicId: generation < 13 ? topic : topicId, topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, fetchOffset: 0n, lastFetchedEpoch: -1, partitionMaxBytes: 1 << 20 }] }], [], "");
  assert.equal(fetched.responses[0].partitions[0].highWatermark, 2n);
  assert.equal(fetched.responses[0].partitions[0].records[0].records.length, 2);
  const offsets = await call("list-offsets", -1, 0, [{ name: topic, partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -1n }] }]);
  assert.equal(Number(offsets.topics[0].partitions[0].offset), 2);
  await call("offset-for-leader-epoch", -1, [{ name: topic, partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }] }]);

  // A group of one.
  await call("find-coordinator", 0, [groupId]);
  const protocols = [{ name: "range", metadata: Buffer.from("metadata") }];
  let joined;
  try {
    joined = await call("join-group", groupId, 10_000, 10_000, "", null, "consumer", protocols, "");
  } catch (error) {
    const id = error.cause?.response?.memberId ?? error.cause?.errors?.[0]?.response?.memberId;
    if (!id) throw error;  // from version 4 on a member is given its id first
    joined = await call("join-group", groupId, 10_000, 10_000, id, null, "consumer", protocols, "");
  }
  const { generationId, memberId } = joined;
  const synced = await call("sync-group", groupId, generationId, memberId, null, "consumer", "range", [{ memberId, assignment: Buffer.from("assignment") }]);
  assert.equal(synced.assignment.toString(), "assignment");
  await call("heartbeat", groupId, generationId, memberId, null);
  const leave = () => call("leave-group", groupId, [{ memberId, groupInstanceId: null, reason: "" }]);
  if (generation === 0) await leave();  // a commit of version 0 names no member: only a group without members takes it
  await call("offset-commit", groupId, generationId, memberId, null, [{ name: topic, partitions: [{ partitionIndex: 0, committedOffset: 2n, committedLeaderEpoch: 0, committedMetadata: "noted" }] }]);
  const committed = await call("offset-fetch", [{ groupId, memberId: null, memberEpoch: -1, topics: [{ name: topic, partitionIndexes: [0, 1] }] }], false);
  assert.ok(JSON.stringify(committed, (k, v) => typeof v === "bigint" ? `${v}` : v).includes('"noted"'));
  await call("describe-groups", [groupId], true);
  await call("list-groups", [], []);
  if (generation > 0) await leave();
  await call("offset-delete", groupId, [{ name: topic, partitions: [{ partitionIndex: 0 }] }]);
  await call("delete-groups", [groupId]);

  // A transaction with offsets.
  await call("find-coordinator", 1, [transactionalId]);
  const { producerId, producerEpoch } = await call("init-producer-id", transactionalId, 60_000, -1n, -1);
  await call("add-partitions-to-txn", [{ transactionalId, producerId, producerEpoch, verifyOnly: false, topics: [{ name: topic, partitions: [0] }] }]);
  await call("produce", -1, 10_000, [record("three")], { compression: "none", transactionalId, producerId, producerEpoch, firstSequence: 0, sequences: new Sequences(), partitionLeaderEpoch: 0 });
  await call("add-offsets-to-txn", transactionalId, producerId, producerEpoch, groupId);
  await call("txn-offset-commit", transactionalId, groupId, producerId, producerEpoch, -1, "", null, [{ name: topic, partitions: [{ partitionIndex: 0, committedOffset: 1n, committedLeaderEpoch: 0, committedMetadata: "" }] }]);
  await call("describe-producers", [{ name: topic, partitionIndexes: [0] }]);
  await call("describe-transactions", [transactionalId]);
  await call("list-transactions", [], [], -1n, null);
  await call("end-txn", transactionalId, producerId, producerEpoch, true);

  // Administration.
  await call("create-partitions", [{ name: topic, count: 3, assignments: null }], 10_000, false);
  const resource = { resourceType: 2, resourceName: topic };
  await call("describe-configs", [{ ...resource, configurationKeys: null }], true, true);
  await call("describe-configs", [{ resourceType: 4, resourceName: "1", configurationKeys: null }], false, false);
  await call("alter-configs", [{ ...resource, configs: [{ name: "retention.ms", value: "7200000" }] }], false);
  await call("incremental-alter-configs", [{ ...resource, configs: [{ name: "max.message.bytes", configOperation: 0, value: "2000000" }] }], false);
  const rule = { resourceType: 2, resourceName: topic, resourcePatternType: 3, principal: "User:bob", host: "*", operation: 3, permissionType: 3 };
  await call("create-acls", [rule]);
  assert.equal((await call("describe-acls", rule)).resources[0].acls.length, 1);
  await call("delete-acls", [rule]);
  await call("describe-log-dirs", [{ name: topic, partitions: [0] }]);
  await call("alter-client-quotas", [{ entities: [{ entityType: "client-id", entityName: topic }], ops: [{ key: "producer_byte_rate", value: 5_000_000, remove: false }] }], false);
  await call("describe-client-quotas", [{ entityType: "client-id", matchType: 0, match: topic }], true);
  await call("alter-client-quotas", [{ entities: [{ entityType: "client-id", entityName: topic }], ops: [{ key: "producer_byte_rate", remove: true }] }], false);
  await call("list-partition-reassignments", 10_000, null);
  await call("alter-user-scram-credentials", [], [{ name: topic, mechanism: 1, iterations: 4096, salt: Buffer.alloc(20, 1), saltedPassword: Buffer.alloc(32, 2) }]);
  await call("describe-user-scram-credentials", [{ name: topic }]);
  await call("alter-user-scram-credentials", [{ name: topic, mechanism: 1 }], []);
  await call("delete-records", [{ name: topic, partitions: [{ partitionIndex: 0, offset: 1n }] }], 10_000);
  await call("delete-topics", [{ name: topic, topicId: null }], 10_000);
}

for (let generation = 0; generation <= generations; ++generation) {
  try {
    await round(generation);
  } catch (error) {
    failures.push(`generation ${generation}: ${error.message}`);
  }
}
await connection.close();
const all = [...spoken].flatMap(([name, versions]) => versions.map((v) => `${name}-v${v}`));
const unused = all.filter((name) => !used.has(name));
console.log(`${used.size} of ${all.length} common versions used; not used: ${unused.join(" ") || "none"}`);
assert.deepEqual(failures, []);
console.log("ok");
