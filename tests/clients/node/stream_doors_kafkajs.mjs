// kafkajs through the doors that ask who is there: SASL PLAIN and SCRAM, TLS, and all together.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import kafkajs from "kafkajs";

const { Kafka, logLevel } = kafkajs;
const doors = JSON.parse(process.env.STREAM_DOORS);
for (const { name, broker, sasl, tls, topic, refused } of doors) {
  const ssl = tls && { ca: [readFileSync(tls.ca)], ...(tls.key && { key: readFileSync(tls.key), cert: readFileSync(tls.certificate) }) };
  const kafka = new Kafka({ clientId: name, brokers: [broker], sasl, ssl, logLevel: logLevel.NOTHING, retry: { retries: 1 } });
  const producer = kafka.producer();
  if (refused) {
    await assert.rejects(async () => {
      await producer.connect();
      await producer.send({ topic, messages: [{ value: "never" }] });
    }, (error) => new RegExp(refused).test(`${error.name} ${error.type} ${error.message} ${error.cause?.message}`), `${name}: ${refused}`);
  } else {
    await producer.connect();
    await producer.send({ topic, messages: [{ key: name, value: `through ${name}` }] });
    const consumer = kafka.consumer({ groupId: `ann-${name}` });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name}: nothing read within 30 s`)), 30_000);
      consumer.run({ eachMessage: async ({ message }) => {
        if (message.key?.toString() === name) {
          clearTimeout(timer);
          resolve();
        }
      } });
    });
    await consumer.disconnect();
  }
  await producer.disconnect();
}
console.log("ok");
