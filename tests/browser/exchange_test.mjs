// The exchange's page in Chromium: from nothing to a book with its queues, an instrument that is halted and goes on, an account that is
// stopped and trades again, FIX sessions.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { ROOT, check, checkPage, inTheDark, lookAt, open, run, screenshot, signInThere, waitFor } from "./lib.mjs";

const base = "/api/exchange/v1/admin";
const BINARY = process.env.POLIS_BINARY ?? join(ROOT, "build/release/polis");

function command(polis, ...words) {
  return execFileSync(BINARY, ["exchange", ...words, "--data", polis.data], { encoding: "utf8", timeout: 60_000, stdio: ["pipe", "pipe", "pipe"] });
}

// One FIX session that enters limit orders and stays until its orders are in the book.
const ORDERS = [
  ["2", 10010, [200, 400, 1100, 100]],
  ["2", 10011, [900, 700, 400]],
  ["1", 10008, [500, 600, 900]],
  ["1", 10007, [100, 700]],
];
async function enterOrders(polis) {
  const { createHmac } = await import("node:crypto");
  const key = JSON.parse(command(polis, "key", "add", "BRK1", "--json"));
  let number = 0;
  for (const [side, ticks, sizes] of ORDERS)
    for (const size of sizes) {
      const target = "/api/exchange/v1/orders";
      const body = JSON.stringify({ client_id: `o${number++}`, symbol: "ABC", side: side === "1" ? "buy" : "sell", order_type: "limit", quantity: `${size}`, price: (ticks / 100).toFixed(2) });
      const timestamp = `${Date.now()}`;
      const signature = createHmac("sha256", key.secret).update(timestamp + "POST" + target + body).digest("hex");
      const headers = { "X-Exchange-Key": key.key, "X-Exchange-Timestamp": timestamp, "X-Exchange-Signature": signature };
      const answer = await fetch(polis.url + target, { method: "POST", headers, body });
      check(answer.ok, `an order: ${answer.status} ${await answer.text()}`);
    }
}

async function everyPage(state, suffix, width) {
  const places = {
    home: ["/", "text=How to connect"],
    overview: ["/exchange", '[data-testid="level"]'],
    risk: ["/exchange/risk", "table"],
    sessions: ["/exchange/sessions", "table"],
    past: ["/exchange/past", "text=The book as it was"],
  };
  await lookAt(state, places, { prefix: "exchange-", suffix, width, settle: (name) => state.page.waitForTimeout(name === "overview" ? 2000 : 500) });
}

run(
  {
    async the_empty_venue_says_what_to_do_first(state) {
      await signInThere(state);
      const { page } = state;
      await page.locator('[data-system="exchange"] [data-health="healthy"]').waitFor();
      await open(state, "/exchange");
      await page.getByText("Nothing is traded yet").waitFor();
      await checkPage(page, "empty");
      await screenshot(page, "exchange-empty");
    },

    async the_book_shows_each_level_with_its_queue(state) {
      const { page, polis } = state;
      command(polis, "instrument", "set", "ABC");
      command(polis, "account", "add", "A7");
      command(polis, "session", "set", "BRK1", "--account", "A7");
      command(polis, "fund", "A7", "USD", "10000000");
      command(polis, "fund", "A7", "ABC", "100000");
      await enterOrders(polis);
      await open(state, "/exchange");
      const best = page.locator('[data-testid="level"][data-side="ask"][data-price="100.10"]');
      await best.waitFor();
      check((await best.innerText()).includes("1800"), await best.innerText());
      check((await best.locator("i").count()) === 4, "four orders in the queue");
      check((await page.locator('[data-testid="level"]').count()) === ORDERS.length, "one row a level");
      const prices = await page.locator('[data-testid="level"]').evaluateAll((rows) => rows.map((row) => row.dataset.price));
      check(prices.join(" ") === "100.11 100.10 100.08 100.07", prices.join(" "));
      state.full = (await polis.json(`${base}/status`)).sequence;
    },

    async an_instrument_is_halted_and_goes_on(state) {
      const { page, polis } = state;
      await page.getByRole("button", { name: "Halt trading" }).click();
      await page.getByText("halted: orders gather").waitFor();
      check((await polis.json(`${base}/book/ABC`)).phase === "halted", "it is halted");
      await page.getByRole("button", { name: "Lift the halt" }).click();
      await page.getByRole("button", { name: "Halt trading" }).waitFor();
      check((await polis.json(`${base}/book/ABC`)).phase === "continuous", "it goes on");
    },

    async every_page_is_sound_at_both_widths_and_in_the_dark(state) {
      await everyPage(state, "wide", 1280);
      await everyPage(state, "narrow", 400);
      await inTheDark(state, () => everyPage(state, "dark", 1280));
    },

    async the_kill_switch_stops_an_account_at_once(state) {
      const { page, polis } = state;
      await open(state, "/exchange/risk");
      await page.getByLabel("Account", { exact: false }).first().waitFor();
      await page.getByRole("button", { name: "Kill switch …" }).click();
      await page.getByRole("dialog").getByText("cancelled at once").waitFor();
      await screenshot(page, "exchange-kill", false);
      await page.getByRole("button", { name: "Stop it now" }).click();
      await page.getByText("stopped", { exact: true }).waitFor();
      check((await polis.json(`${base}/risk/A7`)).killed, "it is stopped");
      const book = await polis.json(`${base}/book/ABC`);
      check(book.bids.length + book.asks.length === 0, "and has no order any more");
      await page.getByRole("button", { name: "Let it trade again …" }).click();
      await page.getByRole("button", { name: "Let it trade", exact: true }).click();
      await page.getByText("may trade", { exact: true }).waitFor();
    },

    async the_book_before_that_is_shown_again(state) {
      const { page } = state;
      await open(state, "/exchange/past");
      // What the account had in the book is gone at the end, and was there some requests before.
      await page.getByRole("button", { name: "Show it" }).click();
      await page.getByText("Nobody waits here.").waitFor();
      await page.getByLabel("Before sequence").fill(state.full);
      await page.getByRole("button", { name: "Show it" }).click();
      await page.locator('[data-testid="level"]').first().waitFor();
      check((await page.locator('[data-testid="level"]').count()) === ORDERS.length, "every level is there again");
      await checkPage(page, "the past");
      await screenshot(page, "exchange-past");
    },

    async the_search_finds_instruments(state) {
      const { page } = state;
      await open(state, "/exchange/risk");
      await page.getByRole("button", { name: "Kill switch …" }).waitFor();
      await page.keyboard.press("/");
      await page.getByRole("combobox", { name: "Search" }).fill("abc");
      await page.getByRole("option", { name: /ABC/ }).first().click();
      await page.getByText("Book of ABC").waitFor();
      await waitFor("nobody waits there", 5000, async () => (await page.getByText("Nobody waits here.").count()) === 1);
      check(state.complaints.length === 0, state.complaints.join("\n"));
    },
  },
  ["ledger", "exchange"],
);
