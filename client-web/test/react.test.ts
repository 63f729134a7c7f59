// The hooks in a real browser under a real React, on the server for tests; and what they stand on.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { connect } from "tidekeep";
import { observe } from "tidekeep/observe";
import { MemoryServer } from "tidekeep/testing";

import { launch, Origin } from "./browser.js";

let origin: Origin;
let browser: Browser;
let page: Page;

before(async () => {
  origin = await Origin.serve();
  browser = await launch();
  page = await browser.newPage();
  page.on("pageerror", (error) => assert.fail(error));
  const { outputFiles } = await build({
    entryPoints: ["test/react-page.ts"],
    bundle: true,
    write: false,
    format: "iife",
    define: { "process.env.NODE_ENV": '"development"' },
    logLevel: "warning",
  });
  await page.goto(origin.url);
  await page.addScriptTag({ content: outputFiles[0]!.text });
  await page.evaluate(`(async () => {
    const { connect } = await import("/index.js");
    const { MemoryServer } = await import("/testing.js");
    window.server = new MemoryServer();
    server.put("list/a", "1");
    server.put("list/b", "1");
    const backoff = { minMs: 1, maxMs: 5 };
    window.client = connect("ws://memory", { WebSocket: server.WebSocket, backoff });
    window.views = 0;
    const view = client.view.bind(client);
    client.view = (...args) => (views++, view(...args));
    show(client, "list/");
  })()`);
});

after(async () => {
  await browser.close();
  origin.close();
});

const rows = (id: string) => page.locator(`#${id} li`).allTextContents();

test("hooks show what there is and follow it", async () => {
  await page.locator('#left[data-freshness="fresh"]').waitFor();
  assert.deepEqual(await rows("left"), ["list/a=1", "list/b=1"]);
  assert.deepEqual(await rows("right"), ["list/a=1", "list/b=1"]);
  await page.locator("#list\\/a", { hasText: "1 fresh" }).waitFor();
  assert.equal(await page.evaluate("views"), 2, "one for both lists, one for the key");
  await page.locator("#status", { hasText: "ready 0" }).waitFor();

  await page.evaluate(`server.put("list/a", "2")`);
  await page.locator("#left li", { hasText: "list/a=2" }).waitFor();
  await page.locator("#list\\/a", { hasText: "2 fresh" }).waitFor();
  await page.evaluate(`server.delete("list/a")`);
  await page.locator("#list\\/a", { hasText: "none fresh" }).waitFor();
});

test("a component is rendered for what it shows alone", async () => {
  const before = (await page.evaluate(`({ ...renders })`)) as Record<string, number>;
  await page.evaluate(`server.put("elsewhere", "1")`);
  await page.evaluate(`server.put("list/c", "1")`);
  await page.locator("#left li", { hasText: "list/c=1" }).waitFor();
  const later = (await page.evaluate(`({ ...renders })`)) as Record<string, number>;
  assert.equal(later["list/a"], before["list/a"], "not for another key");
  assert.ok(later["left"]! - before["left"]! <= 4, "once for one change, and what StrictMode adds");
});

test("what is queued offline shows at once, and settles", async () => {
  await page.evaluate("server.cut()");
  await page.locator("#status", { hasText: "reconnecting" }).waitFor();
  await page.locator("#status").click();
  await page.locator("#left li", { hasText: "list/new=added*" }).waitFor();
  await page.locator("#status", { hasText: "reconnecting 1" }).waitFor();
  await page.locator('#left[data-freshness="stale"]').waitFor();
  await page.evaluate("server.restore()");
  await page.locator("#status", { hasText: "ready 0" }).waitFor();
  await page.locator('#left[data-freshness="fresh"]').waitFor();
  assert.deepEqual(await rows("left"), ["list/b=1", "list/c=1", "list/new=added"]);
  assert.equal(await page.evaluate(`server.get("list/new")`), "added");
});

test("another range takes the place of the first, whose view closes when nobody looks", async () => {
  await page.evaluate(`(() => {
    window.ended = 0;
    const { view } = client;
    client.view = (...args) => {
      const made = view(...args);
      const close = made.close.bind(made);
      made.close = () => (ended++, close());
      return made;
    };
    server.put("other/x", "1");
    render("other/");
  })()`);
  await page.locator("#left li", { hasText: "other/x=1" }).waitFor();
  assert.deepEqual(await rows("right"), ["other/x=1"]);
  await page.evaluate("unmount()");
  await page.waitForFunction("ended === 1");
});

test("observe: one view for all who look, the same snapshot until something changes", async () => {
  const server = new MemoryServer();
  server.put("k", "1");
  const client = connect("ws://memory", { WebSocket: server.WebSocket });
  const observed = observe(client, { prefix: "k" });
  assert.equal(observe(client, { prefix: "k" }), observed);
  assert.notEqual(observe(client, { key: "k" }), observed);
  assert.equal(observed.get().freshness, "loading");
  let told = 0;
  let wake = () => {};
  const changed = () => new Promise<void>((resolve) => (wake = resolve));
  const end = observed.subscribe(() => {
    told++;
    wake();
  });
  while (observed.get().freshness !== "fresh") await changed();
  const seen = observed.get();
  assert.equal(seen.get("k")?.text(), "1");
  assert.equal(observed.get(), seen);
  const before = told;
  server.put("k", "2");
  await changed();
  assert.equal(told, before + 1);
  assert.notEqual(observed.get(), seen);
  assert.equal(seen.get("k")?.text(), "1", "a snapshot never changes");
  assert.equal(observed.get().get("k")?.text(), "2");
  end();
  await client.close();
});
