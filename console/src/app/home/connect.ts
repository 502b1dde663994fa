// Commands that connect a client to this polis, ready to paste on the machine that it runs on.
import { snippet } from "../../systems/stream/snippets";
import { curlSnippet, nodeSnippet } from "../../systems/ledger/snippets";
import type { Status } from "../api";

export interface Way {
  name: string;
  steps: { what: string; command: string }[];
}

export function connections(info: Status, host: string): Way[] {
  const ways: Way[] = [];
  const s3 = info.systems.find((system) => system.name === "object")?.ports["s3"];
  const credentials = `${info.data_directory}/root-credentials.json`;
  const field = (name: string): string => `$(sed -n 's/.*"${name}" *: *"\\([^"]*\\)".*/\\1/p' ${credentials})`;
  const keys = `export AWS_ACCESS_KEY_ID=${field("access_key")}\nexport AWS_SECRET_ACCESS_KEY=${field("secret_key")}`;
  if (s3) {
    const endpoint = `http://${host}:${s3}`;
    ways.push(
      {
        name: "aws",
        steps: [
          { what: "The root user's key, on the machine of polis", command: `${keys}\nexport AWS_DEFAULT_REGION=us-east-1` },
          {
            what: "A bucket and a file",
            command: `aws --endpoint-url ${endpoint} s3 mb s3://photos\naws --endpoint-url ${endpoint} s3 cp FILE s3://photos/`,
          },
        ],
      },
      {
        name: "rclone",
        steps: [
          { what: "The root user's key, on the machine of polis", command: keys },
          {
            what: "A remote named polis, and a copy to it",
            command: `rclone config create polis s3 provider=Other env_auth=true endpoint=${endpoint}\nrclone copy FOLDER polis:photos`,
          },
        ],
      },
      {
        name: "restic",
        steps: [
          { what: "The root user's key, on the machine of polis", command: keys },
          { what: "A repository for backups", command: `restic -r s3:${endpoint}/backup init` },
        ],
      },
    );
  }
  const log = info.systems.find((system) => system.name === "stream")?.ports["kafka"];
  if (log) {
    ways.push(
      { name: "kcat", steps: [{ what: "A record written and read, with any Kafka client", command: snippet("kcat", host, log, info.data_directory) }] },
      { name: "kafkajs", steps: [{ what: "A producer and a group of consumers", command: snippet("kafkajs", host, log, info.data_directory) }] },
    );
  }
  const books = info.systems.find((system) => system.name === "ledger")?.ports["tigerbeetle"];
  if (books) {
    ways.push(
      { name: "ledger", steps: [{ what: "Two accounts and a sale over JSON, on the machine of polis", command: curlSnippet(info.data_directory) }] },
      { name: "tigerbeetle-node", steps: [{ what: "The same books over the binary protocol", command: nodeSnippet(host, books) }] },
    );
  }
  ways.push({
    name: "polis",
    steps: [
      { what: "The command line on the same machine needs no password", command: `polis status --data ${info.data_directory}` },
      { what: "The tour: every system, driven through its own protocol", command: `polis tour --data ${info.data_directory}` },
    ],
  });
  return ways;
}
