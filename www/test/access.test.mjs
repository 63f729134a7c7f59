// Everybody can use the keys view: axe finds nothing in any of its states, in both themes and at 320 px, and
// the tree is a tree to assistive technology.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, test } from "node:test";

import { openPage, stage } from "./harness.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describe("the keys view", () => {
  let browser, server, client;
  stage((made) => ({ browser, server, client } = made));

  const fill = async () => {
    await client.put("app/conf", '{"a":1,"list":[1,{"deep":null}],"on":true}', { ttlMs: 600_000 });
    await client.put("app/one", "first line\nsecond line");
    await client.put("binary", Uint8Array.of(0xff, 0, 1, 2));
    await client.put("name", "John Doe");
  };
  const edit = async (page, value) => {
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Value", { exact: true }).fill(value);
  };

  /** States of the view: what is opened, and what is done then. */
  const states = {
    "a JSON value": ["#/k/app/conf", (page) => page.getByText("deep").waitFor()],
    "JSON as it is written": ["#/k/app/conf", (page) => page.getByRole("button", { name: "Raw" }).click()],
    "a hex dump": ["#/k/binary", (page) => page.locator("#key").getByText("ff 00 01 02").waitFor()],
    "a form with its difference": [
      "#/k/app/one",
      async (page) => {
        await edit(page, "first line\nother line");
        await page.getByRole("region", { name: "What a save changes" }).waitFor();
      },
    ],
    "a conflict": [
      "#/k/name",
      async (page) => {
        await edit(page, "Mine");
        await client.put("name", `Theirs ${Math.random()}`);
        await page.getByRole("alert", { name: "Conflict" }).waitFor();
      },
    ],
    "a new key": ["#/keys", (page) => page.getByRole("button", { name: "New key" }).click()],
    "a filter that nothing passes": [
      "#/keys",
      async (page) => {
        await page.getByLabel("Filter keys").fill("nothing like it");
        await page.getByText("No key passes the filter").waitFor();
      },
    ],
    "the palette": [
      "#/keys",
      async (page) => {
        await page.keyboard.press("Control+k");
        await page.keyboard.type("app/");
        await page.getByRole("option", { name: "app/one" }).waitFor();
      },
    ],
    "the help": ["#/keys", (page) => page.getByRole("button", { name: "Keyboard help" }).click()],
    "how to do it elsewhere": [
      "#/k/name",
      async (page) => {
        await page.locator("#key").getByRole("button", { name: "How" }).click();
        await page.getByText("tidekeep get name").waitFor();
      },
    ],
  };

  const check = async (page, state, width) => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => `${state}: ${id}: ${nodes[0].html}`), []);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${state} is ${wide} px too wide at ${width}`);
  };

  for (const [colorScheme, width] of [["light", 1280], ["dark", 320]]) {
    test(`axe finds nothing in any state, ${colorScheme} at ${width} px`, { timeout: 110_000 }, async () => {
      const viewport = { width, height: 800 };
      const { page, complaints } = await openPage(browser, server.url, { colorScheme, viewport });
      page.on("dialog", (dialog) => dialog.accept().catch(() => {}));
      await page.getByText("No keys yet").waitFor();
      await check(page, "an empty store", width);
      await fill();
      await page.getByRole("treeitem", { name: "name" }).waitFor();
      for (const [state, [hash, arrive]] of Object.entries(states)) {
        // By way of another page: whoever reloads while the page asks whether to leave an edit waits for ever.
        await page.goto("about:blank");
        await page.goto(server.url + hash);
        await page.getByRole("treeitem", { name: "name" }).waitFor();
        await arrive(page);
        await check(page, state, width);
      }
      assert.deepEqual(complaints, []);
    });
  }

  test("the tree is one to assistive technology: levels, places, one tab stop, type-ahead", async () => {
    await fill();
    const { page } = await openPage(browser, server.url);
    const folder = page.getByRole("treeitem", { name: "app/" });
    await folder.waitFor();
    await page.keyboard.press("t");
    await page.keyboard.press("ArrowRight");
    const one = page.getByRole("treeitem", { name: "one" });
    await one.waitFor();
    assert.equal(await folder.getAttribute("aria-expanded"), "true");
    const attributes = ["aria-level", "aria-posinset", "aria-setsize"];
    assert.deepEqual(await Promise.all(attributes.map((name) => one.getAttribute(name))), ["2", "2", "2"]);
    await page.keyboard.press("Shift+N");
    const focused = page.locator("#tree :focus");
    assert.equal(await focused.innerText(), "name");
    assert.equal(await page.locator('#tree [tabindex="0"]').count(), 1);
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowLeft");
    await one.waitFor({ state: "detached" });
    assert.match(await focused.innerText(), /app\//);
  });
});
