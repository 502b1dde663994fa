// The console's idea of the event log's API against the server's: every field of every type in console/src/systems/stream/api.ts.
import { check, run, waitFor } from "./lib.mjs";
import { interfacesOf, sampleOf, same } from "./shapes.mjs";

const base = "/api/stream/v1";
const types = interfacesOf("console/src/systems/stream/api.ts");
const send = (body, method = "POST") => ({ method, body: JSON.stringify(body) });

run(
  {
    async the_answers_have_the_fields_that_the_console_names({ polis }) {
      await polis.signIn();
      const made = await polis.json(`${base}/topics`, send({ name: "orders", partitions: 2, config: { "retention.ms": "3600000" } }));
      same(types.TopicView, made, "topics POST");
      made.partitions.forEach((one) => same(types.PartitionState, one, "partitions"));
      made.config.forEach((one) => same(types.ConfigEntry, one, "config"));
      const list = await polis.json(`${base}/topics`);
      same(types.TopicList, list, "topics");
      same(types.TopicHead, list.topics[0], "topics.topics");
      same(types.TopicView, await polis.json(`${base}/topics/orders`, send({ config: { "read.path": "copy" }, partitions: 3 }, "PATCH")), "topics PATCH");

      const key = { key: "alice", value: '{"item":"watch"}', headers: { trace: "1" } };
      for (let i = 0; i < 3; ++i) same(types.Appended, await polis.json(`${base}/messages`, send({ topic: "orders", partition: 0, ...key })), "messages POST");
      const page = await polis.json(`${base}/messages?topic=orders&partition=0&offset=1`);
      same(types.MessagePage, page, "messages");
      check(page.messages.length === 2 && page.messages[0].offset === "1", `from offset 1: ${JSON.stringify(page.messages.map((one) => one.offset))}`);
      page.messages.forEach((one) => same(types.Message, one, "messages.messages"));
      same(types.Shown, page.messages[0].value, "messages.value");
      same(types.PartitionPage, page.partitions["0"], "messages.partitions");
      check((await polis.json(`${base}/messages?topic=orders`)).messages.length === 3, "the newest of all partitions");
      const twice = await polis.json(`${base}/duplicates?topic=orders`);
      same(types.Duplicates, twice, "duplicates");
      same(types.DuplicateKey, twice.keys[0], "duplicates.keys");
      check(twice.repeated_records === 2 && twice.keys[0].records === 3, JSON.stringify(twice));

      const plan = await polis.json(`${base}/groups/shop/reset`, send({ topic: "orders", to: "1" }));
      check(plan.touches.some((line) => line.startsWith("orders-0: none → 1")), JSON.stringify(plan.touches));
      await polis.json(`/api/plan/v1/${plan.id}`, { method: "POST" });
      const group = await polis.json(`${base}/groups/shop`);
      same(types.GroupView, group, "group");
      const position = group.positions.find((one) => one.partition === 0);
      same(types.GroupPosition, position, "group.positions");
      check(position.committed === "1" && position.lag === "2", JSON.stringify(position));
      same(types.TransactionList, await polis.json(`${base}/txns`), "txns");
      same(types.PathSample, await polis.json(`${base}/path`), "path");
    },

    async the_live_topics_have_the_fields_that_the_console_names({ polis }) {
      const live = await sampleOf(polis, "stream.live");
      same(types.LiveSample, live, "stream.live");
      same(types.LiveTopic, live.topics.orders, "stream.live topics");
      same(types.Latency, live.latency.fsync, "stream.live latency");
      check(live.topics.orders.partitions["0"].length === 7, "seven numbers a partition");
      check(live.latency.fsync.buckets.length === live.latency_bounds_s.length + 1, "one bucket more than bounds");
      const groups = await sampleOf(polis, "stream.groups");
      same(types.GroupsSample, groups, "stream.groups");
      same(types.LiveGroup, groups.groups.shop, "stream.groups groups");
      check(groups.groups.shop.committed.orders["0"] === "1", "a committed offset");
      same(types.PathSample, await sampleOf(polis, "stream.path"), "stream.path");
    },

    async both_read_paths_are_measured({ polis }) {
      await polis.json(`${base}/topics/orders`, send({ config: { "read.path": null } }, "PATCH"));
      same(types.PathSample, await polis.json(`${base}/path`, send({ topic: "orders", bytes: 1 << 20 })), "path POST");
      const lab = await waitFor("it has been measured", 20_000, async () => {
        const now = await polis.json(`${base}/path`);
        return !now.running && now;
      });
      check(lab.error === "" && lab.measured, `it ended well: ${lab.error}`);
      for (const arrow of ["read", "write", "sendfile"]) {
        same(types.Arrow, lab[arrow], arrow);
        check(lab[arrow].bytes >= 1 << 20 && lab[arrow].cpu_ns > 0, `${arrow}: ${JSON.stringify(lab[arrow])}`);
      }
    },

    async a_queue_gives_each_message_to_one_worker({ polis }) {
      const ask = (how, body) => polis.json(`${base}/queues/mailers/${how}`, send({ topic: "orders", ...body }));
      const got = (await ask("receive", { most: 2, wait_ms: 5000, redeliver_after_ms: 300 })).messages;
      check(got.length === 2 && got[0].tries === 1 && got[0].key.text === "alice", JSON.stringify(got));
      check((await ask("acknowledge", { messages: [got[0].id] })).acknowledged === 1, "one is done");
      check((await ask("give-back", { messages: [got[1].id] })).given_back === 1, "one goes back");
      const again = (await ask("receive", { most: 10, wait_ms: 5000 })).messages;
      const second = again.find((one) => one.id === got[1].id);
      check(second?.tries === 2 && !again.some((one) => one.id === got[0].id), JSON.stringify(again));
      const gone = await polis.ask(`${base}/queues/mailers/acknowledge`, send({ topic: "orders", messages: [got[0].id] }));
      check(gone.status === 404, `acknowledged twice: ${gone.status}`);
      const { queues } = await polis.json(`${base}/queues`);
      check(queues.length === 1 && queues[0].queue === "mailers" && queues[0].acknowledged === 1, JSON.stringify(queues));
      for (const messages of [[], ["x"], ["0@"], ["-1@0"], "0@1"])
        check((await polis.ask(`${base}/queues/mailers/acknowledge`, send({ topic: "orders", messages }))).status === 400, `refused: ${JSON.stringify(messages)}`);
    },

    async bad_questions_are_refused_in_words({ polis }) {
      const refused = async (path, status, words, init) => {
        const answer = await polis.ask(`${base}/${path}`, init);
        const text = await answer.text();
        check(answer.status === status && text.includes(words), `${path}: ${answer.status} ${text}`);
      };
      await refused("topics/nothere", 404, "no topic");
      await refused("messages?topic=nothere", 404, "no topic");
      await refused("messages?topic=orders&partition=9", 400, "0 to 2");
      await refused("messages?topic=orders&offset=5", 400, "partition");
      await refused("messages?topic=orders&partition=0&offset=-5", 400, "offset");
      await refused("messages?topic=orders&partition=0&limit=501", 400, "1 to 500");
      await refused("topics", 400, "missing", send({}));
      await refused("topics", 400, "INVALID_TOPIC", send({ name: "no/such" }));
      await refused("topics", 400, "no field", send({ name: "x", partition: 3 }));
      await refused("topics", 409, "already exists", send({ name: "orders" })).catch(() => refused("topics", 400, "already exists", send({ name: "orders" })));
      await refused("topics/orders", 400, "nonsense", send({ config: { nonsense: "1" } }, "PATCH"));
      await refused("groups/shop/reset", 400, "earliest", send({ topic: "orders", to: "soon" }));
      await refused("txns/nobody/abort", 404, "nobody", { method: "POST" });
      await refused("acls", 400, "operation", send({ resource: "topic", name: "orders", principal: "User:bob", operation: "Fly" }));
      await refused("topics/orders/delete-records", 400, "before", send({ partition: 0 }));
    },

    async the_api_is_for_those_who_signed_in({ polis }) {
      for (const path of ["topics", "topics/orders", "groups", "groups/shop", "txns", "cluster", "messages?topic=orders", "duplicates?topic=orders", "acls", "users", "quotas", "path"])
        check((await fetch(`${polis.url}${base}/${path}`)).status === 401, `nobody reads ${path}`);
      for (const path of ["topics", "messages", "acls", "path"])
        check((await fetch(`${polis.url}${base}/${path}`, send({}))).status === 401, `nobody posts to ${path}`);
    },

    async a_user_sees_and_does_what_the_rules_allow_him({ polis }) {
      const user = await polis.ask("/api/auth/v1/users", send({ name: "bob", password: "a long password" }));
      check(user.ok, `a user: ${user.status} ${await user.text()}`);
      const session = await fetch(`${polis.url}/api/auth/v1/session`, send({ user: "bob", password: "a long password" }));
      const { token } = await session.json();
      const asBob = (path, init = {}) => fetch(`${polis.url}${base}/${path}`, { ...init, headers: { authorization: `Bearer ${token}` } });
      check((await (await asBob("topics")).json()).topics.length === 0, "at first he sees no topic");
      check((await asBob("messages?topic=orders")).status === 404, "what he may not see is not there");
      await polis.json(`${base}/acls`, send({ resource: "topic", name: "orders", principal: "User:bob", operation: "Read" }));
      check((await (await asBob("topics")).json()).topics.length === 1, "then he sees it");
      check((await asBob("messages?topic=orders")).status === 200, "and reads it");
      check((await asBob("messages", send({ topic: "orders", value: "x" }))).status === 403, "but does not write");
      check((await asBob("topics/orders", { method: "DELETE" })).status === 403, "nor delete");
      check((await asBob("acls")).status === 403, "nor see the rules");
      const plan = await polis.json(`${base}/acls/remove`, send({ principal: "User:bob" }));
      check(plan.touched_count === 1, JSON.stringify(plan));
      await polis.json(`/api/plan/v1/${plan.id}`, { method: "POST" });
      check((await asBob("messages?topic=orders")).status === 404, "and without the rule no more");
    },

    async what_is_deleted_was_listed_before({ polis }) {
      const plan = await polis.json(`${base}/topics/orders`, { method: "DELETE" });
      check(plan.title.includes("3 records") && plan.touched_count === 3, JSON.stringify(plan));
      check((await polis.json(`${base}/topics`)).topics.length === 1, "a plan alone does nothing");
      await polis.json(`/api/plan/v1/${plan.id}`, { method: "POST" });
      check((await polis.json(`${base}/topics`)).topics.length === 0, "the topic is gone");
    },
  },
  ["stream"],
);
