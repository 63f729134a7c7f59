// What a person does with the page, tried in a real browser under the policy it is served with.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { Server, launch, openPage } from "./harness.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describe("the page", () => {
  let browser, server, client;

  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());
  beforeEach(async () => {
    server = new Server();
    await server.start();
    client = server.client();
  });
  afterEach(async () => {
    await client.close();
    for (const context of browser.contexts()) await context.close();
    await server.remove();
  });

  const row = (page, key) => page.locator(`#rows [data-key="${key}"]`);
  const logged = (page) =>
    page.locator("#log li").evaluateAll((lines) => lines.map((line) => Number(line.dataset.revision)).reverse());

  test("shows a change from elsewhere at once, without a reload", async () => {
    const { page, complaints } = await openPage(browser, server.url);
    await page.evaluate(() => (globalThis.sameDocument = true));
    await client.put("name", "John Doe");
    await row(page, "name").waitFor();
    assert.match(await page.locator("#rows").innerText(), /John Doe/);
    await page.getByRole("treeitem", { name: "name" }).waitFor();
    assert.equal(await page.evaluate(() => globalThis.sameDocument), true);
    assert.deepEqual(complaints, []);
  });

  test("saves an edit that another watcher sees", async () => {
    await client.put("name", "before");
    const { page, complaints } = await openPage(browser, server.url);
    const watch = client.watch({ key: "name" });
    await row(page, "name").click();
    await page.getByLabel("Value").fill("after");
    await page.getByRole("button", { name: "Save" }).click();
    for await (const event of watch) {
      if (event.type !== "put") continue;
      assert.equal(event.entry.text(), "after");
      break;
    }
    assert.deepEqual(complaints, []);
  });

  test("does not overwrite what somebody else has changed meanwhile", async () => {
    await client.put("name", "first");
    const { page } = await openPage(browser, server.url);
    await row(page, "name").click();
    await page.getByLabel("Value").fill("mine");
    await client.put("name", "theirs");
    await page.getByText("Somebody else changed this key").waitFor();
    assert.equal((await client.get("name")).text(), "theirs");
    await page.getByRole("button", { name: "Keep mine" }).click();
    await page.getByText("Saved name").waitFor();
    assert.equal((await client.get("name")).text(), "mine");
  });

  test("deletes on confirmation and takes it back", async () => {
    await client.put("name", "kept");
    const { page } = await openPage(browser, server.url);
    page.on("dialog", (dialog) => dialog.accept());
    await row(page, "name").click();
    await page.getByRole("button", { name: "Delete" }).click();
    await row(page, "name").waitFor({ state: "detached" });
    assert.equal(await client.get("name"), undefined);
    await page.getByRole("button", { name: "Undo" }).click();
    await row(page, "name").waitFor();
    assert.equal((await client.get("name")).text(), "kept");
  });

  test("counts down to a key's end and takes it away then", async () => {
    const { page } = await openPage(browser, server.url);
    await client.put("brief", "x", { ttlMs: 2500 });
    await page.locator("[data-ends]", { hasText: /\d\.\d s/ }).waitFor();
    await row(page, "brief").waitFor({ state: "detached" });
    await page.locator("#log .kind-expire").waitFor();
  });

  test("goes on by itself after kill -9, with no gap and no repeat", async () => {
    const { page, complaints } = await openPage(browser, server.url, { allow: /WebSocket|ERR_CONNECTION/ });
    await client.put("count", "1");
    await row(page, "count").waitFor();
    await server.kill();
    await page.locator('#connection:not([data-state="ready"])').waitFor();
    await server.start();
    for (let value = 2; value <= 20; value++) await client.put("count", String(value));
    await page.locator('#log li[data-revision="20"]').waitFor();
    assert.deepEqual(await logged(page), Array.from({ length: 20 }, (_, index) => index + 1));
    assert.deepEqual(complaints, []);
  });

  test("works with the keyboard alone", async () => {
    await client.put("app/one", "1");
    const { page } = await openPage(browser, server.url);
    await page.getByRole("treeitem", { name: "app/" }).waitFor();
    await page.keyboard.press("t");
    await page.keyboard.press("ArrowRight");
    await page.getByRole("treeitem", { name: "one" }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "app/one" }).waitFor();
    await page.keyboard.press("e");
    await page.keyboard.press("Control+a");
    await page.keyboard.type("2");
    await page.keyboard.press("Control+s");
    await page.getByText("Saved app/one").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("n");
    await page.keyboard.type("new");
    await page.keyboard.press("Enter");
    await page.getByText("Saved new").waitFor();
    assert.equal((await client.get("app/one")).text(), "2");
    assert.equal((await client.get("new")).text(), "");
  });

  /**
   * Saves a long value over a key. The page has its reply, but what it asked for then is held back: it
   * does not know yet how the key is now.
   */
  async function saveAndHold(key, value) {
    await client.put(key, "1");
    const { page, messages } = await openPage(browser, server.url, { holdable: true });
    await row(page, key).click();
    await page.getByLabel("Value").fill(value);
    messages.holdAfter(value.length);
    await page.keyboard.press("Control+s");
    await page.getByText(`Saved ${key}`).waitFor();
    await messages.held();
    return { page, messages };
  }

  test("leaves a new key's form alone when the answer to a save comes late", async () => {
    const value = "y".repeat(200);
    const { page, messages } = await saveAndHold("old", value);
    await page.keyboard.press("Escape");
    await page.keyboard.press("n");
    await page.keyboard.type("new");
    messages.release();
    await page.keyboard.press("Enter");
    await page.getByText("Saved new").waitFor();
    assert.equal((await client.get("old")).text(), value);
    assert.equal((await client.get("new")).text(), "");
  });

  test("keeps what is typed while a save is on its way", async () => {
    const value = "y".repeat(200);
    const { page, messages } = await saveAndHold("name", value);
    await page.keyboard.type(" and more");
    messages.release();
    await page.getByText("version 2").waitFor();
    await page.keyboard.press("Control+s");
    await page.getByText("version 3").waitFor();
    assert.equal((await client.get("name")).text(), `${value} and more`);
  });

  test("shows and edits keys and values that are no text", async () => {
    const key = Uint8Array.of(0xff, 0x00, 0x41);
    await client.put(key, Uint8Array.of(1, 2, 254));
    const { page } = await openPage(browser, server.url);
    await page.getByRole("button", { name: "\\xff\\x00A" }).click();
    assert.equal(await page.getByLabel("Value").inputValue(), "01 02 fe");
    await page.getByLabel("Value").fill("zz");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("not whole bytes of hex digits").waitFor();
    await page.getByLabel("Value").fill("00 ff");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved \\xff\\x00A").waitFor();
    assert.deepEqual([...(await client.get(key)).value], [0, 255]);
  });

  test("lists a prefix of five thousand keys page by page", async () => {
    const keys = Array.from({ length: 5000 }, (_, index) => `many/${String(index).padStart(4, "0")}`);
    for (let at = 0; at < keys.length; at += 1000) {
      await Promise.all(keys.slice(at, at + 1000).map((key) => client.put(key, "x")));
    }
    const { page, complaints } = await openPage(browser, `${server.url}#/p/many/`);
    await page.getByText("5,000 keys").waitFor();
    await row(page, "many/0199").waitFor();
    assert.equal(await row(page, "many/0200").count(), 0);
    await page.getByRole("button", { name: "More keys" }).click();
    await row(page, "many/0399").waitFor();
    assert.deepEqual(complaints, []);
  });

  test("takes a folder away when its last key goes, however many go at once", async () => {
    for (let index = 0; index < 500; index++) void client.put(`many/${index}`, "x");
    await client.put("stays", "x");
    const { page, complaints } = await openPage(browser, server.url);
    const folder = page.getByRole("treeitem", { name: "many/" });
    await folder.waitFor();
    await client.deleteRange({ prefix: "many/" });
    await folder.waitFor({ state: "detached" });
    await page.getByRole("treeitem", { name: "stays" }).waitFor();
    assert.deepEqual(complaints, []);
  });

  test("moves and takes away a key's end", async () => {
    await client.put("name", "x");
    const { page } = await openPage(browser, `${server.url}#/k/name`);
    await page.getByLabel("Time to live").fill("1h");
    await page.getByRole("button", { name: "Set" }).click();
    await page.getByText(/in 59m|in 1h/).waitFor();
    assert.ok((await client.get("name")).expiresAt > Date.now());
    await page.locator("#editor").getByRole("button", { name: "Clear" }).click();
    await page.getByText("It no longer ends").waitFor();
    assert.equal((await client.get("name")).expiresAt, undefined);
  });

  for (const colorScheme of ["light", "dark"]) {
    test(`has no fault that axe finds, in the ${colorScheme} theme and at 320 px`, async () => {
      await client.put("app/one", '{"a":1}', { ttlMs: 600_000 });
      await client.put("name", "John Doe");
      for (const width of [1280, 320]) {
        const viewport = { width, height: 800 };
        const url = `${server.url}#/k/app/one`;
        const { page } = await openPage(browser, url, { colorScheme, viewport });
        await page.getByRole("button", { name: "Save" }).waitFor();
        await client.put("name", `at ${width}`);
        await page.locator("#log li").first().waitFor();
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
        assert.ok(await page.evaluate(() => document.body.scrollWidth <= innerWidth), `${width} px`);
      }
    });
  }
});
