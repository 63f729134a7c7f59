// Tabs of a real browser that share one connection: what each asks for and watches goes on when the tab
// that has the connection is closed or frozen, and one that is gone leaves nothing behind.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { connect } from "tidekeep";
import type { Client } from "tidekeep";
import type { Browser, BrowserContext, Page } from "playwright-core";

import { launch, Origin } from "./browser.js";
import { Proxy } from "./proxy.js";
import { ServerProcess } from "./server.js";

let origin: Origin;
let server: ServerProcess;
let proxy: Proxy;
let outside: Client;
let browser: Browser;
let context: BrowserContext;

before(async () => {
  origin = await Origin.serve();
  server = await ServerProcess.start(undefined, "--allow-origin", origin.url);
  proxy = await Proxy.to(server.url);
  outside = connect(server.url);
  browser = await launch();
});

after(async () => {
  await browser.close();
  await outside.close();
  proxy.close();
  await server.stop();
  origin.close();
});

test.beforeEach(async () => {
  context = await browser.newContext();
});
test.afterEach(() => context.close());

/** Opens a page with a client that shares, and waits until it is served. */
async function openTab(name: string): Promise<Page> {
  const page = await context.newPage();
  page.on("pageerror", (error) => assert.fail(error));
  await page.goto(origin.url);
  await page.evaluate(`(async () => {
    const { connect } = await import("/index.js");
    const { tabs } = await import("/tabs.js");
    window.client = connect("${proxy.url}", {
      tabs: tabs({ name: ${JSON.stringify(name)} }),
      timeoutMs: 60_000,
      backoff: { minMs: 1, maxMs: 20 },
    });
    await client.ping();
    window.seen = [];
    window.followed = (range) => new Promise((live) => {
      const watch = client.watch(range);
      (async () => {
        for await (const event of watch) {
          if (event.type === "caught-up") live();
          if (event.type === "put") seen.push(event.entry.text());
          if (event.type === "reset") seen.push("reset");
        }
      })();
    });
  })()`);
  return page;
}

const numbers = (count: number) => Array.from({ length: count }, (_, at) => String(at));

test("two tabs share a connection, and the second goes on when the first is closed", async () => {
  const before = proxy.accepted;
  const first = await openTab("two");
  const second = await openTab("two");
  assert.equal(proxy.accepted - before, 1, "one connection for both");

  await first.evaluate(`client.put("two/k", "from the first")`);
  assert.equal(await second.evaluate(`client.get("two/k").then((e) => e.text())`), "from the first");
  const conflict = await second.evaluate(
    `client.put("two/k", "x", { ifAbsent: true }).catch((e) => [e.name, e.code, e.current.text()])`,
  );
  assert.deepEqual(conflict, ["TidekeepError", "conflict", "from the first"]);
  assert.equal(await second.evaluate("client.state"), "ready");
  assert.equal(typeof (await second.evaluate("client.server.storeId")), "string");

  await second.evaluate(`followed({ prefix: "two/n/" })`);
  for (const n of numbers(50)) {
    await outside.put(`two/n/${n}`, n);
    if (n === "20") await first.close();
  }
  await second.waitForFunction("seen.length >= 50");
  assert.deepEqual(await second.evaluate("seen"), numbers(50), "no gap, no repeat, no reset");
  assert.equal(proxy.accepted - before, 2, "one more connection, of the new leader");
  assert.equal(await second.evaluate(`client.get("two/k").then((e) => e.text())`), "from the first");
});

test("ten tabs lose their leader again and again: each increment counts once or is in doubt", async () => {
  const before = proxy.accepted;
  const pages: Page[] = [];
  for (let tab = 0; tab < 10; tab++) pages.push(await openTab("ten"));
  assert.equal(proxy.accepted - before, 1);
  for (const page of pages) {
    await page.evaluate(`(async () => {
      await followed({ key: "ten/n" });
      window.done = { applied: 0, unknown: 0, other: [] };
      window.over = false;
      (async () => {
        while (!over) {
          await client.increment("ten/n").then(
            () => done.applied++,
            (error) => {
              if (error.outcome === "unknown") done.unknown++;
              else done.other.push(String(error));
            },
          );
        }
        window.finished = true;
      })();
    })()`);
  }
  const closed = { applied: 0, unknown: 0 };
  for (let round = 0; round < 4; round++) {
    const leader = pages.shift()!;
    await leader.waitForFunction(`done.applied > ${20 * (round + 1)}`);
    const counts = (await leader.evaluate("done")) as typeof closed;
    closed.applied += counts.applied;
    // What it does until it is gone nobody knows.
    const late = Number((await outside.get("ten/n"))!.text());
    await leader.close();
    await pages[0]!.waitForFunction(`done.applied > ${20 * (round + 1)} && client.state === "ready"`);
    closed.unknown += Number((await outside.get("ten/n"))!.text()) - late;
  }
  let [applied, unknown] = [closed.applied, closed.unknown];
  for (const page of pages) {
    await page.evaluate("over = true");
    await page.waitForFunction("window.finished");
    const done = (await page.evaluate("done")) as { applied: number; unknown: number; other: string[] };
    assert.deepEqual(done.other, []);
    assert.ok(done.unknown <= 4, "at most the one that was under way at each change");
    applied += done.applied;
    unknown += done.unknown;
  }
  const total = Number((await outside.get("ten/n"))!.text());
  assert.ok(applied <= total && total <= applied + unknown, `${applied} ≤ ${total} ≤ +${unknown}`);
  for (const page of pages) {
    await page.waitForFunction(`seen.at(-1) === "${total}"`);
    const seen = ((await page.evaluate("seen")) as string[]).map(Number);
    const first = seen[0]!;
    assert.deepEqual(seen, Array.from({ length: total - first + 1 }, (_, at) => first + at));
  }
  assert.equal(proxy.accepted - before, 5, "one connection for each leader");
});

test("a frozen leader is replaced, and comes back as one of the others", async () => {
  const first = await openTab("frozen");
  const second = await openTab("frozen");
  await first.evaluate(`followed({ prefix: "frozen/" })`);
  await second.evaluate(`followed({ prefix: "frozen/" })`);
  await outside.put("frozen/a", "before");
  await second.waitForFunction("seen.length === 1");
  const before = proxy.accepted;
  const thaw = await origin.freeze(first);
  await outside.put("frozen/b", "meanwhile");
  await second.waitForFunction(`seen.includes("meanwhile")`);
  assert.equal(proxy.accepted, before + 1, "the second tab has a connection of its own");
  await second.evaluate(`client.put("frozen/c", "by the second")`);
  await thaw();
  assert.equal(await first.evaluate(`client.get("frozen/c").then((e) => e.text())`), "by the second");
  await first.waitForFunction(`seen.at(-1) === "by the second"`);
  assert.deepEqual(await first.evaluate("seen"), ["before", "meanwhile", "by the second"]);
  assert.deepEqual(await second.evaluate("seen"), ["before", "meanwhile", "by the second"]);
  assert.equal(proxy.accepted, before + 1);
  await proxy.untilOpen(1);
});

test("a leader that closes its client lets all calls of others settle first", async () => {
  const first = await openTab("leaving");
  const second = await openTab("leaving");
  await second.evaluate(`(async () => {
    window.done = [];
    window.all = Promise.all(Array.from({ length: 500 }, () =>
      client.increment("leaving/n").then(() => "applied", (error) => error.code))).then((d) => done = d);
  })()`);
  await first.evaluate("client.close()");
  await second.evaluate("all");
  assert.deepEqual([...new Set((await second.evaluate("done")) as string[])], ["applied"]);
  assert.equal((await outside.get("leaving/n"))!.text(), "500");
  assert.equal(await first.evaluate("client.state"), "closed");
  assert.equal(await second.evaluate("client.ping().then(() => client.state)"), "ready");
});

test("a tab that is gone leaves nothing behind: its watches and what it was there for", async () => {
  const first = await openTab("gone");
  const watches = async () => (await outside.status()).figures["watches"] ?? 0;
  const before = await watches();
  const second = await openTab("gone");
  await second.evaluate(`followed({ prefix: "gone/" })`);
  await second.evaluate(`client.put("gone/here", "", { session: true })`);
  assert.equal(await watches(), before + 1);
  const events = outside.watch({ key: "gone/here" });
  await events.next();
  await second.close();
  const { value } = await events.next();
  assert.equal(value?.type, "expire");
  assert.equal(await watches(), before + 1, "the one of this test alone");
  events.close();
  assert.equal(await first.evaluate("client.ping().then(() => client.state)"), "ready");
});

test("presence of a tab outlives the leader that kept the connection", async () => {
  const first = await openTab("presence");
  const second = await openTab("presence");
  await second.evaluate(`client.put("presence/here", "", { session: true })`);
  const events = outside.watch({ key: "presence/here" }, { content: true });
  await events.next();
  await events.next();
  await first.close();
  // More than the 10 s after which it would go by itself.
  await second.evaluate("new Promise((done) => setTimeout(done, 12_000))");
  await outside.put("presence/here", "still");
  const { value } = await events.next();
  assert.equal(value?.type, "put");
  events.close();
});

test("what the network does reaches every tab, and every watch goes on behind it", async () => {
  const first = await openTab("cut");
  const second = await openTab("cut");
  for (const page of [first, second]) {
    await page.evaluate(`followed({ prefix: "cut/" })`);
    await page.evaluate(`window.states = []; client.on("state", (s) => states.push(s))`);
  }
  await outside.put("cut/a", "0");
  proxy.refuse();
  for (const page of [first, second]) await page.waitForFunction(`states.includes("reconnecting")`);
  await outside.put("cut/b", "1");
  const late = second.evaluate(`client.put("cut/c", "2")`);
  proxy.restore();
  await late;
  for (const page of [first, second]) {
    await page.waitForFunction("seen.length >= 3");
    assert.deepEqual(await page.evaluate("seen"), ["0", "1", "2"]);
    assert.equal(await page.evaluate("client.state"), "ready");
  }
});
