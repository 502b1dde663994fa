// What browser tests share: a polis of their own, a Chromium of their own, and what must hold on every page.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, openSync, closeSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const BINARY = process.env.POLIS_BINARY ?? join(ROOT, "build/release/polis");
const CONSOLE = process.env.POLIS_CONSOLE ?? join(ROOT, "console/dist");
export const fromConsole = createRequire(join(ROOT, "console/package.json"));

export class Failed extends Error {}
export function check(condition, message) {
  if (!condition) throw new Failed(message);
}

export async function waitFor(what, limitMs, probe) {
  const end = Date.now() + limitMs;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Failed(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// --- polis

export class Polis {
  constructor(systems = ["object"]) {
    this.systems = systems;
    this.directory = mkdtempSync(join(tmpdir(), "polis-browser-"));
    this.data = join(this.directory, "data");
  }

  async start() {
    check(existsSync(BINARY), `there is no ${BINARY}: build it, or name it in POLIS_BINARY`);
    check(existsSync(join(CONSOLE, "index.html")), "the console is not built: run tools/build console");
    const log = openSync(join(this.directory, "polis.log"), "a");
    const environment = { ...process.env };
    delete environment.POLIS_DATA;
    delete environment.POLIS_TOKEN;
    const words = ["up", ...this.systems, "--data", this.data, "--free-ports"];
    words.push("--set", `main.console_directory=${CONSOLE}`);
    this.process = spawn(BINARY, words, { stdio: ["ignore", log, log], env: environment });
    closeSync(log);
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.ready = await waitFor("polis is ready", 60_000, () => {
      check(this.process.exitCode === null, `polis ended at its start:\n${this.log()}`);
      try {
        const ready = JSON.parse(readFileSync(join(this.data, "run/ready.json"), "utf8"));
        return ready.pid === this.process.pid ? ready : undefined;
      } catch {
        return undefined;
      }
    });
    this.url = `http://127.0.0.1:${this.ready.ports.main}`;
    this.credentials = JSON.parse(readFileSync(join(this.data, "root-credentials.json"), "utf8"));
    return this;
  }

  async stop() {
    if (!this.process || this.process.exitCode !== null) return;
    this.process.kill("SIGTERM");
    const late = setTimeout(() => this.process.kill("SIGKILL"), 15_000);
    await this.ended;
    clearTimeout(late);
  }

  log() {
    return readFileSync(join(this.directory, "polis.log"), "utf8").slice(-4000);
  }

  // As a script would: with a bearer token.
  async signIn() {
    const { user, password } = this.credentials;
    const answer = await fetch(`${this.url}/api/auth/v1/session`, { method: "POST", body: JSON.stringify({ user, password }) });
    const text = await answer.text();
    check(answer.status === 200, `signing in answered ${answer.status}: ${text}`);
    this.token = JSON.parse(text).token;
  }
  ask(path, init = {}) {
    return fetch(this.url + path, { ...init, headers: { authorization: `Bearer ${this.token}`, ...init.headers } });
  }
  async json(path, init) {
    const answer = await this.ask(path, init);
    const text = await answer.text();
    check(answer.ok, `${init?.method ?? "GET"} ${path} answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  }

  remove() {
    if (!process.env.POLIS_KEEP) rmSync(this.directory, { recursive: true, force: true });
  }
}

// --- Chromium

export class Browser {
  async start() {
    const { chromium } = fromConsole("playwright-core");
    this.profile = mkdtempSync(join(tmpdir(), "polis-chromium-"));
    this.context = await chromium.launchPersistentContext(this.profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      headless: true,
      viewport: { width: 1280, height: 900 },
      timezoneId: "Europe/Berlin",
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    return this;
  }

  // A page that notes what no page may do.
  async page(origin) {
    const page = await this.context.newPage();
    page.setDefaultTimeout(20_000);
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(`error on the page: ${error.message}`));
    page.on("console", (message) => {
      // The browser itself reports failed requests this way; tests that cause them look at the page instead.
      if (message.type() === "error" && !/Failed to load resource|WebSocket connection to/.test(message.text()))
        complaints.push(`console: ${message.text()}`);
    });
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(origin) && !/^(data|blob):/.test(url)) complaints.push(`asked another host: ${url}`);
    });
    return { page, complaints };
  }

  async stop() {
    await this.context?.close();
    if (this.profile) rmSync(this.profile, { recursive: true, force: true });
  }
}

export async function screenshot(page, name, fullPage = true) {
  const directory = join(ROOT, "build/browser");
  mkdirSync(directory, { recursive: true });
  await page.screenshot({ path: join(directory, `${name}.png`), fullPage });
}

// What must hold on every page, at every width.
export async function checkPage(page, where) {
  const found = await page.evaluate(() => {
    const parse = (color) => {
      const numbers = color.match(/[\d.]+/g)?.map(Number) ?? [];
      if (color.startsWith("color(srgb")) return [...numbers.slice(0, 3).map((one) => one * 255), numbers[3] ?? 1];
      return [numbers[0] ?? 0, numbers[1] ?? 0, numbers[2] ?? 0, numbers[3] ?? 1];
    };
    const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
    const groundOf = (element) => {
      const layers = [];
      for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
      return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    };
    const light = (color) => {
      const [r, g, b] = color.slice(0, 3).map((one) => {
        const share = one / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const faint = [];
    for (const element of document.querySelectorAll("body *")) {
      const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      if (!own || box.width < 2 || box.height < 2 || style.visibility === "hidden" || style.clipPath !== "none") continue;
      if (parseFloat(style.fontSize) === 0 || element.closest(":disabled, option, svg, .cell")) continue;
      const ground = groundOf(element);
      const text = over(parse(style.color), ground);
      const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) faint.push(`"${element.textContent.trim().slice(0, 40)}" ${ratio.toFixed(2)}`);
    }
    const nameless = [...document.querySelectorAll("button, a[href], input:not([type=hidden]), select")]
      .filter((element) => element.offsetParent !== null)
      .filter((element) => !(element.textContent.trim() || element.ariaLabel || element.title || element.labels?.length))
      .map((element) => element.outerHTML.slice(0, 100));
    return { faint, nameless, wide: document.documentElement.scrollWidth - innerWidth };
  });
  check(found.faint.length === 0, `${where}: too little contrast: ${found.faint.slice(0, 6).join("; ")}`);
  check(found.nameless.length === 0, `${where}: without a name: ${found.nameless.slice(0, 4).join("; ")}`);
  check(found.wide <= 0, `${where}: ${found.wide} px wider than the screen`);
}

// --- what every test of a page does

export async function open(state, path, width = 1280) {
  const { page } = state;
  await page.setViewportSize({ width, height: 900 });
  await page.goto(state.polis.url + path);
}

// A browser, and in it a page of the root user; the test itself has a token besides.
export async function signInThere(state) {
  await state.browser.start();
  Object.assign(state, await state.browser.page(state.polis.url));
  const { page, polis } = state;
  await polis.signIn();
  await open(state, "/");
  await page.getByLabel("User").fill(polis.credentials.user);
  await page.getByLabel("Password").fill(polis.credentials.password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

// Looks at places, name -> [path, what shows that it is there], as `suffix`; `settle(name)` waits for what moves.
export async function lookAt(state, places, { prefix = "", suffix, width = 1280, settle = async () => {} }) {
  const { page } = state;
  for (const [name, [path, sign]] of Object.entries(places)) {
    await open(state, path, width);
    await page.locator(sign).first().waitFor();
    await settle(name);
    await checkPage(page, `${name} ${suffix}`);
    await screenshot(page, `${prefix}${name}-${suffix}`);
  }
}

// The same in the dark.
export async function inTheDark(state, work) {
  await state.page.emulateMedia({ colorScheme: "dark" });
  await work();
  await state.page.emulateMedia({ colorScheme: "light" });
}

// Runs steps one after the other against one polis and one Chromium; says which one failed.
export async function run(steps, systems) {
  const polis = new Polis(systems);
  const browser = new Browser();
  let step = "start";
  let failed = false;
  try {
    await polis.start();
    const state = { polis, browser };
    for (const [name, act] of Object.entries(steps)) {
      step = name;
      const begun = Date.now();
      await act(state);
      console.log(`ok ${name} (${Date.now() - begun} ms)`);
    }
  } catch (error) {
    failed = true;
    console.log(`FAILED ${step}: ${error.stack ?? error}`);
    if (browser.context) {
      for (const [index, page] of browser.context.pages().entries()) await screenshot(page, `failed-${index}`).catch(() => {});
    }
    if (polis.process) console.log(`--- the end of polis' log\n${polis.log()}`);
  } finally {
    await browser.stop().catch(() => {});
    await polis.stop();
    polis.remove();
  }
  process.exitCode = failed ? 1 : 0;
}
