// @confluentinc/kafka-javascript over its own librdkafka 2.15.1: codecs, groups, transactions, administration.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import confluent from "@confluentinc/kafka-javascript";

const { Kafka, logLevel, ErrorCodes } = confluent.KafkaJS;
const settings = JSON.parse(process.env.STREAM_SETTINGS);
const kafka = new Kafka({ kafkaJS: { clientId: "polis-test", brokers: [settings.broker], logLevel: logLevel.ERROR } });
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
const create = async (name, numPartitions = 1) => {
  const topic = fresh(name);
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions }] }), true);
  return topic;
};
const read = async (topic, count, options = {}, seen = []) => {
  const consumer = kafka.consumer({ kafkaJS: { groupId: fresh("reader"), fromBeginning: true, sessionTimeout: 10_000, ...options } });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic] });
  await consumer.run({ eachMessage: async ({ partition, message }) => void seen.push({ partition, ...message }) });
  await within(`${count} records of ${topic}`, 40, () => seen.length >= count);
  await consumer.disconnect();
  return seen;
};

for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"]) {
  const topic = await create(`codec-${compression}`);
  const producer = kafka.producer({ kafkaJS: { compression, acks: -1 } });
  await producer.connect();
  const messages = Array.from({ length: 300 }, (_, n) => ({ key: `k${n}`, value: n % 50 === 3 ? null : `${compression} ${n} `.repeat(20), headers: { n: `${n}` } }));
  await producer.send({ topic, messages: messages.map((message) => ({ ...message })) });  // it makes Buffers of what it is given
  await producer.disconnect();
  const rows = await read(topic, 300);
  messages.forEach((sent, n) => assert.deepEqual([rows[n].key.toString(), rows[n].value?.toString() ?? null, rows[n].headers.n.toString()], [sent.key, sent.value, `${n}`]));
}
{
  const topic = await create("grouped", 6), groupId = fresh("group"), seen = [];
  const producer = kafka.producer({ kafkaJS: { idempotent: true } });
  await producer.connect();
  const consumers = [];
  for (let n = 0; n < 3; ++n) {
    const consumer = kafka.consumer({ kafkaJS: { groupId, fromBeginning: true, sessionTimeout: 6000 } });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic] });
    await consumer.run({ eachMessage: async ({ message }) => void seen.push(Number(message.value)) });
    consumers.push(consumer);
  }
  await within("three members share", 40, () => consumers.every((consumer) => consumer.assignment().length === 2));
  await producer.send({ topic, messages: Array.from({ length: 1200 }, (_, n) => ({ value: `${n}`, partition: n % 6 })) });
  await within("everything is read", 40, () => seen.length >= 1200);
  assert.deepEqual(seen.sort((a, b) => a - b), Array.from({ length: 1200 }, (_, n) => n));
  assert.equal((await admin.describeGroups([groupId])).groups[0].members.length, 3);
  for (const consumer of consumers) await consumer.disconnect();
  await producer.disconnect();
  const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] });
  assert.equal(offsets.partitions.reduce((sum, p) => sum + Number(p.offset), 0), 1200);
  await admin.deleteGroups([groupId]);
}
{
  const topic = await create("transactions");
  const producer = kafka.producer({ kafkaJS: { transactionalId: fresh("writer") } });
  await producer.connect();
  for (let round = 0; round < 4; ++round) {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: `${round}-a` }, { value: `${round}-b` }] });
    if (round % 2) await transaction.abort();
    else await transaction.commit();
  }
  await producer.disconnect();
  assert.deepEqual((await read(topic, 4)).map((row) => row.value.toString()), ["0-a", "0-b", "2-a", "2-b"]);
}
{
  const topic = await create("administered", 3);
  assert.equal((await admin.fetchTopicMetadata({ topics: [topic] }))[0].partitions.length, 3);
  assert.ok((await admin.listTopics()).includes(topic));
  await admin.deleteTopics({ topics: [topic] });
  await assert.rejects(admin.deleteTopics({ topics: [topic] }), (error) => error.code === ErrorCodes.ERR_UNKNOWN_TOPIC_OR_PART);
}
{
  // A topic that goes while it is assigned: the group goes on with the other one, and the client ends.
  const stays = await create("stays"), goes = await create("goes");
  const consumer = kafka.consumer({ kafkaJS: { groupId: fresh("group"), fromBeginning: true, allowAutoTopicCreation: false, logLevel: logLevel.NOTHING }, "topic.metadata.refresh.interval.ms": 1000 });
  await consumer.connect();
  await consumer.subscribe({ topics: [stays, goes] });
  await consumer.run({ eachMessage: async () => {} });
  await within("both are assigned", 30, () => consumer.assignment().length === 2);
  await admin.deleteTopics({ topics: [goes] });
  await within("one is left", 30, () => consumer.assignment().length === 1);
  await consumer.disconnect();
}
await admin.disconnect();
console.log("ok");
