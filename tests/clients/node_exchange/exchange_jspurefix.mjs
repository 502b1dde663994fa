// jspurefix over TLS: a Logon, 10,000 orders, and sockets that are cut in the middle, after which both sides ask for what they missed. Each order is
// accepted once and each execution arrives.
import { createRequire } from "node:module";
import net from "node:net";
import assert from "node:assert";
import { readFileSync } from "node:fs";

const require = createRequire(import.meta.url);
require("reflect-metadata");
const { SessionLauncher, DITokens } = require("jspurefix/dist/runtime");
const { AsciiSession } = require("jspurefix/dist/transport");
const { RecoveringTcpInitiator } = require("jspurefix/dist/transport/tcp");
const { EmptyLogFactory } = require("jspurefix/dist/config");
const { FixMsgStoreRecord } = require("jspurefix/dist/store");

const settings = JSON.parse(process.env.EXCHANGE_SETTINGS);
const ORDERS = settings.orders;
const CUTS = [Math.floor(ORDERS * 0.3), Math.floor(ORDERS * 0.6)]; // orders sent

// Between the client and the venue: what a network does.
const pairs = new Set();
const proxy = net.createServer((near) => {
  const far = net.connect(settings.port, "127.0.0.1");
  const pair = [near, far];
  pairs.add(pair);
  near.pipe(far);
  far.pipe(near);
  const end = () => {
    near.destroy();
    far.destroy();
    pairs.delete(pair);
  };
  for (const socket of pair) socket.on("error", end).on("close", end);
});
await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
const cut = () => {
  for (const [near, far] of pairs) {
    near.destroy();
    far.destroy();
  }
};

// The package's parser says so with nobody listening when a socket ends under it; its initiator connects again all the same.
process.on("uncaughtException", (error) => {
  if (!["EPIPE", "ECONNRESET"].includes(error.code)) throw error;
});

const accepted = new Set(); // ClOrdIDs
const executions = new Map(); // ExecID to what it said
let sent = 0;
let ready = 0;
let cuts = 0;
let rejected = [];
let finish;
const finished = new Promise((resolve) => {
  finish = resolve;
});

class Trader extends AsciiSession {
  constructor(config) {
    super(config);
    this.logReceivedMsgs = false;
    this.orders = []; // said, and not yet made into bytes
  }
  // What is sent again is kept by the application.
  txOnEncoded(type, data, header) {
    super.txOnEncoded(type, data, header);
    if (type !== "D" || header.PossDupFlag) return;
    this.store.put(new FixMsgStoreRecord("D", new Date(), header.MsgSeqNum, this.orders.shift()));
  }
  onLogon() {
    return true;
  }
  onReady() {
    ready += 1;
    this.away = false;
    this.step();
  }
  onDecoded() {}
  onEncoded() {}
  onStopped() {}
  onApplicationMsg(type, view) {
    const report = view.toObject();
    if (type !== "8") {
      rejected.push([type, report]);
      return finish();
    }
    const told = JSON.stringify([report.ClOrdID, report.ExecType, report.LastQty, report.CumQty, report.AvgPx]);
    // What is sent again says the same.
    assert.equal(executions.get(report.ExecID) ?? told, told, "an execution changed when it was sent again");
    executions.set(report.ExecID, told);
    if (report.ExecType === "0") accepted.add(report.ClOrdID);
    if (accepted.size === ORDERS && executions.size === 2 * ORDERS) finish();
  }
  // Some orders at a time: sellers first, then who buys from them.
  step() {
    if (this.away || sent >= ORDERS) return;
    for (let i = 0; i < 50 && sent < ORDERS; ++i) {
      const order = {
        ClOrdID: `js-${sent}`,
        HandlInst: "1",
        Instrument: { Symbol: "ABC" },
        Side: sent % 2 === 0 ? "2" : "1",
        TransactTime: new Date(),
        OrderQtyData: { OrderQty: 10 },
        OrdType: "2",
        Price: 100.25,
        TimeInForce: "1",
      };
      this.orders.push(order);
      this.send("D", order);
      sent += 1;
      if (sent === CUTS[cuts]) {
        cuts += 1;
        this.away = true;
        cut();
        return;
      }
    }
    setTimeout(() => this.step(), 5);
  }
}

class Launcher extends SessionLauncher {
  registerApplication(container) {
    container.register(DITokens.FixSession, { useFactory: (c) => new Trader(c.resolve(DITokens.IJsFixConfig)) });
    container.register(DITokens.FixEntity, { useClass: RecoveringTcpInitiator });
  }
}

const launcher = new Launcher(
  {
    application: {
      type: "initiator",
      name: "trader",
      reconnectSeconds: 1,
      recoveryAttemptSeconds: 1,
      backoffFailConnectSeconds: 1,
      tcp: {
        host: "localhost",
        port: proxy.address().port,
        tls: { timeout: 10000, nodeTlsConnectionOptions: { ca: readFileSync(settings.certificate) } },
      },
      protocol: "ascii",
      dictionary: settings.dictionary,
    },
    Username: settings.session,
    Password: settings.password,
    EncryptMethod: 0,
    ResetSeqNumFlag: false,
    HeartBtInt: 30,
    SenderCompId: settings.session,
    TargetCompID: "POLIS",
    BeginString: "FIX.4.4",
    BodyLengthChars: 6,
  },
  null,
  new EmptyLogFactory(),
);
const limit = setTimeout(finish, settings.seconds * 1000);
launcher.run().catch((error) => {
  console.error(error);
});
await finished;
clearTimeout(limit);
assert.deepEqual(rejected, []);
assert.equal(sent, ORDERS);
assert.equal(accepted.size, ORDERS, `${ORDERS - accepted.size} orders were never accepted`);
assert.equal(executions.size, 2 * ORDERS, `${executions.size} of ${2 * ORDERS} executions`);
assert.equal(ready, 1 + CUTS.length, "logons");
console.log(`${ORDERS} orders, ${executions.size} executions, ${ready} logons`);
launcher.stop();
setTimeout(() => process.exit(0), 300);
