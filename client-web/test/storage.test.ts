// What keeps rows and copies of views: files in Node, IndexedDB in a real browser. Both make the same
// promises to the core; each also meets what goes wrong in its own place.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { OfflinePlace } from "tidekeep";
import { file } from "tidekeep/file";
import { readRows, writeRows } from "tidekeep/offline";
import type { Row } from "tidekeep/offline";
import type { Browser, Page } from "playwright-core";

import { launch, Origin } from "./browser.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const row = (id: number, text?: string): Row => ({ id, content: text ? bytes(text) : undefined });
const batch = (...rows: Row[]) => writeRows(rows);

async function rowsOf(place: OfflinePlace): Promise<Record<number, string>> {
  const rows = readRows(await place.rows());
  return Object.fromEntries(rows.map(({ id, content }) => [id, new TextDecoder().decode(content)]));
}

let folder: string;
test.beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "tidekeep-offline-"))));
test.afterEach(() => rmSync(folder, { recursive: true, force: true }));

const big = 2 ** 52 + 12_345;

test("rows go into a batch and come out of it", () => {
  const rows = [row(0, "about all"), row(big, "a"), row(7), row(8, "ü")];
  assert.deepEqual(readRows(writeRows(rows)), rows);
  // As docs/design-client.md draws it.
  const drawn = [7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 104, 105];
  assert.deepEqual([...writeRows([row(7, "hi")])], drawn);
});

test("a file keeps what was stored, over restarts and a torn end", async () => {
  const storage = file(folder);
  let place = await storage.open("one", false);
  assert.deepEqual(await rowsOf(place), {});
  await place.store(batch(row(0, "zero"), row(big, "a"), row(2, "b")));
  await place.store(batch(row(2), row(3, "c")));
  await place.save(bytes("view"), bytes("copy"));
  await place.close();

  place = await storage.open("one", false);
  assert.deepEqual(await rowsOf(place), { 0: "zero", [big]: "a", 3: "c" });
  assert.deepEqual(await place.load(bytes("view")), Buffer.from("copy"));
  assert.equal(await place.load(bytes("another")), undefined);
  const other = await storage.open("two", false);
  assert.deepEqual(await rowsOf(other), {}, "each place by itself");
  await other.close();
  await place.store(batch(row(4, "whole")));
  await place.store(batch(row(5, "torn"), row(4)));
  await place.close();

  const log = readdirSync(folder).map((name) => join(folder, name)).find((name) => {
    return name.endsWith(".log") && statSync(name).size > 0;
  })!;
  truncateSync(log, statSync(log).size - 1);
  place = await storage.open("one", false);
  const left = { 0: "zero", 3: "c", 4: "whole", [big]: "a" };
  assert.deepEqual(await rowsOf(place), left, "all of a batch or nothing");
  await place.close();
  appendFileSync(log, "nonsense that was never written");
  place = await storage.open("one", false);
  assert.deepEqual(await rowsOf(place), left);
  await place.close();
});

test("a file that grows is written anew with what is left", async () => {
  const place = await file(folder).open("one", false);
  const text = "x".repeat(64 << 10);
  for (let id = 1; id <= 200; id++) await place.store(batch(row(id, text), row(id - 1)));
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
  assert.ok(Math.max(...sizes) < 5 << 20, `${Math.max(...sizes)} bytes for one row of 64 KiB`);
  assert.deepEqual(Object.keys(await rowsOf(place)), ["200"]);
  await place.close();
});

test("a file has one owner at a time, and one that died does not keep it", async () => {
  const storage = file(folder);
  const place = await storage.open("one", false);
  await assert.rejects(storage.open("one", false), /has .* open/);
  await place.close();
  const again = await storage.open("one", false);
  await again.close();
  await assert.rejects(again.store(batch(row(1, "late"))), /closed/);
  const { pid } = spawnSync(process.execPath, ["--version"]);
  const lock = readdirSync(folder).find((name) => name.endsWith(".log"))!.replace(/log$/, "lock");
  writeFileSync(join(folder, lock), String(pid));
  await (await storage.open("one", false)).close();
  // The numbers of this process and of one that lives, as processes before them had them.
  for (const number of [process.pid, process.ppid]) {
    writeFileSync(join(folder, lock), `${number} another-boot 12345`);
    await (await storage.open("one", false)).close();
  }
});

test("a file that another process has open stays its own", async () => {
  const program = `
    import { file } from "tidekeep/file";
    await file(process.argv[1]).open("one", false);
    console.log("open");
    process.stdin.resume();
  `;
  const other = spawn(process.execPath, ["--input-type=module", "--eval", program, folder], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    await once(other.stdout, "data");
    await assert.rejects(file(folder).open("one", false), new RegExp(`process ${other.pid} has .* open`));
  } finally {
    other.kill("SIGKILL");
    await once(other, "exit");
  }
  await (await file(folder).open("one", false)).close();
});

let origin: Origin;
let browser: Browser;

before(async () => {
  origin = await Origin.serve();
  browser = await launch();
});
after(async () => {
  await browser.close();
  origin.close();
});

async function openPage(page: Page): Promise<Page> {
  await page.goto(origin.url);
  await page.evaluate(`(async () => {
    const { indexedDb, readRows, writeRows } = await import("/offline.js");
    const bytes = (text) => new TextEncoder().encode(text);
    const text = (bytes) => bytes && new TextDecoder().decode(bytes);
    window.writeRows = writeRows;
    window.storage = indexedDb({ views: 3 });
    window.store = (rows) => place.store(writeRows(Object.entries(rows).map(([id, content]) =>
      ({ id: Number(id), content: content === null ? undefined : bytes(content) }))));
    window.rows = async () => Object.fromEntries(
      readRows(await place.rows()).map(({ id, content }) => [id, text(content)]));
    window.save = (view, copy) => place.save(bytes(view), bytes(copy));
    window.load = async (view) => text(await place.load(bytes(view))) ?? null;
    window.open_ = async (name, takeOver) => {
      window.place = await storage.open(name, takeOver);
    };
  })()`);
  return page;
}

test("IndexedDB keeps what was stored over reloads, each place by itself", async () => {
  const context = await browser.newContext();
  const page = await openPage(await context.newPage());
  await page.evaluate(`open_("one", false)`);
  assert.deepEqual(await page.evaluate("rows()"), {});
  await page.evaluate(`store({ 0: "zero", ${big}: "a", 2: "b" })`);
  await page.evaluate(`store({ 2: null, 3: "c" })`);
  for (const view of ["a", "b", "a", "c", "d"]) {
    await page.evaluate(`save("${view}", "copy of ${view}").then(() => new Promise((r) => setTimeout(r, 2)))`);
  }
  await openPage(page);
  await page.evaluate(`open_("one", false)`);
  assert.deepEqual(await page.evaluate("rows()"), { 0: "zero", [big]: "a", 3: "c" });
  const copies = await page.evaluate(`Promise.all(["a", "b", "c", "d"].map(load))`);
  assert.deepEqual(copies, ["copy of a", null, "copy of c", "copy of d"], "three at most; the oldest went");
  await page.evaluate(`open_("two", false)`);
  assert.deepEqual(await page.evaluate("rows()"), {});
  await context.close();
});

test("IndexedDB has one owner at a time; who is replaced cannot write any more", async () => {
  const context = await browser.newContext();
  const first = await openPage(await context.newPage());
  const second = await openPage(await context.newPage());
  await first.evaluate(`open_("one", false)`);
  await first.evaluate(`store({ 1: "by the first" })`);
  const refused = await second.evaluate(`open_("one", false).catch(String)`);
  assert.match(String(refused), /another page has it open/);
  await second.evaluate(`open_("one", true)`);
  assert.match(String(await first.evaluate(`store({ 2: "late" }).catch(String)`)), /taken over/);
  assert.deepEqual(await second.evaluate("rows()"), { 1: "by the first" });
  await second.evaluate(`store({ 3: "by the second" })`);
  assert.deepEqual(await second.evaluate("rows()"), { 1: "by the first", 3: "by the second" });
  await context.close();
});

test("a full disk is reported, and nothing of the batch is stored", async () => {
  const context = await browser.newContext();
  const page = await openPage(await context.newPage());
  const devtools = await context.newCDPSession(page);
  const quota = (quotaSize?: number) =>
    devtools.send("Storage.overrideQuotaForOrigin", { origin: origin.url, quotaSize });
  // Before anything is stored: the browser remembers for a while how much room there is.
  await quota(1 << 20);
  await page.evaluate(`open_("one", false)`);
  await page.evaluate(`store({ 1: "before" })`);
  // What cannot be made smaller: the browser compresses.
  const error = await page.evaluate(`(() => {
    const rows = [2, 3].map((id) => ({ id, content: new Uint8Array(4 << 20) }));
    for (const { content } of rows) {
      for (let at = 0; at < content.length; at += 65536) {
        crypto.getRandomValues(content.subarray(at, at + 65536));
      }
    }
    return place.store(writeRows(rows)).then(() => "stored", (error) => error.name);
  })()`);
  assert.equal(error, "QuotaExceededError");
  await quota();
  assert.deepEqual(await page.evaluate("rows()"), { 1: "before" });
  await page.evaluate(`store({ 4: "after" })`);
  assert.deepEqual(await page.evaluate("rows()"), { 1: "before", 4: "after" });
  await context.close();
});
