// The ledger's page in Chromium: from the empty books to accounts, transfers of one and two phases, past balances, flows, the chain
// recomputed in the browser, and the contention lab.
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, check, checkPage, inTheDark, lookAt, open, run, screenshot, signInThere, waitFor } from "./lib.mjs";

const base = "/api/ledger/v1/console";
const send = (body) => ({ method: "POST", body: JSON.stringify(body) });

const row = (page, id) => page.locator(`[data-testid="account"][data-id="${id}"]`);
const plain = (text) => text.replace(/[\u2009\s]+/g, " ").trim();
const balance = async (page, id) => plain(await row(page, id).getByTestId("balance").innerText());

async function everyPage(state, suffix, width) {
  const places = {
    home: ["/", "text=How to connect"],
    overview: ["/ledger", '[data-testid="trial"]'],
    accounts: ["/ledger/accounts", '[data-testid="account"]'],
    account: ["/ledger/accounts?id=12", '[data-testid="t-line"]'],
    past: ["/ledger/accounts?op=6", '[data-testid="account"]'],
    flows: ["/ledger/flows?ledger=840", ".flow-band"],
    chain: ["/ledger/chain", '[data-testid="signature-good"], .head-text'],
    proof: [`/ledger/chain?transfer=${state.proved}`, '[data-testid="proof-good"]'],
    contention: ["/ledger/contention", '[data-testid="lab-verdict"]'],
  };
  await lookAt(state, places, { prefix: "ledger-", suffix, width, settle: () => state.page.waitForTimeout(400) });
}

run(
  {
    async empty_books_say_what_to_do_first(state) {
      await signInThere(state);
      const { page, polis } = state;
      await page.locator('[data-system="ledger"] [data-health="healthy"]').waitFor();
      await open(state, "/ledger");
      await page.getByText("The books are empty").waitFor();
      const curl = await page.getByLabel("first steps with curl", { exact: true }).innerText();
      check(curl.includes("ask transactions"), "curl is shown");
      await checkPage(page, "empty");
      await screenshot(page, "ledger-empty");
      await page.getByRole("button", { name: "tigerbeetle-node" }).click();
      const node = await page.getByLabel("first steps with tigerbeetle-node", { exact: true }).innerText();
      check(node.includes(`:${polis.ready.ports["ledger.tigerbeetle"]}`), "with the port of this polis");
      await screenshot(page, "ledger-empty-node");
      // What the page says to do works.
      writeFileSync(join(polis.directory, "first.sh"), curl);
      const said = execFileSync("sh", ["-e", join(polis.directory, "first.sh")], { encoding: "utf8", timeout: 30_000 });
      check(!/problem|error/i.test(said), `the commands work: ${said}`);
      const client = join(ROOT, "build/node-clients/node_modules");
      if (existsSync(join(client, "tigerbeetle-node"))) {
        writeFileSync(join(polis.directory, "first.cjs"), node);
        const answers = execFileSync("node", ["first.cjs"], { cwd: polis.directory, env: { ...process.env, NODE_PATH: client }, encoding: "utf8", timeout: 30_000 });
        check(/created|4294967295|\[\]/.test(answers), `the snippet works: ${answers}`);
        await polis.json(`${base}/accounts/2`);
      }
      await page.locator('[data-testid="trial"][data-balanced="true"]').first().waitFor();
      await waitFor("the trial balance reads zero", 5_000, async () => (await page.getByTestId("trial").first().innerText()).includes("0.00"));
    },

    async accounts_are_made_by_the_form(state) {
      const { page } = state;
      await open(state, "/ledger/accounts");
      for (const id of ["11", "12"]) {
        await page.getByRole("button", { name: "Make an account" }).click();
        const dialog = page.getByRole("dialog");
        await dialog.getByLabel("Ledger").fill("840");
        await dialog.getByLabel("Id", { exact: false }).last().fill(id);
        if (id === "12") {
          await screenshot(page, "ledger-make-account", false);
          await dialog.getByLabel("Code").fill("0");
          await dialog.getByRole("button", { name: "Make account" }).click();
          check((await dialog.getByRole("alert").innerText()).includes("1 to 65535"), "a code of zero is refused in words");
          await dialog.getByLabel("Code").fill("1");
        }
        await dialog.getByRole("button", { name: "Make account" }).click();
        await page.getByText("No transfer has touched this account").waitFor();
        await page.getByRole("link", { name: "Accounts", exact: true }).first().click();
        await row(page, id).waitFor();
      }
    },

    async a_transfer_is_posted_and_a_bad_one_refused_in_words(state) {
      const { page } = state;
      await page.getByRole("button", { name: "Post a transfer" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("Debit").fill("11");
      await dialog.getByText("ledger 840", { exact: false }).first().waitFor();
      await dialog.getByLabel("Credit").fill("11");
      await dialog.getByLabel("Amount").fill("12.505");
      await dialog.getByRole("button", { name: "Post transfer" }).click();
      check((await dialog.getByRole("alert").innerText()).includes("2 digits"), "too many digits behind the point");
      await dialog.getByLabel("Amount").fill("125.50");
      await dialog.getByRole("button", { name: "Post transfer" }).click();
      await dialog.getByText("two different accounts").waitFor();
      await checkPage(page, "form with an error");
      await screenshot(page, "ledger-refused", false);
      await dialog.getByLabel("Credit").fill("12");
      await dialog.getByRole("button", { name: "Post transfer" }).click();
      await dialog.waitFor({ state: "detached" });
      await waitFor("the balance is drawn", 5_000, async () => (await balance(page, 12)) === "125.50 USD Cr");
      check((await balance(page, 11)) === "125.50 USD Dr", "on the other side of the other account");
    },

    async a_pending_transfer_is_hatched_and_then_posted_in_part(state) {
      const { page, polis } = state;
      await polis.json(`${base}/transfers`, send({ id: "900", debit_account_id: "11", credit_account_id: "12", amount: "4000", ledger: 840, code: 1, flags: 2 }));
      await open(state, "/ledger/accounts?id=12");
      const entry = page.locator('.entry.pending[data-state="pending"]');
      await entry.waitFor();
      await screenshot(page, "ledger-pending");
      await entry.getByRole("button", { name: "Post …" }).click();
      await page.getByRole("dialog").getByLabel("Amount").fill("30");
      await page.getByRole("button", { name: "Post it" }).click();
      await page.locator('.entry.over[data-state="posted"]').waitFor();
      check(plain(await page.getByTestId("t-balance").innerText()) === "155.50 USD Cr", `the balance: ${await page.getByTestId("t-balance").innerText()}`);
      // Before the last op it was still only reserved.
      const { ops } = await polis.json(`${base}/chain?limit=1`);
      await page.locator(`input[type="range"][max="${ops}"]`).waitFor();
      await page.getByRole("slider", { name: "Op" }).fill(String(ops - 1));
      await page.locator('.entry.pending[data-state="pending"]').waitFor();
      check(plain(await page.getByTestId("t-balance").innerText()) === "125.50 USD Cr", "the balance of then");
      await page.getByRole("button", { name: "Now" }).click();
      await page.locator('.entry.over[data-state="posted"]').waitFor();
      const sides = await page.locator('[data-testid="t-line"]').evaluateAll((lines) => lines.map((line) => line.dataset.side));
      check(sides.every((side) => side === "credit"), "all on the credit side");
      await polis.json(`${base}/transfers`, send({ id: "901", debit_account_id: "11", credit_account_id: "12", amount: "100", ledger: 840, code: 1, flags: 2 }));
      await page.getByRole("button", { name: "Void …" }).click();
      await page.getByRole("button", { name: "Void it" }).click();
      await page.locator('.entry.over[data-state="voided"]').waitFor();
    },

    async the_slider_shows_the_balances_of_the_past(state) {
      const { page, polis } = state;
      const ids = Array.from({ length: 12 }, (_, at) => String(100 + at));
      for (const id of ids) await polis.json(`${base}/accounts`, send({ id, ledger: 840, code: 1 + (Number(id) % 5) }));
      let seed = 7;
      const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
      for (let at = 0; at < 60; ++at) {
        const from = random(12);
        const to = (from + 1 + random(11)) % 12;
        await polis.json(`${base}/transfers`, send({ id: String(1000 + at), debit_account_id: ids[from], credit_account_id: ids[to], amount: String(500 + random(90_000)), ledger: 840, code: 1, flags: at % 15 === 14 ? 2 : 0 }));
      }
      const { ops } = await polis.json(`${base}/chain?limit=1`);
      await open(state, "/ledger/accounts?ledger=840");
      await row(page, 100).waitFor();
      const slider = page.getByRole("slider", { name: "Op" });
      const drag = async (op) => {
        await slider.fill(String(op));
        await page.locator(`.accounts:not(.loading)[data-op="${op}"]`).waitFor();
      };
      for (const op of [ops - 30, ops - 5]) {
        await drag(op);
        const then = await polis.json(`${base}/accounts?ledger=840&at_op=${op}`);
        for (const account of then.accounts.slice(0, 6)) {
          const cents = BigInt(account.credits_posted) - BigInt(account.debits_posted);
          const digits = (cents < 0n ? -cents : cents).toString().padStart(3, "0");
          const shown = (await balance(page, account.id)).replace(/ /g, "");
          check(shown.startsWith(`${digits.slice(0, -2)}.${digits.slice(-2)}USD`), `op ${op}, account ${account.id}: ${shown} is not ${cents}`);
        }
      }
      check(/after op/.test(await page.getByTestId("slider-moment").innerText()), "it says which moment it shows");
      await slider.focus();
      await page.keyboard.press("ArrowLeft");
      await page.locator(`.accounts[data-op="${ops - 6}"]`).waitFor();
      await page.getByRole("button", { name: "Now" }).click();
      await page.locator(`.accounts[data-op="${ops}"]`).waitFor();
    },

    async a_named_account_of_a_new_asset_is_made(state) {
      const { page, polis } = state;
      await open(state, "/ledger/accounts");
      await page.getByRole("button", { name: "Make an account" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByRole("textbox", { name: /^Name/ }).fill("treasury");
      await dialog.getByLabel("Ledger").fill("392");
      await dialog.getByRole("textbox", { name: "Asset", exact: true }).fill("JPY");
      await dialog.getByRole("textbox", { name: "Digits behind the point" }).fill("0");
      await screenshot(page, "ledger-make-named", false);
      await dialog.getByRole("button", { name: "Make account" }).click();
      await page.getByRole("heading", { name: "treasury" }).waitFor();
      await page.getByRole("link", { name: "JPY (ledger 392)" }).waitFor();
      const trial = await waitFor("the ledger is summed", 5_000, async () => (await polis.json(`${base}/trial-balance`)).ledgers["392"]);
      check(trial.asset === "JPY" && trial.scale === 0, JSON.stringify(trial));
      await page.getByRole("link", { name: "Accounts", exact: true }).first().click();
      await page.getByRole("button", { name: "Make an account" }).click();
      await dialog.getByRole("textbox", { name: /^Name/ }).fill("treasury");
      await dialog.getByLabel("Ledger").fill("840");
      await dialog.getByRole("button", { name: "Make account" }).click();
      await dialog.getByRole("alert").waitFor();
      await dialog.getByRole("button", { name: "Cancel" }).click();
    },

    async accounts_are_found_by_name(state) {
      const { page } = state;
      await page.getByRole("searchbox", { name: /Search accounts/ }).fill("ali");
      await page.getByRole("link", { name: "alice" }).click();
      await page.getByRole("heading", { name: "alice" }).waitFor();
      await page.locator("#content").focus();
      await page.keyboard.press("/");
      await page.getByRole("combobox", { name: "Search" }).fill("shop");
      await page.getByRole("option", { name: /shop/ }).waitFor();
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "shop" }).waitFor();
    },

    async flows_are_drawn_between_accounts(state) {
      const { page, polis } = state;
      await open(state, "/ledger/flows?ledger=840");
      await page.locator(".flow-band").first().waitFor();
      const flows = await polis.json(`${base}/flows?ledger=840&transfers=1000`);
      check((await page.locator(".flow-band").count()) === flows.flows.length, "a band a flow");
      const { ops } = await polis.json(`${base}/chain?limit=1`);
      await page.getByRole("slider", { name: "Op" }).fill(String(ops - 40));
      const then = await polis.json(`${base}/flows?ledger=840&transfers=1000&to_op=${ops - 40}`);
      check(then.flows.length < flows.flows.length, "fewer flows then");
      await waitFor("the picture of then", 5_000, async () => (await page.locator(".flow-band").count()) === then.flows.length);
      await page.getByRole("button", { name: "Now" }).click();
      await page.getByLabel("Ends").selectOption("code");
      await page.locator("tbody td", { hasText: "code 2 liability" }).first().waitFor();
    },

    async the_chain_lights_up_as_the_browser_recomputes_it(state) {
      const { page } = state;
      await open(state, "/ledger/chain");
      await page.getByTestId("links").waitFor();
      await page.getByRole("button", { name: "Verify these links" }).click();
      await page.getByTestId("links-good").waitFor();
      check((await page.locator('[data-verdict="good"]').count()) === 24, "every link is lit");
      await page.getByRole("button", { name: "Walk the chain here" }).click();
      await page.getByTestId("browser-verified").waitFor();
      await page.getByRole("button", { name: "Verify the journal" }).click();
      await page.getByTestId("server-verified").waitFor();
      await screenshot(page, "ledger-verified");
    },

    async a_forged_link_is_found_and_named(state) {
      const { page } = state;
      await page.route(/console\/chain\?/, async (route) => {
        const answer = await route.fetch();
        const chain = await answer.json();
        const link = chain.links[Math.floor(chain.links.length / 2)];
        link.root = link.root.replace(/^../, (two) => (two === "00" ? "01" : "00"));
        await route.fulfill({ json: chain });
      });
      await open(state, "/ledger/chain");
      await page.getByTestId("links").waitFor();
      await page.getByRole("button", { name: "Verify these links" }).click();
      await page.locator('[data-verdict="bad"]').waitFor();
      check((await page.locator('[data-verdict="bad"]').count()) === 1, "exactly that one");
      await page.locator('[data-verdict="good"]').nth(22).waitFor();
      await screenshot(page, "ledger-forged");
      await page.unroute(/console\/chain\?/);
    },

    async openssl_accepts_the_copied_command(state) {
      const { page, polis } = state;
      await open(state, "/ledger/chain");
      const command = await page.getByLabel("openssl command", { exact: true }).innerText();
      writeFileSync(join(polis.directory, "head.sh"), command);
      const said = execFileSync("sh", ["-e", "head.sh"], { cwd: polis.directory, encoding: "utf8", timeout: 20_000 });
      check(/Verified Successfully/.test(said), `openssl: ${said}`);
    },

    async a_transfer_is_proved_in_the_browser(state) {
      const { page, polis } = state;
      // Several in one batch, so that the tree has a height.
      const booked = await polis.json("/ledger/v1/transactions", {
        method: "POST",
        headers: { "idempotency-key": "many-1" },
        body: JSON.stringify({ reference: "many-1", postings: Array.from({ length: 5 }, (_, at) => ({ from: "alice", to: "shop", amount: String(at + 1), asset: "USD" })) }),
      });
      check(booked, "a transaction of five postings");
      await open(state, "/ledger/accounts?q=shop");
      await page.getByRole("link", { name: "shop" }).click();
      await page.getByRole("link", { name: "prove" }).nth(1).click();
      await page.getByTestId("proof-good").waitFor();
      check((await page.locator(".proof-steps li").count()) > 3, "leaf, nodes and head are shown");
      state.proved = new URL(page.url()).searchParams.get("transfer");
      await page.route(/console\/proof\//, async (route) => {
        const proof = await (await route.fetch()).json();
        proof.record = proof.record.replace(/^../, "ff");
        await route.fulfill({ json: proof });
      });
      await page.reload();
      await page.getByText("the path ends in").waitFor();
      check((await page.getByTestId("proof-good").count()) === 0, "a changed record is not proved");
      await page.unroute(/console\/proof\//);
      await page.getByLabel("Id of the transfer").fill("123456789");
      await page.getByRole("button", { name: "Prove" }).click();
      await page.getByRole("alert").waitFor();
    },

    async the_contention_lab_measures_three_ways(state) {
      const { page, polis } = state;
      await open(state, "/ledger/contention");
      await page.getByRole("button", { name: "Measure on this machine" }).click();
      await page.getByTestId("lab-running").waitFor();
      await screenshot(page, "ledger-lab-running");
      page.setDefaultTimeout(60_000);
      await page.getByTestId("lab-verdict").waitFor();
      page.setDefaultTimeout(20_000);
      check((await page.locator(".table tbody tr").count()) === 21, "21 points");
      console.log(`   ${plain(await page.getByTestId("lab-verdict").innerText())}`);
      const trial = await polis.json(`${base}/trial-balance`);
      for (const books of Object.values(trial.ledgers)) {
        check(books.debits_posted === books.credits_posted && books.debits_pending === books.credits_pending, `ledger ${books.ledger} balances`);
      }
    },

    async every_page_holds_at_1280_pixels(state) {
      await everyPage(state, "1280", 1280);
    },
    async every_page_holds_at_400_pixels(state) {
      await everyPage(state, "400", 400);
    },
    async every_page_holds_in_the_dark(state) {
      await inTheDark(state, () => everyPage(state, "dark", 1280));
    },

    async a_stopped_server_is_said_and_the_last_picture_stays(state) {
      const { page, polis } = state;
      await open(state, "/ledger");
      await page.getByTestId("trial").first().waitFor();
      await polis.stop();
      await page.getByTestId("live-banner").waitFor();
      check((await page.getByTestId("trial").count()) > 0, "the trial balance stays");
    },

    async nothing_else_was_asked_or_broken(state) {
      check(state.complaints.length === 0, state.complaints.slice(0, 8).join("\n"));
    },
  },
  ["ledger"],
);
