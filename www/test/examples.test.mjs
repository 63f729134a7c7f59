// The examples, each as a page that the server serves by `--www`, in a real browser under the policy
// that it is served with.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Server, launch } from "./harness.mjs";

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

    await ada.page.goto("about:blank");
    await bob.page.getByRole("heading", { name: "1 here" }).waitFor({ timeout: 3_000 });
    assert.deepEqual([...ada.complaints, ...bob.complaints], []);
  });
});
