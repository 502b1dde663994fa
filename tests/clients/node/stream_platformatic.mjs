// @platformatic/kafka, which takes brokers of the newest versions only: streams, groups, transactions, administration.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import zlib from "node:zlib";
import * as kafka from "@platformatic/kafka";

const { Admin, Consumer, Producer, MessagesStreamModes, FetchIsolationLevels, ConfigResourceTypes, IncrementalAlterConfigOperationTypes,
  ResourceTypes, ResourcePatternTypes, AclOperations, AclPermissionTypes, stringSerializers, stringDeserializers } = kafka;
const settings = JSON.parse(process.env.STREAM_SETTINGS);
const base = { clientId: "polis-test", bootstrapBrokers: [settings.broker], retries: 3, retryDelay: 200, strict: true };
const fresh = (name) => `${name}-${randomUUID().slice(0, 8)}`;
const admin = new Admin(base);
const create = async (name, partitions = 1, configs = []) => {
  const topic = fresh(name);
  const [made] = await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs });
  assert.equal(made.name, topic);
  assert.equal(made.partitions, partitions);
  return topic;
};
const newProducer = (options = {}) => new Producer({ ...base, serializers: stringSerializers, ...options });
const newConsumer = (options = {}) => new Consumer({ ...base, groupId: fresh("group"), deserializers: stringDeserializers, maxWaitTime: 500, sessionTimeout: 10_000, rebalanceTimeout: 10_000, heartbeatInterval: 500, ...options });
const read = async (topic, count, options = {}, { mode = MessagesStreamModes.EARLIEST, ...consume } = {}) => {
  const consumer = newConsumer(options);
  const stream = await consumer.consume({ topics: [topic], mode, autocommit: true, ...consume });
  const rows = [];
  const timer = setTimeout(() => stream.destroy(new Error(`${topic}: ${rows.length} of ${count} records within 30 s`)), 30_000);
  for await (const message of stream) {
    rows.push(message);
    if (rows.length === count) break;
  }
  clearTimeout(timer);
  await stream.close().catch(() => {});
  await consumer.close(true);
  return rows;
};

// --- codecs and acknowledgement levels
const codecs = ["none", "gzip", "snappy", "lz4", ...(zlib.zstdCompressSync ? ["zstd"] : [])];
for (const compression of codecs) {
  for (const acks of [-1, 1]) {
    const topic = await create(`codec-${compression}`);
    const producer = newProducer();
    const messages = Array.from({ length: 300 }, (_, n) => ({ topic, key: `k${n}`, value: `${compression} ${n} `.repeat(30), headers: { n: `${n}` }, partition: 0 }));
    const { offsets } = await producer.send({ messages, compression, acks });
    assert.deepEqual(offsets.map((o) => [o.topic, o.partition, o.offset]), [[topic, 0, 0n]]);
    await producer.close();
    const rows = await read(topic, 300);
    rows.forEach((row, n) => assert.deepEqual([row.key, row.value, row.headers.get("n"), row.offset], [`k${n}`, messages[n].value, `${n}`, BigInt(n)]));
  }
}

// --- idempotent, several partitions, a group that goes on where it was, its lag
{
  const topic = await create("grouped", 4), groupId = fresh("group");
  const producer = newProducer({ idempotent: true, acks: -1 });
  for (let batch = 0; batch < 5; ++batch) await producer.send({ messages: Array.from({ length: 80 }, (_, n) => ({ topic, key: `${n}`, value: `${batch * 80 + n}`, partition: n % 4 })) });
  const numbers = (rows) => rows.map((row) => Number(row.value)).sort((a, b) => a - b);
  const first = await read(topic, 400, { groupId });
  assert.deepEqual(numbers(first), Array.from({ length: 400 }, (_, n) => n));
  await producer.send({ messages: [{ topic, value: "400", partition: 2 }] });
  const next = await read(topic, 1, { groupId }, { mode: MessagesStreamModes.COMMITTED });
  assert.deepEqual(numbers(next), [400]);
  const consumer = newConsumer({ groupId });
  assert.deepEqual((await consumer.listOffsets({ topics: [topic] })).get(topic), [100n, 100n, 101n, 100n]);
  await consumer.close(true);
  assert.equal((await admin.describeGroups({ groups: [groupId] })).get(groupId).state.toUpperCase(), "EMPTY");
  assert.ok((await admin.listGroups()).has(groupId));
  await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionOffsets: [{ partition: 0, offset: 7n }] }] });
  const [listed] = await admin.listConsumerGroupOffsets({ groups: [groupId] });
  assert.equal(listed.topics.find((t) => t.name === topic).partitions.find((p) => p.partitionIndex === 0).committedOffset, 7n);
  await admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionIndexes: [0] }] });
  await admin.deleteGroups({ groups: [groupId] });
  assert.ok(!(await admin.listGroups()).has(groupId));
  await producer.close();
}

// --- transactions
{
  const topic = await create("transactions");
  const producer = newProducer({ idempotent: true, transactionalId: fresh("writer"), acks: -1 });
  // One that aborts: what it filters is one range a producer and fetch.
  for (let round = 0; round < 3; ++round) {
    const transaction = await producer.beginTransaction();
    await transaction.send({ messages: [{ topic, value: `${round}-a`, partition: 0 }, { topic, value: `${round}-b`, partition: 0 }] });
    if (round % 2) await transaction.abort();
    else await transaction.commit();
  }
  const committed = await read(topic, 4, { isolationLevel: FetchIsolationLevels.READ_COMMITTED });
  assert.deepEqual(committed.map((row) => row.value), ["0-a", "0-b", "2-a", "2-b"]);
  assert.equal((await read(topic, 6, { isolationLevel: FetchIsolationLevels.READ_UNCOMMITTED })).length, 6);
  await producer.close();
}

// --- administration
{
  const topic = await create("administered", 2, [{ name: "retention.ms", value: "3600000" }]);
  await assert.rejects(admin.createTopics({ topics: [topic] }), (error) => inspect(error, { depth: 9 }).includes("TOPIC_ALREADY_EXISTS"));
  await admin.createPartitions({ topics: [{ name: topic, count: 5 }] });
  assert.equal((await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitions.length, 5);
  const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic };
  const describe = async () => Object.fromEntries((await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: null }], includeSynonyms: true, includeDocumentation: true }))[0]
    .configs.map((c) => [c.name, c.value]));
  assert.equal((await describe())["retention.ms"], "3600000");
  await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [{ name: "cleanup.policy", configOperation: IncrementalAlterConfigOperationTypes.SET, value: "compact" }] }] });
  assert.deepEqual([(await describe())["cleanup.policy"], (await describe())["retention.ms"]], ["compact", "3600000"]);
  const rule = { resourceType: ResourceTypes.TOPIC, resourceName: topic, resourcePatternType: ResourcePatternTypes.PREFIXED, principal: "User:bob", host: "*",
    operation: AclOperations.READ, permissionType: AclPermissionTypes.ALLOW };
  await admin.createAcls({ creations: [rule] });
  assert.equal((await admin.describeAcls({ filter: rule }))[0].acls[0].principal, "User:bob");
  assert.equal((await admin.deleteAcls({ filters: [rule] })).length, 1);
  const entities = [{ entityType: "client-id", entityName: "slow" }];
  await admin.alterClientQuotas({ entries: [{ entities, ops: [{ key: "producer_byte_rate", value: 1_000_000, remove: false }] }] });
  const quotas = await admin.describeClientQuotas({ components: [{ entityType: "client-id", matchType: 0, match: "slow" }], strict: true });
  assert.equal(quotas[0].values[0].value, 1_000_000);
  await admin.alterClientQuotas({ entries: [{ entities, ops: [{ key: "producer_byte_rate", remove: true }] }] });
  const producer = newProducer();
  await producer.send({ messages: Array.from({ length: 10 }, (_, n) => ({ topic, key: `${n}`, value: "x".repeat(1000), partition: 0 })) });
  await producer.close();
  const [{ results }] = await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0, 1] }] });
  assert.ok(results[0].topics[0].partitions.find((p) => p.partitionIndex === 0).partitionSize > 9000n, "sizes that are true");
  await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [{ name: "cleanup.policy", configOperation: IncrementalAlterConfigOperationTypes.DELETE }] }] });
  assert.equal((await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 4n }] }] }))[0].partitions[0].lowWatermark, 4n);
  await admin.deleteTopics({ topics: [topic] });
  assert.ok(!(await admin.listTopics()).includes(topic));
}
await admin.close();
console.log("ok");
