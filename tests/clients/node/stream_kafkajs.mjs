// kafkajs 2.2.4 with kafkajs-lz4 and kafkajs-snappy: codecs, headers, groups, transactions, administration, errors.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import kafkajs from "kafkajs";
import LZ4Codec from "kafkajs-lz4";
import SnappyCodec from "kafkajs-snappy";

const { Kafka, CompressionTypes, CompressionCodecs, logLevel, AclResourceTypes, AclOperationTypes, AclPermissionTypes, ResourcePatternTypes,
  ConfigResourceTypes } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = new LZ4Codec().codec;

const settings = JSON.parse(process.env.STREAM_SETTINGS);
const faults = [];
const logCreator = () => ({ namespace, log }) => {
  if (!expected.some((text) => `${log.message} ${log.error ?? ""}`.includes(text))) faults.push(`${namespace}: ${log.message} ${log.error ?? ""}`);
};
const expected = ["group is rebalancing", "rebalancing, so a rejoin", "specified group generation", "not aware of this member"];
const kafka = new Kafka({ clientId: "polis-test", brokers: [settings.broker], logLevel: logLevel.ERROR, logCreator, ...settings.kafkajs });
const fresh = (name) => `${name}-${randomUUID().slice(0, 8)}`;
const within = async (what, seconds, probe) => {
  const end = Date.now() + seconds * 1000;
  while (!(await probe())) {
    assert.ok(Date.now() < end, `${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

const admin = kafka.admin();
await admin.connect();
const create = async (name, numPartitions = 1, configEntries = []) => {
  const topic = fresh(name);
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] }), true);
  return topic;
};
// Reads `count` records of a topic through a group of its own.
const read = async (topic, count, options = {}) => {
  const consumer = kafka.consumer({ groupId: fresh("reader"), maxWaitTimeInMs: 200, ...options });
  const rows = [];
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({ eachMessage: async ({ partition, message }) => void rows.push({ partition, ...message }) });
  await within(`${count} records of ${topic}`, 30, () => rows.length >= count);
  await consumer.disconnect();
  return rows;
};

// --- codecs, keys, headers, null values, acknowledgement levels
const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4 };
for (const [name, compression] of Object.entries(codecs)) {
  for (const acks of [-1, 1]) {
    const topic = await create(`codec-${name}`);
    const producer = kafka.producer();
    await producer.connect();
    const messages = Array.from({ length: 400 }, (_, n) => ({
      key: `k${n}`, value: n % 50 === 7 ? null : `${name} ${n} `.repeat(20), headers: { n: `${n}`, bytes: Buffer.from([0, 255, n % 256]) } }));
    const [report] = await producer.send({ topic, compression, acks, messages });
    assert.equal(report.errorCode, 0);
    assert.equal(report.baseOffset, "0");
    const [next] = await producer.send({ topic, compression, acks, messages: [{ value: "last" }] });
    assert.equal(next.baseOffset, "400");
    await producer.disconnect();
    const rows = await read(topic, 401);
    messages.forEach((sent, n) => {
      assert.equal(rows[n].key.toString(), sent.key);
      assert.equal(rows[n].value?.toString() ?? null, sent.value);
      assert.equal(rows[n].headers.n.toString(), `${n}`);
      assert.deepEqual([...rows[n].headers.bytes], [0, 255, n % 256]);
    });
  }
}
{
  const topic = await create("acks-0");
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, acks: 0, messages: [{ value: "unheard" }] });
  assert.equal((await read(topic, 1))[0].value.toString(), "unheard");
  await producer.disconnect();
}

// --- offsets and times
{
  const topic = await create("times");
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const base = Date.now() - 100_000;
  await producer.send({ topic, messages: Array.from({ length: 100 }, (_, n) => ({ value: `${n}`, timestamp: `${base + n * 1000}` })) });
  await producer.disconnect();
  assert.deepEqual(await admin.fetchTopicOffsets(topic), [{ partition: 0, offset: "100", high: "100", low: "0" }]);
  assert.deepEqual(await admin.fetchTopicOffsetsByTimestamp(topic, base + 49_500), [{ partition: 0, offset: "50" }]);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "30" }] });
  assert.equal((await admin.fetchTopicOffsets(topic))[0].low, "30");
  const groupId = fresh("group");
  await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: "60" }] });
  assert.equal((await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions[0].offset, "60");
  const rows = await read(topic, 40, { groupId });
  assert.equal(rows[0].value.toString(), "60");
  await admin.resetOffsets({ groupId, topic, earliest: true });
  assert.equal((await read(topic, 70, { groupId }))[0].value.toString(), "30");
}

// --- a group whose members come and go
{
  const topic = await create("grouped", 6), groupId = fresh("group");
  const seen = [], shares = new Map();
  const join = async (name) => {
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 200, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 6000 });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => shares.set(name, payload.memberAssignment[topic]?.length ?? 0));
    await consumer.run({ autoCommitInterval: 200, eachMessage: async ({ message }) => void seen.push(Number(message.value)) });
    return consumer;
  };
  const first = await join("first");
  await within("one member has all", 30, () => shares.get("first") === 6);
  const others = [await join("second"), await join("third")];
  await within("three members share", 40, () => [...shares.values()].join() === "2,2,2");
  const producer = kafka.producer();
  await producer.connect();
  for (let batch = 0; batch < 10; ++batch) {
    await producer.sendBatch({ topicMessages: [{ topic, messages: Array.from({ length: 120 }, (_, n) => ({ value: `${batch * 120 + n}`, partition: n % 6 })) }] });
  }
  await within("everything is read", 30, () => seen.length >= 1200);
  assert.deepEqual(seen.sort((a, b) => a - b), Array.from({ length: 1200 }, (_, n) => n));
  const { groups } = await admin.describeGroups([groupId]);
  assert.equal(groups[0].state, "Stable");
  assert.equal(groups[0].members.length, 3);
  assert.ok((await admin.listGroups()).groups.some((group) => group.groupId === groupId));
  await first.disconnect();
  await within("the others take over", 40, () => shares.get("second") === 3 && shares.get("third") === 3);
  for (const consumer of others) await consumer.disconnect();
  assert.equal((await admin.deleteGroups([groupId]))[0].groupId, groupId);
  await producer.disconnect();
}

// --- transactions: committed, aborted, with offsets, fenced
{
  const topic = await create("transactions"), groupId = fresh("group"), transactionalId = fresh("writer");
  const producer = kafka.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  for (let round = 0; round < 4; ++round) {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: `${round}-a` }, { value: `${round}-b` }] });
    await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic, partitions: [{ partition: 0, offset: `${round + 1}` }] }] });
    if (round % 2) await transaction.abort();
    else await transaction.commit();
  }
  assert.deepEqual((await read(topic, 4)).map((row) => row.value.toString()), ["0-a", "0-b", "2-a", "2-b"]);
  assert.equal((await read(topic, 8, { readUncommitted: true })).length, 8);
  assert.equal((await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions[0].offset, "3");
  const successor = kafka.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true });
  await successor.connect();
  const transaction = await successor.transaction();
  await transaction.send({ topic, messages: [{ value: "new" }] });
  expected.push("newer epoch", "INVALID_PRODUCER_EPOCH", "fenced", "older epoch", "epoch");
  await assert.rejects(async () => {
    const stale = await producer.transaction();
    await stale.send({ topic, messages: [{ value: "stale" }] });
    await stale.commit();
  });
  await transaction.commit();
  assert.equal((await read(topic, 5)).at(-1).value.toString(), "new");
  await producer.disconnect();
  await successor.disconnect();
}

// --- administration
{
  const topic = await create("administered", 2, [{ name: "retention.ms", value: "3600000" }]);
  expected.push("Topic creation errors", "DeleteTopics");
  assert.equal(await admin.createTopics({ topics: [{ topic }] }), false, "a topic is made once");
  await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] });
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  assert.equal(topics[0].partitions.length, 5);
  const describe = async () => Object.fromEntries((await admin.describeConfigs({ includeSynonyms: true,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] })).resources[0].configEntries.map((e) => [e.configName, e.configValue]));
  assert.equal((await describe())["retention.ms"], "3600000");
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: "cleanup.policy", value: "compact" }] }] });
  assert.equal((await describe())["cleanup.policy"], "compact");
  const acl = { resourceType: AclResourceTypes.TOPIC, resourceName: topic, resourcePatternType: ResourcePatternTypes.LITERAL, principal: "User:bob", host: "*",
    operation: AclOperationTypes.READ, permissionType: AclPermissionTypes.ALLOW };
  assert.equal(await admin.createAcls({ acl: [acl] }), true);
  const filter = { ...acl, operation: AclOperationTypes.ANY, permissionType: AclPermissionTypes.ANY };
  assert.equal((await admin.describeAcls(filter)).resources[0].acls[0].principal, "User:bob");
  assert.equal((await admin.deleteAcls({ filters: [filter] })).filterResponses[0].matchingAcls.length, 1);
  const cluster = await admin.describeCluster();
  assert.equal(cluster.brokers.length, 1);
  assert.equal(`${cluster.brokers[0].host}:${cluster.brokers[0].port}`, settings.broker);
  await admin.deleteTopics({ topics: [topic] });
  assert.ok(!(await admin.listTopics()).includes(topic));
  await assert.rejects(admin.deleteTopics({ topics: [topic] }), (error) => error.cause?.type === "UNKNOWN_TOPIC_OR_PARTITION");
}
await admin.disconnect();
assert.deepEqual(faults, [], "the client logged errors");
console.log("ok");
