// The examples, each as a page that the server serves by `--www`, in a real browser under the policy
// that it is served with.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Server, launch } from "./harness.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const folder = (name) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** Opens an example, by default in a browser of its own, which shares nothing with others. */
async function visit(server, { path = "", context } = {}) {
  const page = await (context ?? (await browser.newContext())).newPage();
  page.setDefaultTimeout(15_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(server.url + path);
  return { page, complaints };
}

/** What axe finds wrong with a page, in both themes and on a phone. */
async function faults(page) {
  const found = [];
  await page.evaluate(axe);
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 320]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 700 });
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      for (const { id, nodes } of violations) {
        found.push(`${colorScheme} ${width}: ${id} ${nodes.map(({ html }) => html).join(" ")}`);
      }
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (overflow > 0) found.push(`${width}: ${overflow} px wider than the window`);
    }
  }
  return found;
}

describe("presence", () => {
  let server;
  before(async () => {
    server = new Server("--www", folder("presence"));
    await server.start();
  });
  after(() => server.remove());
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
  });

  test("everybody sees who is here, where they are, and that they leave", async () => {
    const [ada, bob] = [await visit(server), await visit(server)];
    const cursor = bob.page.locator(".cursor", { hasText: "Ada" });
    await ada.page.getByLabel("Your name").fill("Ada");
    await cursor.waitFor();
    for (const { page } of [ada, bob]) {
      await page.getByRole("heading", { name: "2 here" }).waitFor();
    }
    assert.deepEqual(await bob.page.getByRole("listitem").filter({ hasText: "Ada" }).allInnerTexts(), ["Ada"]);
    await ada.page.getByRole("listitem").filter({ hasText: "Ada (you)" }).waitFor();

    const { x, y, width, height } = await ada.page.locator("#stage").boundingBox();
    await ada.page.mouse.move(x + width / 4, y + (height * 3) / 4);
    await bob.page.locator('.cursor[style*="left: 25%"]').waitFor();
    const [left, top] = await cursor.evaluate(({ style }) => [style.left, style.top].map(parseFloat));
    assert.ok(Math.abs(left - 25) < 1 && Math.abs(top - 75) < 1, `${left} % ${top} %`);

    await ada.page.locator("#stage").press("ArrowRight");
    await bob.page.locator('.cursor[style*="left: 27%"]').waitFor();

    assert.deepEqual(await faults(bob.page), []);
    await ada.page.goto("about:blank");
    await bob.page.getByRole("heading", { name: "1 here" }).waitFor({ timeout: 3_000 });
    assert.deepEqual([...ada.complaints, ...bob.complaints], []);
  });
});

describe("todo-offline", () => {
  let server;
  before(async () => {
    server = new Server("--www", folder("todo-offline"));
    await server.start();
  });
  after(() => server.remove());
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
  });

  const item = (page, nth) => page.getByLabel("Item", { exact: true }).nth(nth);
  /** Waits until a page shows exactly these items. */
  const shows = async (page, texts) => {
    const deadline = Date.now() + 15_000;
    for (;;) {
      const shown = await page
        .locator('#items input[type="text"]')
        .evaluateAll((inputs) => inputs.map(({ value }) => value));
      if (String(shown) === String(texts)) return;
      assert.ok(Date.now() < deadline, `it shows ${shown}, not ${texts}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const add = async (page, text) => {
    await page.getByLabel("New item").fill(text);
    await page.getByRole("button", { name: "Add" }).click();
  };
  const rename = async (page, nth, text) => {
    await item(page, nth).fill(text);
    await item(page, nth).press("Tab");
  };

  test("two tabs edit, one of them without a network and over a reload, and come together", async () => {
    const context = await browser.newContext();
    const ada = await visit(server, { path: "?me=ada", context });
    const bob = await visit(server, { path: "?me=bob", context });
    await add(ada.page, "milk");
    await shows(bob.page, ["milk"]);

    await bob.page.getByRole("button", { name: "Cut the network off" }).click();
    await bob.page.locator("#state", { hasText: "offline" }).waitFor();
    await rename(bob.page, 0, "oat milk");
    await add(bob.page, "bread");
    await shows(bob.page, ["oat milk", "bread"]);
    await bob.page.getByText("2 edits wait, kept in this browser").waitFor();
    await bob.page.reload();
    await shows(bob.page, ["oat milk", "bread"]);
    await bob.page.getByText("2 edits wait, kept in this browser").waitFor();

    await rename(ada.page, 0, "goat milk");
    await add(ada.page, "eggs");
    await shows(ada.page, ["goat milk", "eggs"]);

    await bob.page.getByRole("button", { name: "Join again" }).click();
    await bob.page.getByText("Both of you changed it: “oat milk” here, “goat milk” there.").waitFor();
    for (const { page } of [ada, bob]) await shows(page, ["goat milk", "bread", "eggs"]);
    assert.deepEqual(await faults(bob.page), []);
    await bob.page.getByRole("button", { name: "Keep mine" }).click();
    for (const { page } of [ada, bob]) await shows(page, ["oat milk", "bread", "eggs"]);

    // Each edit was applied once: milk was put three times, the others once.
    const client = server.client();
    const entries = await client.scan({ prefix: "list/" }).toArray(10);
    assert.deepEqual(entries.map(({ version }) => version), [3, 1, 1]);
    await client.close();
    assert.deepEqual([...ada.complaints, ...bob.complaints], []);
  });
});
