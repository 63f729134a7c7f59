// The cluster on the page: there where the server is a node of one, and no word of it elsewhere.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Server, launch, openPage } from "./harness.mjs";

const PHONE = { width: 390, height: 844 };

let browser;

before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** Runs `check` with a page of a server that has these flags. */
async function withPage(flags, viewport, check) {
  const server = new Server(...flags);
  await server.start();
  try {
    const { page, complaints } = await openPage(browser, server.url, { viewport });
    await check(page);
    assert.deepEqual(complaints, []);
    await page.context().close();
  } finally {
    await server.remove();
  }
}

test("a node shows how its cluster stands, on a narrow screen too", async () => {
  const founder = ["--node-listen", "127.0.0.1:0", "cluster", "init"];
  await withPage(founder, PHONE, async (page) => {
    const cluster = page.getByRole("region", { name: "Cluster" });
    await cluster.getByText("Cluster: healthy").waitFor();
    const nodes = await cluster.getByRole("listitem").allInnerTexts();
    assert.deepEqual(nodes, ["node 1 leads"]);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.equal(width, PHONE.width);
  });
});

test("a server that runs alone says nothing of clusters, and is not asked for one", async () => {
  await withPage([], undefined, async (page) => {
    const asked = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.reload();
    await page.locator('#connection[data-state="ready"]').waitFor();
    // What the page has asked for behind this is asked for behind the figures, too.
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByRole("heading", { name: /New key/ }).waitFor();
    assert.equal(await page.locator("#cluster").isHidden(), true);
    assert.ok(!asked.includes("/cluster"), `${asked}`);
  });
});
