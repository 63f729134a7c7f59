// The cluster on the page: a map where the server is a node of one, a card where it runs alone.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Server, launch, openPage } from "./harness.mjs";

const PHONE = { width: 390, height: 844 };

let browser;

before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** Runs `check` with a view of the page of a server that has these flags. */
async function withPage(flags, viewport, view, check) {
  const server = new Server(...flags);
  await server.start();
  try {
    const { page, complaints } = await openPage(browser, `${server.url}#/${view}`, { viewport });
    await check(page);
    assert.deepEqual(complaints, []);
    await page.context().close();
  } finally {
    await server.remove();
  }
}

test("a node shows the map of its cluster, on a narrow screen too", async () => {
  const founder = ["--node-listen", "127.0.0.1:0", "cluster", "init", "--groups", "3"];
  await withPage(founder, PHONE, "cluster", async (page) => {
    await page.getByRole("status").getByText("healthy").waitFor();
    const nodes = page.getByRole("list", { name: "Nodes" });
    await nodes.getByText("coordinator").waitFor();
    await nodes.getByText("leads 3", { exact: true }).waitFor();
    await nodes.getByText("3, leads 3", { exact: true }).waitFor();
    await nodes.getByText("0 entries").waitFor();
    const [own] = await nodes.getByRole("link").evaluateAll((links) => links.map(({ href }) => href));
    assert.equal(own, page.url().replace("cluster", "metrics"));
    const map = page.getByRole("table", { name: /^Groups/ });
    assert.deepEqual(await map.getByRole("rowheader").allInnerTexts(), ["meta", "0", "1", "2"]);
    assert.equal(await map.getByTitle("node 1 leads").count(), 4);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.equal(width, PHONE.width);
  });
});

test("a server that runs alone is a card, and is not asked for a cluster", async () => {
  await withPage([], undefined, "cluster", async (page) => {
    const asked = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.reload();
    await page.getByText("one server, which runs alone").waitFor();
    await page.getByRole("list", { name: "Nodes" }).getByText("durability").waitFor();
    assert.ok(!asked.includes("/cluster"), `${asked}`);
  });
});
