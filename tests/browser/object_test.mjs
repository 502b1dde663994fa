// The object store's pages beyond uploads and drives: versions over time, what is set for a bucket, bytes by class, the tail of the
// access log, the durability figure with its assumptions, and the lesson in coding.
import { randomBytes } from "node:crypto";
import { check, checkPage, inTheDark, lookAt, open, run, screenshot, signInThere, waitFor } from "./lib.mjs";

const bucket = "archive";
const at = (query) => `/object/buckets?bucket=${bucket}&${query}`;

// S3 through the gateway; any status.
const s3 = (state, path, method = "GET", body, headers = {}) => state.polis.ask(`/api/object/v1/s3/${path}`, { method, body, headers });
async function held(state, path, method, body, headers) {
  const answer = await s3(state, path, method, body, headers);
  check(answer.ok, `${method} ${path} answered ${answer.status}: ${await answer.text()}`);
  return answer;
}
const card = (state, name) => state.page.getByRole("region", { name, exact: true });
const spans = (state, key) => state.page.getByRole("group", { name: `Versions of ${key}`, exact: true }).locator(".lane-span");

async function everyPage(state, suffix, width) {
  const places = {
    overview: ["/object", '[data-testid="classes"]'],
    versions: [at("view=versions"), '[data-testid="timeline"]'],
    settings: [at("view=settings"), "text=Versioning"],
    key: [at("key=report.txt"), '[data-testid="timeline"]'],
    requests: ["/object/requests", "text=Latest requests"],
    durability: ["/object/durability", '[data-testid="assumptions"]'],
    lesson: ["/object/lesson", '[data-testid="solved"]'],
  };
  await lookAt(state, places, { prefix: "object-", suffix, width, settle: () => state.page.waitForTimeout(500) });
}

run({
  async an_empty_bucket_says_how_versions_come_about(state) {
    await signInThere(state);
    await state.page.locator('[data-system="object"]').waitFor();
    await held(state, bucket, "PUT");
    await open(state, at("view=versions"));
    await state.page.getByText("Nothing here yet").waitFor();
    await state.page.getByRole("link", { name: "Settings" }).first().waitFor();
    await checkPage(state.page, "no versions");
  },

  async versioning_is_turned_on(state) {
    const { page } = state;
    await open(state, at("view=settings"));
    await page.getByRole("button", { name: "Turn versioning on" }).click();
    await page.getByRole("button", { name: "Suspend versioning" }).waitFor();
    check((await (await s3(state, `${bucket}?versioning`)).text()).includes("<Status>Enabled</Status>"), "S3 says so too");
  },

  async versions_are_drawn_over_time_and_a_deletion_shows(state) {
    const { page } = state;
    for (const round of [1, 2, 3]) await held(state, `${bucket}/report.txt`, "PUT", "x".repeat(3000 * round), { "x-amz-meta-round": String(round), "x-amz-tagging": "kind=report" });
    await held(state, `${bucket}/report.txt`, "DELETE");
    await held(state, `${bucket}/report.txt.bak`, "PUT", "a neighbour whose key begins alike");
    await open(state, at("view=versions"));
    await waitFor("three versions and a marker are drawn", 10_000, async () => (await spans(state, "report.txt").count()) === 4);
    check((await page.locator(".lanes .lane-track .lane-span.gone").count()) === 1, "the marker is hatched");
    await page.getByRole("button", { name: "Step by step" }).click();
    const widths = await spans(state, "report.txt").evaluateAll((all) => all.map((one) => Math.round(one.getBoundingClientRect().width)));
    check(Math.min(...widths) > 40, `each step is wide enough to be read: ${widths}`);
    await page.getByRole("link", { name: "report.txt", exact: true }).click();
    await page.getByText("This is a delete marker").waitFor();
    check((await page.locator("table tbody tr").count()) === 4, "the neighbour is not among them");
  },

  async an_older_version_is_looked_at_and_brought_back(state) {
    const { page } = state;
    const row = page.locator("table tbody tr").nth(2);
    await row.getByRole("button").first().click();
    await page.getByRole("heading", { name: "An older version" }).waitFor();
    await card(state, "One version").getByText("tag kind").waitFor();
    const round = card(state, "One version").locator(".named-lines div", { hasText: "x-amz-meta-round" });
    check((await round.innerText()).includes("2"), `its own metadata: ${await round.innerText()}`);
    await row.getByRole("button", { name: "Bring back" }).click();
    await page.getByRole("heading", { name: "The newest version" }).waitFor();
    const answer = await s3(state, `${bucket}/report.txt`);
    check((await answer.text()).length === 6000, "a GET answers it again");
    check(answer.headers.get("x-amz-meta-round") === "2", "with its metadata");
  },

  async a_version_is_removed_for_good_by_plan(state) {
    const { page } = state;
    const before = await page.locator("table tbody tr").count();
    const oldest = page.locator("table tbody tr").last();
    const id = (await oldest.locator("button").first().innerText()).trim();
    await oldest.getByRole("button", { name: `Remove version ${id}` }).click();
    await page.getByRole("dialog").getByText(`report.txt version ${id}, 3000 bytes`).waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Remove for good" }).click();
    await waitFor("the version is gone", 10_000, async () => (await page.locator("table tbody tr").count()) === before - 1);
    check((await s3(state, `${bucket}/report.txt?versionId=${id}`)).status === 404, "it is gone");
  },

  async a_link_is_made_that_needs_no_key(state) {
    const { page } = state;
    await page.getByRole("button", { name: "Link …" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Make the link" }).click();
    const url = await page.getByLabel("link", { exact: true }).innerText();
    check((await (await fetch(url)).text()).length === 6000, "who has the link reads it");
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  },

  async an_object_and_a_folder_are_renamed(state) {
    const { page } = state;
    await held(state, `${bucket}/draft/one.txt`, "PUT", "one");
    await held(state, `${bucket}/draft/two & three.txt`, "PUT", "two");
    await open(state, `/object/buckets?bucket=${bucket}`);
    await page.getByRole("button", { name: "Rename draft/" }).click();
    await page.getByRole("dialog").getByRole("textbox").fill("final");
    await page.getByRole("dialog").getByRole("button", { name: "Rename", exact: true }).click();
    await page.getByRole("link", { name: "final/" }).click();
    await page.getByRole("link", { name: "two & three.txt", exact: true }).click();
    await page.getByRole("button", { name: "Rename …" }).click();
    await page.getByRole("dialog").getByRole("textbox").fill("final/renamed.txt");
    await page.getByRole("dialog").getByRole("button", { name: "Rename", exact: true }).click();
    await page.getByRole("heading", { name: "final/renamed.txt" }).waitFor();
    check((await (await s3(state, `${bucket}/final/renamed.txt`)).text()) === "two", "with its bytes");
    check((await s3(state, `${bucket}/draft/one.txt`)).status === 404, "the old name is gone");
  },

  async new_objects_are_encrypted_when_the_bucket_says_so(state) {
    const { page } = state;
    await open(state, at("view=settings"));
    const encryption = card(state, "Encryption");
    await encryption.getByLabel("New objects").selectOption("AES256");
    await encryption.getByRole("button", { name: "Save" }).click();
    await encryption.getByText("✓ SSE-S3").waitFor();
    const put = await held(state, `${bucket}/secret.bin`, "PUT", randomBytes(100_000));
    check(put.headers.get("x-amz-server-side-encryption") === "AES256", "a PUT without a word is encrypted");
    await open(state, at("key=secret.bin"));
    await card(state, "One version").getByText("AES256").waitFor();
  },

  async a_named_key_is_made_where_it_is_first_used(state) {
    const { page } = state;
    await held(state, "vault", "PUT");
    await open(state, "/object/buckets?bucket=vault&view=settings");
    const encryption = card(state, "Encryption");
    await encryption.getByLabel("New objects").selectOption("aws:kms");
    await encryption.getByRole("combobox", { name: /^Key/ }).fill("payroll");
    await encryption.getByRole("button", { name: "Save" }).click();
    await encryption.getByText("✓ SSE-KMS").waitFor();
    const put = await held(state, "vault/a", "PUT", "hello");
    check(put.headers.get("x-amz-server-side-encryption-aws-kms-key-id") === "payroll", "with the key by name");
    await page.locator("#content").focus();
  },

  async a_lifecycle_rule_is_made_in_words_and_removed(state) {
    const { page } = state;
    await open(state, at("view=settings"));
    const lifecycle = card(state, "Lifecycle");
    await lifecycle.getByRole("button", { name: "Add a rule" }).click();
    await lifecycle.getByRole("button", { name: "Save rule" }).click();
    await lifecycle.getByText("A rule does something").waitFor();
    await lifecycle.getByLabel(/^Name/).fill("logs & such");
    await lifecycle.getByLabel(/^Keys that begin with/).fill("logs/");
    await lifecycle.getByLabel(/^Gone after, days/).fill("30");
    await lifecycle.getByLabel(/^Older versions gone after, days/).fill("7");
    await lifecycle.getByRole("button", { name: "Save rule" }).click();
    await lifecycle.getByText("gone after 30 days; older versions gone 7 days after they were replaced").waitFor();
    check(/<Days>30<\/Days>/.test(await (await s3(state, `${bucket}?lifecycle`)).text()), "S3 has it too");
    await checkPage(page, "settings");
    await screenshot(page, "object-settings-rule");
    await lifecycle.getByRole("button", { name: "Remove rule logs & such" }).click();
    await lifecycle.getByText("none", { exact: true }).waitFor();
    check((await s3(state, `${bucket}?lifecycle`)).status === 404, "none is left");
  },

  async a_policy_that_is_no_json_is_refused_and_a_sound_one_holds(state) {
    const { page } = state;
    const policy = card(state, "Policy");
    await policy.getByRole("button", { name: "Begin with an example" }).click();
    const text = policy.getByLabel("Policy", { exact: true });
    const example = await text.inputValue();
    await text.fill("{ not json");
    await policy.getByRole("button", { name: "Save" }).click();
    await policy.getByRole("alert").waitFor();
    await text.fill(example);
    await policy.getByRole("button", { name: "Save" }).click();
    await policy.getByText("✓ set").waitFor();
    await held(state, `${bucket}/public/hello.txt`, "PUT", "hello");
    const port = state.polis.ready.ports["object.s3"];
    check((await fetch(`http://127.0.0.1:${port}/${bucket}/public/hello.txt`)).status === 200, "everyone reads what it allows");
    check((await fetch(`http://127.0.0.1:${port}/${bucket}/report.txt`)).status === 403, "and nothing else");
    const block = card(state, "Public access");
    await block.getByLabel("A public policy is good for this account alone").click();
    await waitFor("the block holds", 10_000, async () => (await fetch(`http://127.0.0.1:${port}/${bucket}/public/hello.txt`)).status === 403);
    await checkPage(page, "settings with a policy");
  },

  async cors_rules_are_shown_as_a_table(state) {
    const cors = card(state, "CORS");
    await cors.getByRole("button", { name: "Begin with an example" }).click();
    await cors.getByRole("button", { name: "Save" }).click();
    await cors.getByRole("cell", { name: "https://app.example.com" }).waitFor();
    await cors.getByRole("button", { name: "Change" }).click();
    await cors.getByLabel("CORS", { exact: true }).fill("<CORSConfiguration><CORSRule>");
    await cors.getByRole("button", { name: "Save" }).click();
    await cors.getByRole("alert").waitFor();
  },

  async object_lock_asks_first_and_keeps_a_version(state) {
    const { page } = state;
    await held(state, "locked", "PUT");
    await held(state, "locked?versioning", "PUT", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>");
    await open(state, "/object/buckets?bucket=locked&view=settings");
    const lock = card(state, "Object lock");
    await lock.getByLabel("Default for new versions").selectOption("GOVERNANCE");
    await lock.getByRole("spinbutton", { name: "For" }).fill("1");
    await lock.getByRole("button", { name: "Turn object lock on" }).click();
    await page.getByRole("dialog").getByText("This cannot be taken back").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Turn on for good" }).click();
    await lock.getByText("✓ on").waitFor();
    await held(state, "locked/kept.txt", "PUT", "keep me");
    await open(state, "/object/buckets?bucket=locked&key=kept.txt");
    await card(state, "One version").getByText("governance").waitFor();
    await page.getByRole("button", { name: /^Remove version/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove for good" }).click();
    await page.getByRole("alert").getByText("kept.txt was kept").waitFor();
    check((await s3(state, "locked/kept.txt")).status === 200, "it is still there");
    await open(state, "/object/buckets?bucket=locked&key=kept.txt");
    await page.getByRole("button", { name: "Retention …" }).click();
    await page.getByRole("button", { name: "Put on legal hold" }).click();
    await page.getByRole("button", { name: "End the legal hold" }).waitFor();
    check((await s3(state, "locked/kept.txt", "HEAD")).headers.get("x-amz-object-lock-legal-hold") === "ON", "S3 says so too");
    await page.getByRole("button", { name: "End the legal hold" }).click();
    await page.getByRole("button", { name: "Put on legal hold" }).waitFor();
  },

  async bytes_are_shown_by_class(state) {
    const { page } = state;
    const put = await s3(state, `${bucket}/thumbnail.bin`, "PUT", randomBytes(50_000), { "x-amz-storage-class": "STANDARD_IA" });
    check(put.ok, `a class is taken: ${put.status}`);
    await open(state, "/object");
    const classes = page.getByTestId("classes");
    await classes.getByRole("cell", { name: "STANDARD_IA" }).waitFor();
    check(/48\.8.KiB/.test(await classes.locator("tr", { hasText: "STANDARD_IA" }).innerText()), await classes.innerText());
    const { classes: held } = await state.polis.json(`/api/object/v1/buckets/${bucket}`);
    check(held.STANDARD_IA.size_bytes === 50_000 && held.STANDARD_IA.versions === 1, JSON.stringify(held));
  },

  async the_access_tail_shows_who_asked_for_what(state) {
    const { page } = state;
    await open(state, "/object/requests");
    const tail = card(state, "Access tail");
    await tail.waitFor();
    await fetch(`http://127.0.0.1:${state.polis.ready.ports["object.s3"]}/${bucket}/nothing-for-strangers`);
    const line = tail.locator("tr", { hasText: "nothing-for-strangers" });
    await line.waitFor();
    const told = (await line.innerText()).replace(/\u200b/g, "");
    check(/403.*AccessDenied.*GetObject.*anonymous/s.test(told), told);
    await tail.getByLabel("Refused and failed only").check();
    const answers = await tail.locator("tbody .chip").allInnerTexts();
    check(answers.length > 0 && answers.every((one) => /[45]\d\d/.test(one)), answers.join(" "));
  },

  async the_durability_figure_names_its_assumptions(state) {
    const { page } = state;
    await open(state, "/object/durability");
    await page.getByTestId("assumptions").getByText("0.81").waitFor();
    await page.getByTestId("assumptions").getByText("which is assumed").waitFor();
    const table = page.getByRole("table", { name: "Nines by code and repair" });
    check(/11\.00/.test(await table.locator("tr", { hasText: "8.5 h" }).innerText()), "eleven nines of coding that is repaired");
    check(/6\.27/.test(await table.locator("tr", { hasText: "never" }).innerText()), "six nines of copies that are not");
    await page.getByLabel("Hours to repair").fill("8.5");
    await waitFor("the figure follows", 10_000, async () => (await page.getByTestId("nines").innerText()).startsWith("11.00"));
  },

  async the_lesson_solves_what_the_reader_breaks(state) {
    const { page } = state;
    await open(state, "/object/lesson");
    check((await page.getByTestId("solved").innerText()) === "d3 = 5, d4 = 3", await page.getByTestId("solved").innerText());
    await page.getByLabel("d3", { exact: true }).fill("-11");
    check((await page.getByTestId("solved").innerText()) === "d3 = −11, d4 = 3", await page.getByTestId("solved").innerText());
    const hand = page.getByRole("group", { name: "Units on drives: choose which to lose" });
    await hand.getByRole("button", { name: /^d4/ }).click();
    await hand.getByRole("button", { name: /^d1/ }).click();
    await page.getByText("These formulas cannot bring d1 and d3 back").waitFor();
    await screenshot(page, "object-lesson-unsolvable");
    const bytes = page.getByRole("group", { name: "Bytes on drives: choose which to lose" });
    await bytes.getByRole("button", { name: /^d4/ }).click();
    await bytes.getByRole("button", { name: /^d1/ }).click();
    check((await page.getByTestId("bytes-rebuilt").innerText()).includes("poli"), "the pool's matrix can");
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

  async nothing_else_was_asked_or_broken(state) {
    check(state.complaints.length === 0, state.complaints.slice(0, 8).join("\n"));
  },
});
