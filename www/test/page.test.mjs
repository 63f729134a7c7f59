// What a person does with the page, tried in a real browser under the policy it is served with.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { openPage, stage } from "./harness.mjs";

describe("the page", () => {
  let browser, server, client;
  stage((made) => ({ browser, server, client } = made));

  const row = (page, key) => page.locator(`#rows [data-key="${key}"]`);
  /** Opens a key's form and types another value. */
  const type = async (page, key, value) => {
    await row(page, key).click();
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Value", { exact: true }).fill(value);
  };
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
    await type(page, "name", "after");
    await page.getByRole("button", { name: "Save" }).click();
    for await (const event of watch) {
      if (event.type !== "put") continue;
      assert.equal(event.entry.text(), "after");
      break;
    }
    assert.deepEqual(complaints, []);
  });

  test("shows what a save changes before it is done", async () => {
    await client.put("conf", '{"a":1,"b":2}');
    const { page, complaints } = await openPage(browser, server.url);
    await type(page, "conf", '{"a":1,"b":3}');
    const preview = page.getByRole("region", { name: "What a save changes" });
    assert.match(await preview.locator("del").innerText(), /"b": 2/);
    assert.match(await preview.locator("ins").innerText(), /"b": 3/);
    await page.getByLabel("Value", { exact: true }).fill('{"a":');
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("No JSON yet").waitFor();
    await page.getByLabel("Value", { exact: true }).fill('{"a" : 1}');
    await page.keyboard.press("Control+s");
    await page.getByText("Saved conf").waitFor();
    assert.equal((await client.get("conf")).text(), '{"a" : 1}', "as it was typed");
    assert.deepEqual(complaints, []);
  });

  test("does not overwrite what somebody else has changed meanwhile", async () => {
    await client.put("name", "first");
    const { page } = await openPage(browser, server.url);
    await type(page, "name", "mine");
    await client.put("name", "theirs");
    await page.getByText("Somebody else changed this key").waitFor();
    const conflict = page.getByRole("alert", { name: "Conflict" });
    assert.match(await conflict.getByRole("region", { name: "Theirs" }).innerText(), /first.*theirs/s);
    assert.match(await conflict.getByRole("region", { name: "Mine" }).innerText(), /first.*mine/s);
    await page.keyboard.press("Control+s");
    await page.getByText("Somebody else changed this key").waitFor();
    assert.equal((await client.get("name")).text(), "theirs");
    await page.getByRole("button", { name: "Keep mine" }).click();
    await page.getByText("Saved name").waitFor();
    assert.equal((await client.get("name")).text(), "mine");
  });

  test("brings two edits of different lines together", async () => {
    await client.put("list", "one\ntwo\nthree");
    const { page } = await openPage(browser, server.url);
    await type(page, "list", "one\ntwo\n3");
    await client.put("list", "1\ntwo\nthree");
    await page.getByRole("button", { name: "Bring both together" }).click();
    assert.equal(await page.getByLabel("Value", { exact: true }).inputValue(), "1\ntwo\n3");
    await page.keyboard.press("Control+s");
    await page.getByText("Saved list").waitFor();
    assert.equal((await client.get("list")).text(), "1\ntwo\n3");
  });

  test("takes a delete, a save and a new key back, and none that somebody wrote over", async () => {
    await client.put("name", "kept", { ttlMs: 600_000 });
    const { expiresAt } = await client.get("name");
    const { page } = await openPage(browser, server.url);
    await row(page, "name").click();
    await page.getByRole("button", { name: "Delete" }).click();
    await row(page, "name").waitFor({ state: "detached" });
    assert.equal(await client.get("name"), undefined);
    await page.getByRole("button", { name: "Undo" }).click();
    await row(page, "name").waitFor();
    const back = await client.get("name");
    assert.deepEqual([back.text(), back.expiresAt], ["kept", expiresAt]);

    await type(page, "name", "changed");
    await page.keyboard.press("Control+s");
    await page.getByText("Saved name").waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("Taken back").waitFor();
    assert.equal((await client.get("name")).text(), "kept");

    await type(page, "name", "changed again");
    await page.keyboard.press("Control+s");
    await page.getByText("Saved name").waitFor();
    await client.put("name", "theirs");
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("was changed again since").waitFor();
    assert.equal((await client.get("name")).text(), "theirs");
  });

  test("counts down to a key's end and takes it away then", async () => {
    const { page } = await openPage(browser, server.url);
    await client.put("brief", "x", { ttlMs: 2500 });
    await row(page, "brief").getByText(/^\d\.\d s$/).waitFor();
    await row(page, "brief").waitFor({ state: "detached" });
  });

  test("goes on by itself after kill -9, with no gap and no repeat", async () => {
    const { page, complaints } = await openPage(browser, `${server.url}#/live`, { allow: /WebSocket|ERR_CONNECTION/ });
    await client.put("count", "1");
    await page.locator('#log li[data-revision="1"]').waitFor();
    await server.kill();
    await page.locator('#connection:not([data-state="ready"])').waitFor();
    await page.getByText("The server does not answer").waitFor();
    await server.start();
    await page.locator("#banner").waitFor({ state: "hidden" });
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
    await page.getByLabel("Value", { exact: true }).waitFor();
    await page.keyboard.press("Control+a");
    await page.keyboard.type("2");
    await page.keyboard.press("Control+s");
    await page.getByText("Saved app/one").waitFor();
    // The form gives way to the value as it is now.
    await page.getByRole("button", { name: "Edit" }).waitFor();
    await page.keyboard.press("n");
    await page.keyboard.press("Control+a");
    await page.keyboard.type("new");
    await page.keyboard.press("Enter");
    await page.getByText("Created new").waitFor();
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
    await type(page, key, value);
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
    await page.keyboard.press("Escape");
    await page.keyboard.press("n");
    await page.keyboard.type("new");
    messages.release();
    await page.keyboard.press("Enter");
    await page.getByText("Created new").waitFor();
    assert.equal((await client.get("old")).text(), value);
    assert.equal((await client.get("new")).text(), "");
  });

  test("keeps what is typed while a save is on its way", async () => {
    const value = "y".repeat(200);
    const { page, messages } = await saveAndHold("name", value);
    await page.keyboard.type(" and more");
    messages.release();
    await page.locator("#key dd", { hasText: /^2$/ }).first().waitFor();
    await page.keyboard.press("Control+s");
    await page.getByRole("button", { name: "Edit" }).waitFor();
    assert.equal((await client.get("name")).text(), `${value} and more`);
  });

  test("shows and edits keys and values that are no text", async () => {
    const key = Uint8Array.of(0xff, 0x00, 0x41);
    await client.put(key, Uint8Array.of(1, 2, 254));
    const { page } = await openPage(browser, server.url);
    await page.getByRole("row", { name: "\\xff\\x00A" }).click();
    assert.match(await page.locator("#key pre").innerText(), /01 02 fe/);
    await page.keyboard.press("e");
    assert.equal(await page.getByLabel("Value", { exact: true }).inputValue(), "01 02 fe");
    await page.getByLabel("Value", { exact: true }).fill("zz");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("not whole bytes of hex digits").waitFor();
    await page.getByLabel("Value", { exact: true }).fill("00 ff");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved \\xff\\x00A").waitFor();
    assert.deepEqual([...(await client.get(key)).value], [0, 255]);
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
    await page.getByRole("button", { name: "Keep for ever" }).click();
    await page.getByText("It no longer ends").waitFor();
    assert.equal((await client.get("name")).expiresAt, undefined);
  });
});
