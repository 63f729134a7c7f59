// What a person sees and does beside the keys, in a real browser under the policy that the page is served
// with: live feed, metrics, cluster, leases, transfer, console.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { openPage, stage } from "./harness.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const VIEWS = ["live", "metrics", "cluster", "leases", "transfer", "console"];

describe("beside the keys", () => {
  let browser, server, client;
  stage((made) => ({ browser, server, client } = made));

  /** Waits until a field holds this; the page's policy forbids Playwright's own way of asking. */
  async function valued(field, value) {
    const deadline = Date.now() + 5000;
    while ((await field.inputValue()) !== value) {
      assert.ok(Date.now() < deadline, `${await field.inputValue()} is not ${value}`);
    }
  }

  const open = (place, options) => openPage(browser, `${server.url}#/${place}`, options);

  test("the live feed follows a prefix, is filtered, held and let go", async () => {
    const { page, complaints } = await open("live/app/");
    const lines = page.locator("#log li");
    await client.put("other", "1");
    for (const name of ["one", "two"]) await client.put(`app/${name}`, name);
    await client.delete("app/one");
    await lines.nth(2).waitFor();
    assert.deepEqual(await lines.evaluateAll((all) => all.map((line) => line.children[1].textContent)), ["delete", "put", "put"]);
    await page.getByLabel("Filter changes").fill("TWO");
    await lines.nth(1).waitFor({ state: "detached" });
    assert.match(page.url(), /#\/live\/app\/\?q=TWO$/);
    await page.getByRole("button", { name: "Pause" }).click();
    await client.put("app/two", "held back");
    await page.getByRole("button", { name: "Go on (1)" }).waitFor();
    assert.equal(await lines.count(), 1);
    await page.getByRole("button", { name: "Go on (1)" }).click();
    await page.getByText("held back").waitFor();
    assert.deepEqual(complaints, []);
  });

  test("ten thousand changes leave the feed with a bounded list and a sentence to be heard", async () => {
    const { page, complaints } = await open("live");
    for (let round = 0; round < 10; round++) {
      await Promise.all(Array.from({ length: 1000 }, (_, at) => client.put(`k${at}`, String(round))));
    }
    await page.getByText("10,000 seen").waitFor();
    assert.ok((await page.locator("#log li").count()) <= 200);
    await page.getByText(/changes in 5 seconds, the last: put k/).waitFor({ state: "attached" });
    assert.deepEqual(complaints, []);
  });

  test("the metrics are plotted, pointed at, and told as tables", async () => {
    const { page, complaints } = await open("metrics");
    // A line needs two points, which need three looks.
    await page.waitForSelector('[data-plot="Operations"] .plot-field .s0[d*="L"]', { state: "attached" });
    await client.put("name", "x");
    await page.locator(".headline div", { hasText: "Keys" }).getByText("1", { exact: true }).first().waitFor();
    const slider = page.getByRole("slider", { name: /^Operations/ });
    await slider.focus();
    await page.keyboard.press("ArrowLeft");
    await page.waitForSelector('[data-plot="Operations"] .cross[d^="M"]', { state: "attached" });
    assert.match(await slider.getAttribute("aria-valuetext"), /^\d\d:\d\d:\d\d: reads [\d.]+\/s, writes /);
    await page.getByRole("button", { name: "As tables" }).click();
    const table = page.getByRole("table", { name: /^Operations/ });
    await table.getByRole("columnheader").first().waitFor();
    assert.deepEqual(await table.getByRole("columnheader").allInnerTexts(), ["until", "reads", "writes", "Redis", "refused"]);
    assert.deepEqual(complaints, []);
  });

  test("a restart of the server is a gap in the plots, and they go on", async () => {
    const { page, complaints } = await open("metrics", { allow: /WebSocket|ERR_CONNECTION|Failed to load/ });
    const line = page.locator('[data-plot="Round trip of this page"] .plot-field .s0');
    const strokes = async () => ((await line.getAttribute("d")).match(/M/g) ?? []).length;
    await page.waitForSelector('[data-plot="Round trip of this page"] .plot-field .s0[d*="L"]', { state: "attached" });
    const before = await strokes();
    await server.kill();
    await page.locator('#connection:not([data-state="ready"])').waitFor();
    await server.start();
    const deadline = Date.now() + 20_000;
    while ((await strokes()) <= before) assert.ok(Date.now() < deadline, "no line goes on behind the gap");
    assert.deepEqual(complaints, []);
  });

  test("a hidden page does not ask for figures", async () => {
    const { page } = await open("metrics");
    await page.waitForSelector('[data-plot="Round trip of this page"] .plot-field .s0[d*="M"]', { state: "attached" });
    const asked = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { get: () => globalThis.away, configurable: true });
      globalThis.away = true;
      document.dispatchEvent(new Event("visibilitychange"));
    });
    // Longer than two looks are apart.
    await assert.rejects(page.waitForRequest(/metrics/, { timeout: 4500 }));
    await page.evaluate(() => {
      globalThis.away = false;
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await page.waitForRequest(/metrics/);
  });

  test("leases count down, name their keys, and are revoked on confirmation", async () => {
    const lease = await client.lease(60_000);
    for (const name of ["a", "b"]) await client.put(`held/${name}`, "", { lease: lease.id });
    await client.put("free", "");
    const { page, complaints } = await open("leases");
    const row = page.locator(`[data-lease="${lease.id}"]`);
    await row.getByText(/^\d\ds$/).first().waitFor();
    await page.getByRole("button", { name: `Keys of lease ${lease.id}` }).click();
    await page.getByRole("link", { name: "held/b" }).waitFor();
    assert.equal(await page.locator(".keys-of a").count(), 2);
    await page.getByRole("button", { name: `Revoke lease ${lease.id}` }).click();
    await page.getByRole("button", { name: "Keep it" }).click();
    assert.ok(await client.get("held/a"));
    await page.getByRole("button", { name: `Revoke lease ${lease.id}` }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await row.waitFor({ state: "detached" });
    assert.equal(await client.get("held/a"), undefined);
    assert.ok(await client.get("free"));
    assert.deepEqual(complaints, []);
  });

  test("who is connected is listed, and goes when it has left", async () => {
    await client.put("name", "x");
    const { page, complaints } = await open("sessions", { viewport: { width: 320, height: 800 } });
    const sessions = page.getByRole("table", { name: "Sessions, oldest first" });
    const rows = sessions.locator('[data-session]:has-text("websocket")');
    await rows.nth(1).waitFor();
    assert.equal(await rows.count(), 2, "the page and the client beside it");
    assert.match(await rows.first().getByRole("rowheader").innerText(), /^127\.0\.0\.1:\d+ tidekeep/);
    assert.deepEqual((await sessions.getByRole("columnheader").allInnerTexts()).slice(0, 4), ["from", "via", "open", "watches"]);
    const more = server.client();
    await more.put("name", "x");
    await rows.nth(2).waitFor();
    await page.getByText(/^\d+ open; 2 remembered$/).waitFor();
    await more.close();
    await rows.nth(2).waitFor({ state: "detached" });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    assert.deepEqual(complaints, []);
  });

  test("the live feed begins with what was before, from a revision on", async () => {
    await client.put("app/first", "1");
    const { revision } = await client.put("app/second", "2");
    await client.put("other", "x");
    await client.delete("app/first");
    const { page, complaints } = await open("live/app/?since=0");
    const lines = page.locator("#log li");
    const told = () => lines.evaluateAll((all) => all.map((line) => [...line.children].slice(0, 3).map(({ textContent }) => textContent).join(" ")));
    await lines.nth(2).waitFor();
    assert.deepEqual(await told(), ["before delete app/first", "before put app/second", "before put app/first"]);
    await client.put("app/third", "3");
    await lines.nth(3).waitFor();
    await page.getByLabel("Since revision").fill(String(revision));
    await page.keyboard.press("Enter");
    await page.getByText("3 seen").waitFor();
    assert.match(page.url(), /since=\d+$/);
    assert.deepEqual((await told()).map((line) => line.replace(/^\S+ /, "")), ["put app/third", "delete app/first", "put app/second"]);
    assert.deepEqual(complaints, []);
  });

  test("a backup comes as a file, a lock is held until it is let go, sessions are listed in the console", async () => {
    await client.put("name", "x");
    const { page, complaints } = await open("console");
    const run = async (line) => {
      await page.getByLabel("Command", { exact: true }).fill(line);
      await page.keyboard.press("Enter");
    };
    const downloaded = page.waitForEvent("download");
    await run("backup");
    const bytes = readFileSync(await (await downloaded).path());
    assert.equal(bytes.subarray(0, 4).toString(), "TIDE");
    await page.locator(".console-lines").getByText(/^backup\.tide, /).waitFor();
    await run("lock job --value me");
    await page.locator(".console-lines").getByText(/^fencing \d+$/).waitFor();
    assert.equal((await client.get("job")).text(), "me");
    await page.context().close();
    // Nobody keeps it alive any more.
    const lock = await client.lock("job", { signal: AbortSignal.timeout(30_000) });
    await lock.release();
    assert.deepEqual(complaints, []);
  });

  test("the console runs, completes, shows the JavaScript, and goes on below other views", async () => {
    await client.put("app/name", "John Doe");
    const { page, complaints } = await open("console");
    const command = page.getByLabel("Command", { exact: true });
    const lines = page.locator(".console-lines");
    await command.fill("get ap");
    await page.keyboard.press("Tab");
    await valued(command, "get app/");
    await page.keyboard.press("Tab");
    await valued(command, "get app/name ");
    await page.keyboard.press("Enter");
    await lines.getByText("John Doe").waitFor();
    await lines.getByText('await client.get("app/name")').waitFor();
    await command.fill("put app/name Jane --if-absent");
    await page.keyboard.press("Enter");
    await lines.getByText("hint: read the key again").waitFor();
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowUp");
    assert.equal(await command.inputValue(), "get app/name ");
    await command.fill("watch app/");
    await page.keyboard.press("Enter");
    await lines.getByText("watching").waitFor();
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await page.locator('#tabs [aria-current="page"][data-view="keys"]').waitFor();
    await page.keyboard.press("`");
    await page.getByRole("button", { name: "Stop" }).waitFor();
    await client.put("app/seen", "by the watch");
    await page.locator("#drawer").getByText("by the watch").waitFor();
    await page.keyboard.press("Control+c");
    await page.locator("#drawer").getByText("stopped").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("Tab");
    assert.equal(await command.evaluate((field) => field === document.activeElement), false);
    assert.deepEqual(complaints, []);
  });

  test("a file is looked at, then written, and what was exported comes back", async () => {
    await client.put("app/old", "1");
    await client.put("app/same", "1");
    const path = join(tmpdir(), `tidekeep-import-${process.pid}.jsonl`);
    const records = [{ key: "app/old", value: "2" }, { key: "app/same", value: "1" }, { key: "app/new", value: "1" }];
    writeFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join("") + "nonsense\n");
    const { page, complaints } = await open("transfer/app/");
    await page.getByLabel("File of JSON lines").setInputFiles(path);
    await page.getByText("3 records, 1 line is no record. Nothing was written.").waitFor();
    const count = (verdict) => page.locator(`[data-verdict="${verdict}"] .number`).innerText();
    assert.deepEqual([await count("new"), await count("changed"), await count("same")], ["1", "1", "1"]);
    assert.equal((await client.get("app/old")).text(), "1");
    await page.getByRole("button", { name: "Write 2 keys" }).click();
    await page.getByText("Imported 2.").waitFor();
    assert.equal((await client.get("app/old")).text(), "2");
    const downloaded = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const download = await downloaded;
    assert.equal(download.suggestedFilename(), "app.jsonl");
    const lines = readFileSync(await download.path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ key, value }) => [key, value]), [["app/new", "1"], ["app/old", "2"], ["app/same", "1"]]);
    assert.deepEqual(complaints, []);
  });

  test("a prefix is deleted only after a count and the prefix typed once more", async () => {
    for (const name of ["a", "b", "c"]) await client.put(`gone/${name}`, "");
    await client.put("stays", "");
    const { page, complaints } = await open("transfer/gone/");
    await page.getByRole("button", { name: "Count first" }).click();
    await page.getByText("It would delete 3 keys: gone/a, gone/b, gone/c").waitFor();
    await page.getByRole("button", { name: "Delete 3 keys" }).click();
    const sure = page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true });
    assert.equal(await sure.isDisabled(), true);
    await page.getByRole("dialog").getByRole("textbox").fill("gone/");
    await sure.click();
    await page.getByText("Deleted 3 keys.").waitFor();
    assert.equal(await client.count({}), 1);
    assert.deepEqual(complaints, []);
  });

  test("what opens on demand has no fault that axe finds, at 320 px", async () => {
    const lease = await client.lease(600_000);
    await client.put("app/one", "1", { lease: lease.id });
    const { page } = await open("metrics", { viewport: { width: 320, height: 800 } });
    await page.evaluate(axe);
    const check = async (what) => {
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      assert.deepEqual(violations.map(({ id, nodes }) => `${what}: ${id}: ${nodes[0].html}`), []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what} at 320 px`);
    };
    await page.waitForSelector('[data-plot="Round trip of this page"] .plot-field .s0[d*="M"]', { state: "attached" });
    await page.getByRole("button", { name: "As tables" }).click();
    await page.getByRole("table", { name: /^Memory/ }).waitFor();
    await check("tables");
    await page.evaluate(() => (location.hash = "#/transfer/app/"));
    const lines = '{"key":"app/one","value":"2"}\n{"key":"app/two","value":"1"}\nnonsense\n';
    await page.getByLabel("File of JSON lines").setInputFiles({ name: "a.jsonl", mimeType: "text/plain", buffer: Buffer.from(lines) });
    await page.getByRole("button", { name: "Write 2 keys" }).waitFor();
    await check("difference");
    await page.getByRole("button", { name: "Count first" }).click();
    await page.getByRole("button", { name: "Delete 1 key" }).click();
    await page.getByRole("dialog").waitFor();
    await check("question");
    await page.keyboard.press("Escape");
    await page.evaluate(() => (location.hash = "#/leases"));
    await page.getByRole("button", { name: `Keys of lease ${lease.id}` }).click();
    await page.getByRole("link", { name: "app/one" }).waitFor();
    await page.keyboard.press("`");
    await page.getByLabel("Command", { exact: true }).fill("put app/one 2 --if-absent");
    await page.keyboard.press("Enter");
    await page.locator("#drawer").getByText("hint:").waitFor();
    await check("keys and drawer");
  });

  for (const colorScheme of ["light", "dark"]) {
    test(`no view has a fault that axe finds, in the ${colorScheme} theme and at 320 px`, async () => {
      const lease = await client.lease(600_000);
      await client.put("app/one", '{"a":1}', { lease: lease.id });
      for (const width of [1280, 320]) {
        const { page } = await open("keys", { colorScheme, viewport: { width, height: 800 } });
        await page.evaluate(axe);
        for (const view of VIEWS) {
          await page.evaluate((view) => (location.hash = `#/${view}`), view);
          await page.locator(`#tabs [aria-current="page"][data-view="${view}"]`).waitFor();
          if (view === "live") await client.put("app/two", `at ${width}`);
          if (view === "live") await page.locator("#log li").first().waitFor();
          if (view === "leases") await page.locator("[data-lease]").waitFor();
          if (view === "leases") await page.locator("[data-session]").first().waitFor();
          if (view === "cluster") await page.locator(".node").waitFor();
          const { violations } = await page.evaluate(() => globalThis.axe.run());
          assert.deepEqual(violations.map(({ id, nodes }) => `${view} at ${width}: ${id}: ${nodes[0].html}`), []);
          assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${view} at ${width} px`);
        }
        await page.context().close();
      }
    });
  }
});
