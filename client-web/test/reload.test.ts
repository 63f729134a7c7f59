// Presence of a real page: loaded again and again it stays present for everybody else, and it goes when
// the page is closed for good.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { connect } from "tidekeep";
import type { Client, Watch, WatchEvent } from "tidekeep";
import type { Browser } from "playwright-core";

import { launch, Origin } from "./browser.js";
import { ServerProcess } from "./server.js";

/** How long a page that is gone stays present. A reload takes less, on a busy machine too. */
const GRACE_MS = 4000;
const RELOADS = 3;

let origin: Origin;
let server: ServerProcess;
let client: Client;
let browser: Browser;

before(async () => {
  origin = await Origin.serve();
  server = await ServerProcess.start(undefined, "--allow-origin", origin.url);
  client = connect(server.url);
  browser = await launch();
});

after(async () => {
  await browser.close();
  await client.close();
  await server.stop();
  origin.close();
});

async function change(watch: Watch): Promise<WatchEvent> {
  for (;;) {
    const { value, done } = await watch.next();
    if (done) throw new Error("the watch ended too early");
    if (value.type !== "caught-up") return value;
  }
}

/** Waits until the server has ended a lease, which takes its time and no key along. */
async function ended(lease: number): Promise<void> {
  while ((await client.leases()).some(({ lease: id }) => id === lease)) {
    await client.ping();
  }
}

test("a page that is loaded again stays present, and goes when it is closed", { timeout: 60_000 }, async () => {
  const watch = client.watch({ prefix: "online/" }, { content: true });
  const page = await browser.newPage();
  // Runs in every document anew, as a page's own script does.
  await page.addInitScript(`(async () => {
    const { connect } = await import("/index.js");
    const client = connect("${server.url.replace("http", "ws")}/ws", { sessionTtlMs: ${GRACE_MS} });
    await client.put("online/tab", "", { session: true });
  })()`);
  await page.goto(origin.url);
  const leases: number[] = [];
  for (let load = 1; load <= 1 + RELOADS; load++) {
    const event = await change(watch);
    assert.ok(event.type === "put", `load ${load}: ${event.type}`);
    assert.equal(event.entry.version, load, "the key was there all the while");
    assert.ok(event.entry.lease && !leases.includes(event.entry.lease));
    leases.push(event.entry.lease);
    if (load <= RELOADS) await page.reload();
  }

  // The documents that are gone have left leases, whose ends nobody sees.
  const last = leases.pop()!;
  for (const lease of leases) await ended(lease);
  await client.put("online/mark", "");
  const mark = await change(watch);
  assert.ok(mark.type === "put" && mark.key === "online/mark", `${mark.type} came before the mark`);
  assert.equal((await client.get("online/tab"))?.lease, last);

  const closed = Date.now();
  await page.close();
  const end = await change(watch);
  const after = Date.now() - closed;
  assert.ok(end.type === "expire" && end.key === "online/tab", end.type);
  assert.ok(after <= GRACE_MS + 2000, `gone after ${after} ms`);
  watch.close();
});
