// The console's idea of the API against the server's: every field that a type of console/src names is sent, with its kind, and none
// is sent that it does not name. Then the gateway's rights and headers, and the durability model that the plot computes by itself.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, check, run } from "./lib.mjs";
import { interfacesOf, sampleOf, same, ts } from "./shapes.mjs";

const MIB = 1024 * 1024;
const s3 = "/api/object/v1/s3";
const core = interfacesOf("console/src/app/api.ts");
const object = interfacesOf("console/src/systems/object/api.ts");
const access = interfacesOf("console/src/app/access/api.ts");

// A module of the page that imports nothing, as JavaScript.
function moduleOf(name) {
  const text = readFileSync(join(ROOT, "console/src/systems/object", name), "utf8");
  const { outputText } = ts.transpileModule(text, { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } });
  return import(`data:text/javascript,${encodeURIComponent(outputText)}`);
}

run({
  async the_answers_have_the_fields_that_the_console_names({ polis }) {
    await polis.signIn();
    same(core.Session, await polis.json("/api/auth/v1/session"), "session");
    const status = await polis.json("/api/polis/v1/status");
    same(core.Status, status, "status");
    same(core.SystemStatus, status.systems[0], "status.systems");

    check((await polis.ask(`${s3}/shapes`, { method: "PUT" })).status === 200, "a bucket is made");
    check((await polis.ask(`${s3}/shapes/a.bin`, { method: "PUT", body: new Uint8Array(MIB) })).status === 200, "an object is put");
    const drives = await polis.json("/api/object/v1/drives");
    drives.drives.forEach((drive) => same(object.Drive, drive, "drives"));
    const buckets = await polis.json("/api/object/v1/buckets");
    same(object.BucketUsage, buckets.buckets[0], "buckets");
    same(object.ClassUsage, buckets.buckets[0].classes.STANDARD, "buckets.classes");
    check(buckets.buckets[0].classes.STANDARD.size_bytes === MIB, "bytes are counted by class");
    const durability = await polis.json("/api/object/v1/durability");
    same(object.Durability, durability, "durability");
    same(object.DurabilityLine, durability.table[0], "durability.table");
    same(object.KmsKey, await polis.json("/api/object/v1/kms/keys", { method: "POST", body: '{"name":"shapes"}' }), "kms key");
    same(object.KmsKey, (await polis.json("/api/object/v1/kms/keys")).keys[0], "kms keys");
    const wish = { bucket: "shapes", key: "a.bin", method: "GET", expires_s: 60, endpoint: `127.0.0.1:${polis.ready.ports["object.s3"]}` };
    same(object.Presigned, await polis.json("/api/object/v1/presign", { method: "POST", body: JSON.stringify(wish) }), "presign");
    same(object.Job, await polis.json("/api/object/v1/jobs/scrub", { method: "POST" }), "job");
    const plan = await polis.json("/api/object/v1/buckets/shapes/remove", { method: "POST", body: '{"prefix":"a"}' });
    same(core.Plan, plan, "plan");

    const users = await polis.json("/api/auth/v1/users");
    same(access.User, users[0], "users");
    same(access.AccessKey, (await polis.json(`/api/auth/v1/users/${users[0].name}/keys`))[0], "keys");
    same(access.AuditRecord, (await polis.json("/api/auth/v1/audit")).records[0], "audit");
  },

  async the_live_topics_have_the_fields_that_the_console_names({ polis }) {
    same(core.HomeSample, await sampleOf(polis, "polis.home"), "polis.home");
    const grid = await sampleOf(polis, "object.grid");
    same(object.GridSample, grid, "object.grid");
    same(object.Drive, grid.drives["0"], "object.grid drives");
    same(object.BlobFigures, grid.blob, "object.grid blob");
    const stripes = await sampleOf(polis, "object.stripes");
    same(object.StripesSample, stripes, "object.stripes");
    const row = Object.values(stripes.rows)[0];
    same(object.StripeRow, row, "object.stripes rows");
    check(/^[omdsr.]{6}$/.test(row.cells), `a row has six cells: ${row.cells}`);
    const puts = await sampleOf(polis, "object.puts");
    same(object.PutTimes, Object.values(puts.puts)[0], "object.puts");
    const tail = await sampleOf(polis, "object.access");
    same(object.AccessSample, tail, "object.access");
    const lines = Object.values(tail.requests);
    lines.forEach((line) => same(object.AccessLine, line, "object.access requests"));
    const put = lines.find((line) => line.operation === "PutObject" && line.key === "a.bin");
    check(put?.status === 200 && put.user === "root" && put.received_bytes === MIB && put.error === "", JSON.stringify(lines));
  },

  async the_plot_computes_what_the_server_answers({ polis }) {
    const { annualNines } = await moduleOf("durability.ts");
    for (const [k, m, afr, hours] of [[4, 2, 0.0081, 156], [4, 2, 0.02, 1], [1, 2, 0.0081, 24], [8, 4, 0.05, 300]]) {
      const { nines } = await polis.json(`/api/object/v1/durability?k=${k}&m=${m}&afr=${afr}&repair_hours=${hours}`);
      const mine = annualNines(k, m, afr, hours);
      check(Math.abs(nines - mine) < 1e-6 * nines, `${k}+${m} at ${afr}, ${hours} h: ${mine} is not ${nines}`);
    }
  },

  async the_lesson_in_coding_rebuilds_every_pair() {
    const { BYTES, EXAMPLE, RATIONALS, cauchy, encode, fraction, rebuild, unitsOf } = await moduleOf("coding.ts");
    check(BYTES.multiply(0x80, 2) === 0x1d, "the field is that of 0x11d");
    for (let a = 1; a < 256; ++a) check(BYTES.multiply(a, BYTES.divide(1, a)) === 1, `${a} has an inverse`);
    const pairs = [0, 1, 2, 3, 4, 5].flatMap((a) => [0, 1, 2, 3, 4, 5].filter((b) => b > a).map((b) => [a, b]));
    const rows = cauchy(4, 2);
    const data = [0x70, 0, 0xff, 0x69];
    const values = [...data, ...rows.map((row) => encode(BYTES, row, data))];
    for (const pair of pairs) check(`${rebuild(BYTES, unitsOf(BYTES, rows), values, new Set(pair))}` === `${data}`, `bytes without ${pair}`);
    check(rebuild(BYTES, unitsOf(BYTES, rows), values, new Set([0, 1, 2])) === undefined, "not without three");
    const whole = [7, 2, -5, 3].map((value) => fraction(value));
    const units = unitsOf(RATIONALS, EXAMPLE.map((row) => row.map((value) => fraction(value))));
    const sums = units.map((row) => encode(RATIONALS, row, whole));
    const failed = pairs.filter((pair) => {
      const found = rebuild(RATIONALS, units, sums, new Set(pair));
      check(!found || JSON.stringify(found) === JSON.stringify(whole), `whole numbers without ${pair}`);
      return !found;
    });
    check(`${failed}` === "0,2", `the example's formulas fail for d1 and d3 alone: ${failed}`);
  },

  async the_gateway_is_for_those_who_signed_in({ polis }) {
    const open = (path, init) => fetch(polis.url + path, init);
    check((await open(`${s3}/shapes/a.bin`)).status === 401, "nobody reads without signing in");
    check((await open(`${s3}/shapes/b`, { method: "PUT", body: "x" })).status === 401, "nobody writes without signing in");
    await polis.json("/api/auth/v1/users", { method: "POST", body: JSON.stringify({ name: "guest", password: "a guest's long password" }) });
    const answer = await open("/api/auth/v1/session", { method: "POST", body: JSON.stringify({ user: "guest", password: "a guest's long password" }) });
    const { token } = await answer.json();
    const headers = { authorization: `Bearer ${token}` };
    check((await open(`${s3}/shapes/a.bin`, { headers })).status === 403, "a user without a policy reads nothing");
    check((await open(`${s3}/shapes/c`, { method: "PUT", body: "x", headers })).status === 403, "nor writes");
    check((await open("/api/object/v1/drives", { headers })).status === 403, "nor looks at drives");
    const removal = await open("/api/object/v1/buckets/shapes/remove", { method: "POST", body: '{"keys":["a.bin"]}', headers });
    check(removal.status === 403, `nor plans a removal: ${removal.status}`);
  },

  async an_object_cannot_run_in_the_consoles_origin({ polis }) {
    const page = "<script>alert(document.cookie)</script>";
    await polis.ask(`${s3}/shapes/evil.html`, { method: "PUT", body: page, headers: { "content-type": "text/html", "content-disposition": "inline; filename=x.html" } });
    const answer = await polis.ask(`${s3}/shapes/evil.html`);
    check((await answer.text()) === page, "it is served");
    check(answer.headers.get("content-security-policy")?.includes("sandbox"), "in a sandbox");
    check(answer.headers.get("x-content-type-options") === "nosniff", "never sniffed");
    check(answer.headers.get("content-disposition") === "attachment; filename=x.html", `as a download: ${answer.headers.get("content-disposition")}`);
  },

  async a_cookie_from_another_site_changes_nothing({ polis }) {
    const { user, password } = polis.credentials;
    const answer = await fetch(`${polis.url}/api/auth/v1/session`, { method: "POST", body: JSON.stringify({ user, password }) });
    const cookie = answer.headers.get("set-cookie").split(";")[0];
    const put = await fetch(`${polis.url}${s3}/shapes/forged`, { method: "PUT", body: "x", headers: { cookie, origin: "https://evil.example" } });
    check(put.status === 403, `a write with another site's origin is refused: ${put.status}`);
  },

  async a_removal_plan_acts_on_what_it_listed_and_nothing_else({ polis }) {
    const put = (key, body) => polis.ask(`${s3}/shapes/${key}`, { method: "PUT", body });
    await put("old/1", "one");
    await put("old/2", "two");
    const plan = await polis.json("/api/object/v1/buckets/shapes/remove", { method: "POST", body: '{"prefix":"old/"}' });
    check(plan.touched_count === 2 && plan.touched_bytes === 6, JSON.stringify(plan));
    await put("old/2", "changed since");
    await put("old/3", "three");
    const done = await polis.json(`/api/plan/v1/${plan.id}`, { method: "POST" });
    check(done.removed === 1 && done.kept.length === 1 && done.kept[0].key === "old/2", JSON.stringify(done));
    check((await polis.ask(`${s3}/shapes/old/1`)).status === 404, "what was listed is gone");
    check((await (await polis.ask(`${s3}/shapes/old/2`)).text()) === "changed since", "what changed is kept");
    check((await polis.ask(`${s3}/shapes/old/3`)).status === 200, "what came later is kept");
    check((await polis.ask(`/api/plan/v1/${plan.id}`, { method: "POST" })).status === 404, "a plan works once");
    for (const body of ["", "{", "[]", "{}", '{"keys":[]}', '{"keys":[1]}', '{"keys":["a"],"prefix":"b"}'])
      check((await polis.ask("/api/object/v1/buckets/shapes/remove", { method: "POST", body })).status === 400, `refused: ${body}`);
    const many = JSON.stringify({ keys: Array.from({ length: 1001 }, (_, at) => `k${at}`) });
    check((await polis.ask("/api/object/v1/buckets/shapes/remove", { method: "POST", body: many })).status === 413, "at most a thousand");
  },

  async versions_are_removed_for_good_by_plan({ polis }) {
    const remove = (body) => polis.ask("/api/object/v1/buckets/kept/remove", { method: "POST", body: JSON.stringify(body) });
    await polis.ask(`${s3}/kept`, { method: "PUT" });
    const on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    check((await polis.ask(`${s3}/kept?versioning`, { method: "PUT", body: on })).ok, "versioning is on");
    const ids = [];
    for (const body of ["one", "second", "the third"]) ids.push((await polis.ask(`${s3}/kept/a`, { method: "PUT", body })).headers.get("x-amz-version-id"));
    await polis.ask(`${s3}/kept/ab`, { method: "PUT", body: "another key" });
    ids.push((await polis.ask(`${s3}/kept/a`, { method: "DELETE" })).headers.get("x-amz-version-id"));
    const plan = await (await remove({ keys: ["a"], versions: [ids[0], ids[3]] })).json();
    check(plan.touched_count === 2 && plan.touched_bytes === 3, JSON.stringify(plan));
    check(plan.touches.some((line) => line.includes("delete marker")), JSON.stringify(plan.touches));
    const done = await polis.json(`/api/plan/v1/${plan.id}`, { method: "POST" });
    check(done.removed === 2 && done.kept.length === 0, JSON.stringify(done));
    check((await (await polis.ask(`${s3}/kept/a`)).text()) === "the third", "without its marker the object is back");
    check((await polis.ask(`${s3}/kept/a?versionId=${ids[0]}`)).status === 404, "the version is gone");
    for (const body of [{ versions: [ids[1]] }, { keys: ["a", "ab"], versions: [ids[1]] }, { prefix: "a", versions: [ids[1]] }, { keys: ["a"], versions: [] }, { keys: ["a"], versions: [7] }, { keys: ["a"], versions: ids[1] }])
      check((await remove(body)).status === 400, `refused: ${JSON.stringify(body)}`);
    check((await remove({ keys: ["a"], versions: [ids[0]] })).status === 404, "what is gone is not planned for");
    check((await remove({ keys: ["ab"], versions: [ids[1]] })).status === 404, "nor another key's version");
  },

  async the_gateway_carries_what_s3_carries({ polis }) {
    const range = await polis.ask(`${s3}/shapes/a.bin`, { headers: { range: "bytes=100-199" } });
    check(range.status === 206 && (await range.arrayBuffer()).byteLength === 100, "ranges");
    const head = await polis.ask(`${s3}/shapes/a.bin`, { method: "HEAD" });
    check(head.headers.get("content-length") === String(MIB), `HEAD says the length: ${head.headers.get("content-length")}`);
    const same = await polis.ask(`${s3}/shapes/a.bin`, { headers: { "if-none-match": head.headers.get("etag") } });
    check(same.status === 304, `conditions: ${same.status}`);
    const list = await polis.ask(`${s3}/shapes?list-type=2&prefix=a`);
    check((await list.text()).includes("<Key>a.bin</Key>"), "listings");
    const missing = await polis.ask(`${s3}/shapes/nothing`);
    check(missing.status === 404 && (await missing.text()).includes("NoSuchKey"), "errors in XML");
    for (const method of ["PATCH", "OPTIONS"]) {
      const answer = await polis.ask(`${s3}/shapes/a.bin`, { method });
      check(answer.status >= 400 && answer.status < 600, `${method} is refused: ${answer.status}`);
    }
  },
});
