// The console as a person uses it.
import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, checkPage, inTheDark, lookAt, open, run, screenshot, waitFor } from "./lib.mjs";

const MIB = 1024 * 1024;
const bucket = "pictures";
const content = randomBytes(12 * MIB + 12_345);

// A file on the disk, through the page's own chooser.
async function choose(state, name, bytes) {
  const path = join(state.polis.directory, name);
  if (bytes) writeFileSync(path, bytes);
  await state.page.locator('input[type="file"]').setInputFiles(path);
}

const uploadLine = (page, key, state) => page.locator(`[data-testid="upload"][data-state="${state}"]`, { hasText: key });
const summary = (page, kind) => page.locator(`[data-testid="stripe-summary"][data-kind="${kind}"]`);

async function everyPage(state, suffix, width) {
  const { page } = state;
  const places = {
    home: ["/", "text=How to connect"],
    object: ["/object", '[data-testid="stripe-grid"]'],
    buckets: ["/object/buckets", `text=${bucket}`],
    bucket: [`/object/buckets?bucket=${bucket}`, "text=large.bin"],
    requests: ["/object/requests", '[data-testid="waterfall"]'],
    durability: ["/object/durability", '[data-testid="nines"]'],
    access: ["/access", "text=What has been done"],
  };
  // Charts draw after their first samples.
  const settle = async (name) =>
    name === "home" && (await waitFor("the CPU is shown", 10_000, async () => /%/.test(await page.getByLabel("CPU", { exact: true }).innerText())));
  await lookAt(state, places, { suffix, width, settle });
}

run({
  async a_wrong_password_is_refused_in_words(state) {
    await state.browser.start();
    Object.assign(state, await state.browser.page(state.polis.url));
    const { page, polis } = state;
    await open(state, "/");
    await page.getByLabel("User").fill(polis.credentials.user);
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    const alert = page.getByRole("alert");
    await alert.waitFor();
    check((await alert.innerText()).length > 10, "the refusal says why");
    check((await page.getByLabel("Password").inputValue()) === "", "the password is not kept");
    await checkPage(page, "sign-in");
    await screenshot(page, "sign-in");
  },

  async the_home_page_shows_the_object_store_healthy(state) {
    const { page, polis } = state;
    await page.getByLabel("Password").fill(polis.credentials.password);
    await page.keyboard.press("Enter");
    await page.locator('[data-system="object"] [data-health="healthy"]').waitFor();
    check((await page.locator('[data-system="object"]').innerText()).includes(String(polis.ready.ports["object.s3"])), "the S3 port is shown");
    const card = page.getByLabel("The process");
    await waitFor("memory is shown", 10_000, async () => /MiB/.test(await card.innerText()));
  },

  async the_first_load_is_light(state) {
    const { page } = state;
    let bytes = 0;
    const measure = await state.browser.context.newCDPSession(page);
    await measure.send("Network.enable");
    await measure.send("Network.setCacheDisabled", { cacheDisabled: true });
    measure.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength));
    const begun = Date.now();
    await open(state, "/");
    await page.locator('[data-system="object"]').waitFor();
    state.loadMs = Date.now() - begun;
    check(bytes > 0 && bytes < 200_000, `the first load took ${bytes} bytes`);
    console.log(`   ${bytes} bytes, ${state.loadMs} ms`);
    await measure.detach();
  },

  async an_empty_store_says_what_to_do_next(state) {
    const { page } = state;
    await open(state, "/object/buckets");
    await page.getByText("No bucket yet").waitFor();
    check((await page.locator(".empty pre").innerText()).includes(`:${state.polis.ready.ports["object.s3"]} s3 mb`), "with a command to copy");
    await checkPage(page, "no bucket");
  },

  async a_bucket_is_made_and_a_bad_name_refused(state) {
    const { page } = state;
    await page.getByRole("button", { name: "Make a bucket" }).first().click();
    await page.getByLabel("Name").fill("192.168.1.1");
    await page.getByRole("button", { name: "Make bucket" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Name").fill(bucket);
    await page.getByRole("button", { name: "Make bucket" }).click();
    await page.getByText("Nothing here yet").waitFor();
  },

  async a_large_file_goes_up_in_parts_and_is_listed(state) {
    const { page, polis } = state;
    await choose(state, "large.bin", content);
    await uploadLine(page, "large.bin", "done").waitFor();
    check((await page.locator('[data-part="stored"]').count()) === 3, "three parts have three bars");
    await page.getByRole("link", { name: "large.bin", exact: true }).waitFor();
    await polis.signIn();
    const answer = await polis.ask(`/api/object/v1/s3/${bucket}/large.bin`);
    const got = createHash("sha256").update(Buffer.from(await answer.arrayBuffer())).digest("hex");
    check(got === createHash("sha256").update(content).digest("hex"), "what comes back is what was sent");
    check(/-3"$/.test(answer.headers.get("etag")), `it has three parts: ${answer.headers.get("etag")}`);
  },

  async an_upload_is_paused_and_resumed(state) {
    const { page } = state;
    let held = [];
    let holding = true;
    const hold = async (route) => {
      if (holding && !route.request().url().includes("partNumber=1&")) await new Promise((resolve) => held.push(resolve));
      await route.continue().catch(() => {});
    };
    await page.route(/partNumber=/, hold);
    await choose(state, "paused.bin", randomBytes(16 * MIB));
    await waitFor("the first part is stored", 10_000, async () => (await uploadLine(page, "paused.bin", "sending").locator('[data-part="stored"]').count()) === 1);
    await page.getByRole("button", { name: "Pause paused.bin" }).click();
    await uploadLine(page, "paused.bin", "paused").waitFor();
    await screenshot(page, "upload-paused");
    holding = false;
    held.forEach((go) => go());
    await page.unroute(/partNumber=/, hold);
    await page.getByRole("button", { name: "Resume paused.bin" }).click();
    await uploadLine(page, "paused.bin", "done").waitFor();
    await page.getByRole("link", { name: "paused.bin", exact: true }).waitFor();
  },

  async an_upload_cut_short_by_a_reload_goes_on(state) {
    const { page } = state;
    const hold = async (route) => {
      if (route.request().url().includes("partNumber=1&")) await route.continue().catch(() => {});
    };
    await page.route(/partNumber=/, hold);
    await choose(state, "cut.bin", randomBytes(11 * MIB));
    await waitFor("the first part is stored", 10_000, async () => (await uploadLine(page, "cut.bin", "sending").locator('[data-part="stored"]').count()) === 1);
    page.once("dialog", (dialog) => dialog.accept());
    await page.reload();
    await page.unroute(/partNumber=/, hold);
    let first = 0;
    page.on("request", (request) => (first += request.url().includes("partNumber=1&") ? 1 : 0));
    await choose(state, "cut.bin");
    await uploadLine(page, "cut.bin", "done").waitFor();
    check(first === 0, "the stored part is not sent again");
    check((await uploadLine(page, "cut.bin", "done").innerText()).includes("resumed"), "the page says that it was resumed");
  },

  async folders_are_walked_and_an_object_is_removed_by_plan(state) {
    const { page, polis } = state;
    for (const key of ["2024/may/a b+c.txt", "2024/june.txt", "gone & forgotten.txt"])
      await polis.ask(`/api/object/v1/s3/${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`, { method: "PUT", body: "hello" });
    await open(state, `/object/buckets?bucket=${bucket}`);
    await page.getByRole("link", { name: "2024/" }).click();
    await page.getByRole("link", { name: "may/" }).click();
    await page.getByRole("link", { name: "a b+c.txt", exact: true }).waitFor();
    await page.getByRole("navigation", { name: "Where in the bucket" }).getByRole("link", { name: bucket }).click();
    await page.getByRole("button", { name: "Remove gone & forgotten.txt" }).click();
    await page.getByRole("dialog").getByText("gone & forgotten.txt, 5 bytes").waitFor();
    await checkPage(page, "plan");
    await screenshot(page, "plan", false);
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByRole("link", { name: "gone & forgotten.txt", exact: true }).waitFor({ state: "detached" });
    const answer = await polis.ask(`/api/object/v1/s3/${bucket}/gone%20%26%20forgotten.txt`);
    check(answer.status === 404, `it is gone: ${answer.status}`);
  },

  async the_search_finds_a_bucket_and_a_key_by_keyboard(state) {
    const { page } = state;
    await page.locator("#content").focus();
    await page.keyboard.press("/");
    await page.getByRole("combobox", { name: "Search" }).fill(`${bucket}/2024/j`);
    await page.getByRole("option", { name: "june.txt" }).waitFor();
    await screenshot(page, "search", false);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "2024/june.txt" }).waitFor();
  },

  async the_grid_is_live_and_whole(state) {
    const { page } = state;
    await open(state, "/object");
    await summary(page, "good").waitFor();
    check((await page.locator(".stripes .cell.ok").count()) > 6, "slices are shown on six drives");
  },

  async a_lost_drive_shows_degraded_and_repair_heals(state) {
    const { page, polis } = state;
    await page.getByRole("button", { name: "Lose a drive" }).click();
    await page.getByRole("dialog").getByText("out of service").waitFor();
    await page.getByRole("button", { name: "Lose drive 5" }).last().click();
    await summary(page, "warn").waitFor();
    await page.locator(".stripes .cell.missing").first().waitFor();
    await page.locator('h1 ~ [data-health="degraded"]').waitFor();
    await checkPage(page, "degraded");
    // Everything is still there, and more comes in meanwhile.
    const answer = await polis.ask(`/api/object/v1/s3/${bucket}/large.bin`);
    check((await answer.arrayBuffer()).byteLength === content.length, "a degraded read answers all bytes");
    const put = await polis.ask(`/api/object/v1/s3/${bucket}/while-degraded.bin`, { method: "PUT", body: randomBytes(9 * MIB) });
    check(put.status === 200, `a write goes on with five drives: ${put.status}`);
    await screenshot(page, "degraded");
    await page.getByRole("button", { name: "Return and repair" }).click();
    await page.getByTestId("repair-report").waitFor();
    await summary(page, "good").waitFor();
    check((await page.locator(".stripes .cell:not(.ok)").count()) === 0, "every cell is sound again");
    check(/[1-9].* rebuilt/.test(await page.getByTestId("repair-report").innerText()), "units were rebuilt");
    await page.locator('h1 ~ [data-health="healthy"]').waitFor();
  },

  async every_page_holds_at_1280_pixels(state) {
    await everyPage(state, "1280", 1280);
  },
  async every_page_holds_at_400_pixels(state) {
    await everyPage(state, "400", 400);
    const { page } = state;
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("link", { name: "Object store" }).waitFor();
    await screenshot(page, "menu-400", false);
    await page.keyboard.press("Escape");
  },
  async every_page_holds_in_the_dark(state) {
    await inTheDark(state, () => everyPage(state, "dark", 1280));
  },

  async a_stopped_server_is_said_and_since_when(state) {
    const { page, polis } = state;
    await open(state, "/object");
    await summary(page, "good").waitFor();
    await polis.stop();
    const banner = page.getByTestId("live-banner");
    await banner.waitFor();
    check(/No live data since \d\d:\d\d:\d\d/.test(await banner.innerText()), `the banner says since when: ${await banner.innerText()}`);
    check((await page.locator(".stripes .cell.ok").count()) > 6, "the last picture stays");
    await screenshot(page, "stopped", false);
  },

  async nothing_else_was_asked_or_broken(state) {
    check(state.complaints.length === 0, state.complaints.slice(0, 8).join("\n"));
  },
});
