// A network that swallows everything and tells nobody: the page finds out by its heartbeats, says so, and
// goes on where it was once the network is back.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Server, Way, launch, openPage } from "./harness.mjs";

const HEARTBEAT_MS = 1000;
/** A connection counts as dead after two heartbeats without a byte (docs/protocol.md). */
const NOTICED_MS = 2 * HEARTBEAT_MS;
/** What a busy machine may add. Without heartbeats a browser would not notice for minutes. */
const TOLERANCE_MS = 1500;
const CHANGES = 10;

let browser, server, client, way;

before(async () => {
  browser = await launch();
  server = new Server("--heartbeat-ms", String(HEARTBEAT_MS));
  await server.start();
  client = server.client();
  way = new Way(server.url);
});
after(async () => {
  await client.close();
  await browser.close();
  way.close();
  await server.remove();
});

test("a black hole is noticed in time, and nothing is missed or repeated behind it", async () => {
  const { page, complaints } = await openPage(browser, `${await way.listen()}#/live`, { allow: /WebSocket/ });
  await page.evaluate(() => {
    const place = document.getElementById("connection");
    globalThis.states = [];
    new MutationObserver(() => {
      const state = place.dataset.state;
      if (states.at(-1)?.state !== state) states.push({ state, at: Date.now(), text: place.textContent });
    }).observe(place, { attributes: true, childList: true });
  });
  await client.put("count", "1");
  await page.locator('#log li[data-revision="1"]').waitFor();

  for (let round = 0; round < 2; round++) {
    const first = 2 + round * CHANGES;
    await page.evaluate(() => (globalThis.states = []));
    const since = Date.now();
    way.swallow();
    await page.locator('#connection[data-state="reconnecting"]', { hasText: "reconnecting" }).waitFor();
    const [noticed] = await page.evaluate(() => globalThis.states);
    assert.ok(noticed.at - since <= NOTICED_MS + TOLERANCE_MS, `noticed after ${noticed.at - since} ms`);
    for (let value = first; value < first + CHANGES; value++) await client.put("count", String(value));
    assert.equal(await page.locator(`#log li[data-revision="${first}"]`).count(), 0, "nothing passes");

    way.mend();
    await page.locator('#connection[data-state="ready"]').waitFor();
    await page.locator(`#log li[data-revision="${first + CHANGES - 1}"]`).waitFor();
  }
  await client.put("count", "last");
  await page.locator(`#log li[data-revision="${2 + 2 * CHANGES}"]`).waitFor();
  const lines = page.locator("#log li");
  const revisions = await lines.evaluateAll((all) => all.map((line) => Number(line.dataset.revision)).reverse());
  assert.deepEqual(revisions, Array.from({ length: 2 + 2 * CHANGES }, (_, index) => index + 1));
  assert.deepEqual(complaints, []);
});
