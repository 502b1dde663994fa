// What the tests of the API share: the types that the console names, read from its sources, and the first sample of a live topic.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { ROOT, check, fromConsole } from "./lib.mjs";

export const ts = fromConsole("typescript");

// Interfaces of one file: name -> field -> { optional, kind }.
export function interfacesOf(path) {
  const source = ts.createSourceFile(path, readFileSync(join(ROOT, path), "utf8"), ts.ScriptTarget.Latest);
  const found = {};
  const kindOf = (type) => {
    if (ts.isUnionTypeNode(type)) return "string";
    if (ts.isArrayTypeNode(type)) return "array";
    return { [ts.SyntaxKind.StringKeyword]: "string", [ts.SyntaxKind.NumberKeyword]: "number", [ts.SyntaxKind.BooleanKeyword]: "boolean" }[type.kind];
  };
  source.forEachChild((node) => {
    if (!ts.isInterfaceDeclaration(node)) return;
    found[node.name.text] = Object.fromEntries(
      node.members.map((member) => [member.name.text, { optional: !!member.questionToken, kind: kindOf(member.type) }]),
    );
  });
  return found;
}

export function same(shape, value, where) {
  check(shape, `${where}: no such type`);
  for (const [name, { optional, kind }] of Object.entries(shape)) {
    if (value[name] === undefined) {
      check(optional, `${where}: the server does not send "${name}"`);
      continue;
    }
    const is = Array.isArray(value[name]) ? "array" : typeof value[name];
    check(!kind || is === kind, `${where}: "${name}" is ${is}, the console expects ${kind}`);
  }
  for (const name of Object.keys(value)) check(shape[name], `${where}: the console does not know "${name}"`);
}

// The first frame about a live topic, by a WebSocket client that can do just this (Node has one only from version 22 on).
export function sampleOf(polis, topic) {
  return new Promise((resolve, reject) => {
    const key = randomBytes(16).toString("base64");
    const headers = { authorization: `Bearer ${polis.token}`, connection: "Upgrade", upgrade: "websocket" };
    const asked = request(`${polis.url}/api/live`, { headers: { ...headers, "sec-websocket-version": "13", "sec-websocket-key": key } });
    const late = setTimeout(() => asked.destroy(new Error(`${topic}: no sample within 10 s`)), 10_000);
    asked.on("error", reject);
    asked.on("response", (answer) => reject(new Error(`${topic}: ${answer.statusCode} in place of a WebSocket`)));
    asked.on("upgrade", (_, socket, head) => {
      // A masked text frame (RFC 6455 §5.3) with a mask of zeros.
      const wish = Buffer.from(JSON.stringify({ op: "subscribe", topic }));
      socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | wish.length, 0, 0, 0, 0]), wish]));
      let received = head;
      const take = (bytes) => {
        received = Buffer.concat([received, bytes]);
        const short = received[1] & 0x7f;
        const begin = short < 126 ? 2 : short === 126 ? 4 : 10;
        if (received.length < begin) return;
        const size = short < 126 ? short : short === 126 ? received.readUInt16BE(2) : Number(received.readBigUInt64BE(2));
        if (received.length < begin + size) return;
        clearTimeout(late);
        socket.destroy();
        const frame = JSON.parse(received.subarray(begin, begin + size).toString());
        if (frame.op === "snapshot") resolve(frame.value);
        else reject(new Error(`${topic}: ${JSON.stringify(frame)}`));
      };
      socket.on("data", take);
      take(Buffer.alloc(0));
    });
    asked.end();
  });
}
