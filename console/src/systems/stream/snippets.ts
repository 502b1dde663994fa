// First steps, ready to paste: the same on the empty page and on the home page.
export const WAYS = ["polis", "kcat", "kafkajs", "python"] as const;
export type WayName = (typeof WAYS)[number];

export function snippet(way: WayName, host: string, port: number, directory: string): string {
  switch (way) {
    case "polis":
      return [
        `export POLIS_DATA=${directory}`,
        "polis stream topic create orders --partitions 3",
        `polis stream produce orders 'one watch' 'two watches' --key alice`,
        "polis stream consume orders --group shop --keys",
      ].join("\n");
    case "kcat":
      return [`echo 'alice:one watch' | kcat -b ${host}:${port} -t orders -P -K:`, `kcat -b ${host}:${port} -t orders -C -e -K:`].join("\n");
    case "kafkajs":
      return `// npm install kafkajs
const { Kafka } = require("kafkajs");
const kafka = new Kafka({ brokers: ["${host}:${port}"] });
(async () => {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: "orders", messages: [{ key: "alice", value: "one watch" }] });
  await producer.disconnect();
  const consumer = kafka.consumer({ groupId: "shop" });
  await consumer.connect();
  await consumer.subscribe({ topics: ["orders"], fromBeginning: true });
  await consumer.run({ eachMessage: async ({ partition, message }) => console.log(partition, message.offset, String(message.value)) });
})();`;
    case "python":
      return `# apt install python3-confluent-kafka
from confluent_kafka import Producer, Consumer
producer = Producer({"bootstrap.servers": "${host}:${port}"})
producer.produce("orders", key="alice", value="one watch")
producer.flush()
consumer = Consumer({"bootstrap.servers": "${host}:${port}", "group.id": "shop", "auto.offset.reset": "earliest"})
consumer.subscribe(["orders"])
message = consumer.poll(10)
print(message.offset(), message.value())
consumer.close()`;
  }
}
