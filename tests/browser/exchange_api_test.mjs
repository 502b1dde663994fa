// The console's idea of the exchange's API against the server's: every field of every type in console/src/systems/exchange/api.ts; and
// that every right opens its own doors alone.
import { check, run } from "./lib.mjs";
import { interfacesOf, sampleOf, same } from "./shapes.mjs";

const base = "/api/exchange/v1/admin";
const types = interfacesOf("console/src/systems/exchange/api.ts");
const send = (body, method = "POST") => ({ method, body: JSON.stringify(body) });

run(
  {
    async the_answers_have_the_fields_that_the_console_names({ polis }) {
      await polis.signIn();
      same(types.Instrument, await polis.json(`${base}/instruments/ABC`, send({ tick: "0.01", phases: "24x7" }, "PUT")), "instruments PUT");
      const list = await polis.json(`${base}/instruments`);
      same(types.Instruments, list, "instruments");
      same(types.Instrument, list.instruments.ABC, "instruments.instruments");
      await polis.json(`${base}/accounts/A7`, send({}, "PUT"));
      same(types.Accounts, await polis.json(`${base}/accounts`), "accounts");
      same(types.Session, await polis.json(`${base}/sessions/BRK1`, send({ account: "A7" }, "PUT")), "sessions PUT");
      const sessions = await polis.json(`${base}/sessions`);
      same(types.Sessions, sessions, "sessions");
      same(types.Session, sessions.sessions[0], "sessions.sessions");
      check(sessions.sessions[0].logged_on === false && sessions.sessions[0].next_in === 1, JSON.stringify(sessions));
      await polis.json(`${base}/fund`, send({ account: "A7", asset: "USD", amount: "1000" }));
      const account = await polis.json(`${base}/accounts/A7`);
      same(types.Account, account, "account");
      same(types.Balance, account.balances[0], "account.balances");
      same(types.Limits, await polis.json(`${base}/risk/A7`), "risk");
      same(types.Book, await polis.json(`${base}/book/ABC?depth=5&queues=true`), "book");
      await polis.json(`${base}/phase`, send({ symbol: "ABC", phase: "halted" }));
      const halted = await polis.json(`${base}/book/ABC`);
      same(types.Book, halted, "book of a halt");
      same(types.Auction, halted.auction, "book.auction");
      await polis.json(`${base}/phase`, send({ symbol: "ABC", phase: "continuous" }));
      const past = await polis.json(`${base}/replay`, send({ to: "0", book: "ABC", depth: 5 }));
      same(types.Past, past, "replay");
      same(types.Book, past.book, "replay.book");
      const status = await polis.json(`${base}/status`);
      same(types.LiveSample, status, "status");
      same(types.BusReader, status.readers.journal, "status.readers");
    },

    async the_live_topic_has_the_fields_that_the_console_names({ polis }) {
      const live = await sampleOf(polis, "exchange.live");
      same(types.LiveSample, live, "exchange.live");
      check(live.healthy && Number(live.requests) > 5, JSON.stringify(live));
    },

    async bad_questions_are_answered_with_what_they_must_be({ polis }) {
      const refused = async (path, init, status, word) => {
        const answer = await polis.ask(`${base}/${path}`, init);
        const text = await answer.text();
        check(answer.status === status && text.includes(word), `${path}: ${answer.status} ${text}`);
      };
      await refused("book/NONE", {}, 404, "NONE");
      await refused("book/ABC?depth=0", {}, 400, "depth");
      await refused("instruments/DEF", send({ tick: 1 }, "PUT"), 400, "tick");
      await refused("instruments/DEF", send({ tik: "0.01" }, "PUT"), 400, "tik");
      await refused("phase", send({ symbol: "ABC", phase: "lunch" }), 400, "phase");
      await refused("risk/A7", send({ order_quantity_max: -1 }, "PUT"), 400, "order_quantity_max");
      await refused("fund", send({ account: "A7", asset: "USD", amount: "0" }), 400, "amount");
      await refused("withdraw", send({ account: "A7", asset: "USD", amount: "1" }), 400, "wallet");
      await refused("break", send({ symbol: "ABC", match: 0 }), 400, "match");
      await refused("settle", send({ day: "20260231" }), 400, "day");
      await refused("replay", send({ to: -1 }), 400, "to");
    },

    async every_right_opens_its_own_doors_alone({ polis }) {
      const user = await polis.ask("/api/auth/v1/users", send({ name: "bob", password: "a long password" }));
      check(user.ok, `a user: ${user.status} ${await user.text()}`);
      const policy = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: ["exchange:Describe", "exchange:SetRisk"], Resource: "*" }] };
      await polis.json("/api/auth/v1/policies/risk-manager", send(policy, "PUT"));
      await polis.json("/api/auth/v1/users/bob/policies/risk-manager", { method: "PUT" });
      const session = await fetch(`${polis.url}/api/auth/v1/session`, send({ user: "bob", password: "a long password" }));
      const { token } = await session.json();
      const asBob = async (path, init = {}) => (await fetch(`${polis.url}${base}/${path}`, { ...init, headers: { authorization: `Bearer ${token}` } })).status;
      check((await asBob("status")) === 200, "a risk manager sees the status");
      check((await asBob("kill", send({ account: "A7", killed: true }))) === 200, "and stops an account");
      check((await asBob("kill", send({ account: "A7", killed: false }))) === 200, "and lets it trade again");
      for (const [path, init] of [
        ["phase", send({ symbol: "ABC", phase: "halted" })],
        ["instruments/DEF", send({}, "PUT")],
        ["fund", send({ account: "A7", asset: "USD", amount: "1" })],
        ["settle", send({})],
        ["keys", send({ session: "BRK1" })],
      ])
        check((await asBob(path, init)) === 403, `${path} is not his`);
      check((await fetch(`${polis.url}${base}/status`)).status === 401, "a stranger sees nothing");
    },
  },
  ["ledger", "exchange"],
);
