// The event log's page in Chromium: from the empty log to growing partitions with the groups that read them, messages of every codec,
// duplicates by key, a transaction that hangs and is aborted, a group that is moved, and both read paths measured.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ROOT, check, checkPage, inTheDark, lookAt, open, run, screenshot, signInThere, waitFor } from "./lib.mjs";

const base = "/api/stream/v1";
const BINARY = process.env.POLIS_BINARY ?? join(ROOT, "build/release/polis");
const NODE_CLIENTS = join(ROOT, "build/node-clients/node_modules");
const KEYS = ["alice", "bob", "carol", "dave", "erin"];

function command(polis, words, input) {
  return execFileSync(BINARY, ["stream", ...words, "--data", polis.data], { input, encoding: "utf8", timeout: 30_000, stdio: ["pipe", "pipe", "pipe"] });
}

const orders = (count, from = 0) =>
  Array.from({ length: count }, (_, at) => `${KEYS[at % KEYS.length]}-${Math.floor(at / KEYS.length) % 40}:{"order":${from + at},"item":"watch","price":"${100 + (at % 900)}.00 USD"}`).join("\n");

const watermark = async (page, partition) => Number(await page.locator(`[data-testid="partition"][data-partition="${partition}"]`).first().getAttribute("data-watermark"));

async function everyPage(state, suffix, width) {
  const places = {
    home: ["/", "text=How to connect"],
    overview: ["/stream", '[data-testid="partition"]'],
    topics: ["/stream/topics", "table"],
    topic: ["/stream/topics?topic=orders", '[data-testid="partition"]'],
    messages: ["/stream/messages?topic=orders&partition=0", '[data-testid="message"]'],
    groups: ["/stream/groups", "table"],
    group: ["/stream/groups?group=shop", "table"],
    paths: ["/stream/paths", '[data-testid="path-verdict"]'],
  };
  await lookAt(state, places, { prefix: "stream-", suffix, width, settle: (name) => state.page.waitForTimeout(name === "overview" || name === "groups" ? 2500 : 500) });
}

run(
  {
    async the_empty_log_says_what_to_do_first(state) {
      await signInThere(state);
      const { page, polis } = state;
      await page.locator('[data-system="stream"] [data-health="healthy"]').waitFor();
      await open(state, "/stream");
      await page.getByText("There is no topic yet").waitFor();
      await page.getByRole("button", { name: "kafkajs" }).click();
      const snippet = await page.getByLabel("first steps with kafkajs", { exact: true }).innerText();
      check(snippet.includes(`:${polis.ready.ports["stream.kafka"]}`), "with the port of this polis");
      await checkPage(page, "empty");
      await screenshot(page, "stream-empty");
    },

    async a_topic_is_made_by_the_form_and_a_bad_name_refused_in_words(state) {
      const { page } = state;
      await page.getByRole("button", { name: "Make a topic" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("Name").fill("no/such name");
      await dialog.getByRole("button", { name: "Make topic" }).click();
      check((await dialog.getByRole("alert").innerText()).includes("INVALID_TOPIC"), "a bad name is refused");
      await checkPage(page, "form with an error");
      await screenshot(page, "stream-make-topic", false);
      await dialog.getByLabel("Name").fill("orders");
      await dialog.getByRole("button", { name: "Make topic" }).click();
      await page.getByText("3 partitions").first().waitFor();
    },

    async partitions_grow_while_producers_write(state) {
      const { page, polis } = state;
      await open(state, "/stream");
      await page.locator('[data-testid="topic-bars"][data-topic="orders"]').waitFor();
      const codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
      for (const [at, codec] of codecs.entries())
        command(polis, ["produce", "orders", "--partition", String(at % 3), "--compression", codec, "--key-separator", ":", "--header", "trace=1"], orders(1000, at * 1000));
      await waitFor("the bars have grown", 10_000, async () => (await watermark(page, "orders-0")) === 2000 && (await watermark(page, "orders-2")) === 1000);
      for (let i = 0; i < 4; ++i) command(polis, ["produce", "orders", "--acks", i % 2 ? "1" : "0", "--key-separator", ":"], orders(500));
      await page.locator('[data-testid="latency"][data-level="fsync"]').waitFor();
      // A few seconds of it, so that the curves have something to draw.
      for (let i = 0; i < 8; ++i) {
        command(polis, ["produce", "orders", "--partition", String(i % 3), "--key-separator", ":"], orders(200));
        command(polis, ["consume", "orders", "--group", "shop"]);
        await page.waitForTimeout(500);
      }
      await checkPage(page, "growing");
      await screenshot(page, "stream-growing");
    },

    async groups_stand_below_the_bars_where_they_have_come_to(state) {
      const { page, polis } = state;
      command(polis, ["consume", "orders", "--group", "shop"]);
      command(polis, ["consume", "orders", "--group", "audit", "--count", "700"]);
      await page.locator('.part-reader[data-group="shop"]').first().waitFor();
      await page.locator('.part-reader[data-group="audit"]').first().waitFor();
      command(polis, ["produce", "orders", "--key-separator", ":"], orders(900));
      await open(state, "/stream/groups");
      await page.getByRole("row", { name: /audit/ }).waitFor();
      await screenshot(page, "stream-groups-moving");
    },

    async messages_of_every_codec_are_opened(state) {
      const { page } = state;
      for (const [partition, codec] of [["0", "lz4"], ["1", "zstd"], ["2", "snappy"]]) {
        await open(state, `/stream/messages?topic=orders&partition=${partition}&offset=${partition === "2" ? 10 : 1010}`);
        const row = page.locator('[data-testid="message"]').first();
        await row.waitFor();
        check((await row.innerText()).includes('"item":"watch"'), `${codec} is opened: ${await row.innerText()}`);
        check((await row.innerText()).includes(codec), `and named: ${await row.innerText()}`);
      }
      await page.locator('[data-testid="message"][data-offset="12"] button').click();
      await page.getByText("Headers").waitFor();
      await page.getByText("trace: 1").waitFor();
      await checkPage(page, "message");
      await screenshot(page, "stream-message");
      await page.getByRole("link", { name: "Newer" }).click();
      await page.locator('[data-testid="message"][data-offset="60"]').waitFor();
      await page.getByLabel("Offset or time").fill("900");
      await page.getByRole("button", { name: "Go" }).click();
      await page.locator('[data-testid="message"][data-offset="900"]').waitFor();
    },

    async keys_that_stand_twice_are_found(state) {
      const { page } = state;
      await page.getByRole("button", { name: /Look at the last/ }).click();
      const found = page.getByTestId("duplicates");
      await found.waitFor();
      check(/200 distinct keys/.test((await found.innerText()).replace(/[\u2009\s]+/g, " ")), await found.innerText());
      await screenshot(page, "stream-duplicates");
    },

    async a_message_is_written_by_hand(state) {
      const { page } = state;
      await open(state, "/stream/messages?topic=orders&partition=2");
      await page.getByRole("button", { name: "Write one" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("Key").fill("by-hand");
      await dialog.getByLabel("Value").fill("<b>not markup</b> ✓");
      await dialog.getByRole("button", { name: "Append it" }).click();
      await page.getByText("<b>not markup</b> ✓").waitFor();
    },

    async a_transaction_that_hangs_is_seen_and_aborted(state) {
      if (!existsSync(join(NODE_CLIENTS, "kafkajs"))) return;
      const { page, polis } = state;
      const { Kafka, logLevel } = createRequire(join(NODE_CLIENTS, "x"))("kafkajs");
      const kafka = new Kafka({ brokers: [`127.0.0.1:${polis.ready.ports["stream.kafka"]}`], logLevel: logLevel.NOTHING });
      const producer = kafka.producer({ transactionalId: "teller", maxInFlightRequests: 1, idempotent: true });
      await producer.connect();
      const transaction = await producer.transaction();
      const messages = Array.from({ length: 400 }, (_, at) => ({ key: "t", value: `not yet ${at}` }));
      await transaction.send({ topic: "orders", messages: messages.map((one) => ({ ...one, partition: 1 })) });
      await open(state, "/stream");
      await page.getByRole("row", { name: /teller/ }).waitFor();
      await waitFor("it is hatched", 5000, async () => (await page.locator('[data-partition="orders-1"] .part-open').first().evaluate((one) => one.getBoundingClientRect().width)) > 2);
      await page.waitForTimeout(1200);
      await checkPage(page, "open transaction");
      await screenshot(page, "stream-open-transaction");
      await page.getByRole("button", { name: "Abort …" }).click();
      await page.getByRole("dialog").getByText("orders-1").waitFor();
      await screenshot(page, "stream-abort", false);
      await page.getByRole("button", { name: "Abort it" }).click();
      await page.getByRole("row", { name: /teller/ }).waitFor({ state: "detached" });
      await open(state, "/stream/messages?topic=orders&partition=1");
      await page.locator('[data-testid="message"][data-state="marker"]').waitFor();
      await page.locator('[data-testid="message"][data-state="aborted"]').first().waitFor();
      await screenshot(page, "stream-aborted");
      await producer.disconnect().catch(() => {});
    },

    async a_group_is_moved_by_its_plan(state) {
      const { page } = state;
      await open(state, "/stream/groups?group=audit");
      await page.getByRole("button", { name: "Move it …" }).click();
      await page.getByRole("dialog").getByRole("textbox").fill("soon");
      await page.getByRole("button", { name: "Show the plan" }).click();
      check((await page.getByRole("dialog").getByRole("alert").innerText()).includes("earliest"), "a place that is none is refused");
      await page.getByRole("button", { name: "Close" }).click();
      await page.getByRole("button", { name: "Move it …" }).click();
      await page.getByRole("dialog").getByRole("textbox").fill("5");
      await page.getByRole("button", { name: "Show the plan" }).click();
      await page.getByRole("dialog").getByText(/orders-0: .* → 5/).waitFor();
      await screenshot(page, "stream-move-group", false);
      await page.getByRole("button", { name: "Move it", exact: true }).click();
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await waitFor("it stands there", 5000, async () => /orders-0\s+5\s/.test((await page.locator("table").first().innerText()).replace(/[\u2009]/g, "")));
    },

    async both_read_paths_are_measured_on_this_machine(state) {
      const { page } = state;
      await open(state, "/stream/paths");
      await page.getByRole("button", { name: "Measure on this machine" }).click();
      const verdict = page.getByTestId("path-verdict");
      await verdict.waitFor();
      check(/less|more/.test(await verdict.innerText()), await verdict.innerText());
      await page.getByText("1. read ahead").first().waitFor();
      check((await page.getByText("of CPU", { exact: false }).count()) >= 4, "each arrow has its number");
    },

    async every_page_is_sound_at_both_widths_and_in_the_dark(state) {
      await everyPage(state, "wide", 1280);
      await everyPage(state, "narrow", 400);
      await inTheDark(state, () => everyPage(state, "dark", 1280));
    },

    async the_search_finds_topics(state) {
      const { page } = state;
      await open(state, "/stream");
      await page.locator('[data-testid="partition"]').first().waitFor();
      await page.keyboard.press("/");
      await page.getByRole("combobox", { name: "Search" }).fill("order");
      await page.getByRole("option", { name: /orders/ }).first().click();
      await page.getByText("Topics").first().waitFor();
      check(page.url().includes("topic=orders"), page.url());
    },

    async a_topic_is_deleted_by_its_plan(state) {
      const { page, polis } = state;
      await open(state, "/stream/topics?topic=orders");
      await page.getByRole("button", { name: "Delete the topic …" }).click();
      await page.getByRole("dialog").getByText("orders-0:").waitFor();
      await page.getByRole("button", { name: "Delete it" }).click();
      await page.getByText("There is no topic yet").waitFor();
      check((await polis.json(`${base}/topics`)).topics.length === 0, "it is gone");
      check(state.complaints.length === 0, state.complaints.join("\n"));
    },
  },
  ["stream"],
);
