// Views, the offline queue and what outlives the page, in a real browser: nothing is lost, nothing done
// twice and everything shown as it is, whatever happens to network, page and module.

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
  const flags = ["--allow-origin", origin.url, "--heartbeat-ms", "2000"];
  server = await ServerProcess.start(undefined, ...flags);
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

/** Opens a page, or loads one again, with a client whose queue and views outlive it. */
async function openPage(identity: string, options = "{}", again?: Page): Promise<Page> {
  const page = again ?? (await context.newPage());
  if (!again) page.on("pageerror", (error) => assert.fail(error));
  await page.goto(origin.url);
  await page.evaluate(`(async () => {
    const { connect } = await import("/index.js");
    const { indexedDb } = await import("/offline.js");
    const { tabs } = await import("/tabs.js");
    const name = ${JSON.stringify(identity)};
    window.problems = [];
    window.ends = [];
    window.client = connect("${proxy.url}", {
      offline: { storage: indexedDb(), identity: name },
      timeoutMs: 60_000,
      backoff: { minMs: 1, maxMs: 20 },
      ...(({ tabs, name }) => (${options}))({ tabs, name }),
    });
    client.on("storage", (error) => problems.push(String(error)));
    client.queue.on("settled", ({ mutation, error, local }) =>
      ends.push({ key: mutation.key, code: error?.code ?? "applied", local }));
    window.shown = (view) => Object.fromEntries(
      [...view].map((entry) => [entry.key, entry.text() + (entry.optimistic ? "*" : "")]));
    window.until = async (view, holds) => {
      for await (const snapshot of view) if (holds(snapshot)) return snapshot.size;
    };
    window.drained = () => new Promise((done) => {
      const look = () => client.queue.info.waiting === 0 && done();
      client.queue.on("change", look);
      client.ping().then(look);
    });
  })()`);
  return page;
}

test("a mutation shows at once, settles, and a conflict rolls back and is reported", async () => {
  const page = await openPage("shows");
  await outside.put("s/a", "1");
  await outside.put("s/b", "1");
  await page.evaluate(`(async () => {
    window.view = client.view({ prefix: "s/" });
    await until(view, ({ freshness }) => freshness === "fresh");
    window.conflicts = [];
    client.queue.on("conflict", ({ mutation, error, local }) => conflicts.push(
      [mutation.key, new TextDecoder().decode(mutation.value), error.current?.text(), local]));
  })()`);
  assert.deepEqual(await page.evaluate("shown(view)"), { "s/a": "1", "s/b": "1" });

  await context.setOffline(true);
  proxy.refuse();
  await page.waitForFunction(`view.freshness === "stale"`);
  const offline = await page.evaluate(`(async () => {
    const revision = view.get("s/a").revision;
    window.made = [
      client.queue.put("s/a", "mine", { ifRevision: revision }),
      client.queue.put("s/b", "2"),
      client.queue.put("s/b", "3"),
      client.queue.delete("s/c"),
      client.queue.put("s/d", "new"),
      client.queue.increment("s/n", 2),
    ];
    await Promise.all(made.map(({ stored }) => stored));
    return { shown: shown(view), info: client.queue.info, list: (await client.queue.list()).map((m) => [m.op, m.key]),
      freshness: [view.freshnessOf("s/a"), view.freshnessOf("s/x"), view.optimistic] };
  })()`);
  const { shown, info, list, freshness } = offline as {
    shown: object;
    info: { waiting: number; durable: boolean };
    list: string[][];
    freshness: unknown[];
  };
  const optimistic = { "s/a": "mine*", "s/b": "3*", "s/d": "new*", "s/n": "2*" };
  assert.deepEqual(shown, optimistic);
  assert.deepEqual(freshness, ["optimistic", "stale", 5]);
  assert.equal(info.waiting, 6);
  assert.equal(info.durable, true);
  assert.deepEqual(list, [
    ["put", "s/a"], ["put", "s/b"], ["put", "s/b"], ["delete", "s/c"], ["put", "s/d"], ["increment", "s/n"],
  ]);

  await outside.put("s/a", "theirs");
  await context.setOffline(false);
  proxy.restore();
  const outcomes = await page.evaluate(
    `Promise.all(made.map(({ settled }) => settled.then(() => "applied", (e) => e.code)))`,
  );
  assert.deepEqual(outcomes, ["conflict", "applied", "applied", "applied", "applied", "applied"]);
  await page.evaluate(`until(view, ({ freshness, optimistic }) => freshness === "fresh" && !optimistic)`);
  const settled = { "s/a": "theirs", "s/b": "3", "s/d": "new", "s/n": "2" };
  assert.deepEqual(await page.evaluate("shown(view)"), settled);
  assert.deepEqual(await page.evaluate("conflicts"), [["s/a", "mine", "theirs", true]]);
  assert.deepEqual(await page.evaluate("problems"), []);
});

test("a queue of 500 writes: a reload in the middle, each applied once, in the order of its key", async () => {
  const page = await openPage("reload");
  const watch = outside.watch({ prefix: "r/" });
  await watch.next();
  await context.setOffline(true);
  proxy.refuse();
  await page.evaluate(`(async () => {
    const made = [];
    for (let n = 0; n < 500; n++) {
      made.push(n % 5 === 0
        ? client.queue.increment("r/count")
        : client.queue.put("r/" + (n % 50), String(n)));
    }
    await Promise.all(made.map(({ stored }) => stored));
  })()`);
  // The page goes while the queue is being sent.
  await context.setOffline(false);
  proxy.restore();
  await page.waitForFunction(`ends.length >= 100`);
  const early = (await page.evaluate("ends.length")) as number;
  assert.ok(early < 500, `${early} of 500 had settled`);
  await openPage("reload", "{}", page);
  await page.evaluate("drained()");
  assert.equal((await page.evaluate(`client.queue.list()`) as unknown[]).length, 0);
  const ends = (await page.evaluate("ends")) as { code: string; local: boolean }[];
  assert.ok(ends.length > 0 && ends.length <= 500);
  assert.deepEqual([...new Set(ends.map(({ code, local }) => `${code} ${local}`))], ["applied false"]);

  assert.equal((await outside.get("r/count"))?.text(), "100", "each increment once");
  const seen = new Map<string, number[]>();
  for (let left = 500; left > 0; ) {
    const { value } = await watch.next();
    // On a busy machine this watch may have been resumed.
    if (value?.type === "caught-up") continue;
    assert.ok(value?.type === "put");
    left--;
    if (value.key !== "r/count") seen.set(value.key, [...(seen.get(value.key) ?? []), Number(value.entry.text())]);
  }
  watch.close();
  assert.equal(seen.size, 40);
  for (const [key, values] of seen) {
    const expected = Array.from({ length: 10 }, (_, at) => Number(key.slice(2)) + 50 * at);
    assert.deepEqual(values, expected, `order of ${key}`);
  }
});

for (const options of ["{}", `{ tabs: tabs({ name: "left" }) }`]) {
  test(`a conflict of what an earlier page left tells the value that it would have put: ${options}`, async () => {
    const key = `left/${options.length}`;
    const page = await openPage(key, options);
    proxy.refuse();
    await page.evaluate(`client.queue.put("${key}", "mine", { ifAbsent: true }).stored`);
    await outside.put(key, "theirs");
    await openPage(key, options, page);
    await page.evaluate(`void (window.conflict = new Promise((tell) => client.queue.on("conflict",
      ({ mutation, local }) => tell([mutation.key, new TextDecoder().decode(mutation.value), local]))))`);
    proxy.restore();
    assert.deepEqual(await page.evaluate("conflict"), [key, "mine", false]);
  });
}

test("a network that swallows everything: what is queued meanwhile arrives once", async () => {
  const page = await openPage("swallowed");
  await page.evaluate(`(async () => {
    window.view = client.view({ prefix: "b/" });
    await until(view, ({ freshness }) => freshness === "fresh");
  })()`);
  for (let round = 0; round < 2; round++) {
    proxy.swallow();
    await page.evaluate(`for (let n = 0; n < 20; n++) client.queue.increment("b/n");`);
    await page.waitForFunction(`view.freshness === "stale"`);
    assert.equal(await page.evaluate(`shown(view)["b/n"]`), `${20 * (round + 1)}*`);
    await page.evaluate(`for (let n = 0; n < 20; n++) client.queue.increment("b/m${round}");`);
    proxy.restore();
    await page.evaluate("drained()");
    assert.equal((await outside.get("b/n"))?.text(), String(20 * (round + 1)));
    assert.equal((await outside.get(`b/m${round}`))?.text(), "20");
    await page.evaluate(`until(view, ({ freshness, optimistic }) => freshness === "fresh" && !optimistic)`);
  }
});

test("a warm start shows what was there at once, and pays for what has changed alone", async () => {
  const value = "v".repeat(1000);
  const pages = Array.from({ length: 40 }, (_, page) => page);
  for (const page of pages) {
    const txn = outside.txn();
    for (let n = 0; n < 50; n++) txn.then({ op: "put", key: `w/${page}-${n}`, value });
    await txn.commit();
  }
  const view = `(async () => {
    window.view = client.view({ prefix: "w/" }, { persist: true });
    await view.ready();
    window.first = [view.freshness, view.size];
    await until(view, ({ freshness }) => freshness === "fresh");
  })()`;
  let before = proxy.down;
  const page = await openPage("warm");
  await page.evaluate(view);
  const cold = proxy.down - before;
  assert.ok(cold > 2000 * 1000, `${cold} bytes for two megabytes of values`);
  await page.goto("about:blank");
  await outside.put("w/3-3", "changed");
  await outside.delete("w/4-4");

  before = proxy.down;
  await openPage("warm", "{}", page);
  await page.evaluate(view);
  const warm = proxy.down - before;
  assert.deepEqual(await page.evaluate("first"), ["stale", 2000]);
  assert.equal(await page.evaluate("view.size"), 1999);
  assert.equal(await page.evaluate(`view.get("w/3-3").text()`), "changed");
  assert.equal(await page.evaluate(`view.get("w/4-4") === undefined`), true);
  assert.ok(warm < 4000, `${warm} bytes for two changes`);
  console.log(`suite: page warm start: ${cold} bytes cold, ${warm} bytes warm`);
});

test("tabs share queue and views, and go on with both when their leader is closed", async () => {
  const share = "{ tabs: tabs({ name }) }";
  const first = await openPage("tabs", share);
  await first.evaluate("client.ping()");
  const second = await openPage("tabs", share);
  const before = proxy.accepted;
  for (const page of [first, second]) {
    await page.evaluate(`(async () => {
      window.view = client.view({ prefix: "t/" });
      await until(view, ({ freshness }) => freshness === "fresh");
    })()`);
  }
  await second.evaluate(`client.queue.put("t/a", "by the second").settled`);
  await first.waitForFunction(`view.get("t/a")?.text() === "by the second"`);
  proxy.refuse();
  await second.waitForFunction(`view.freshness === "stale"`);
  await second.evaluate(`(async () => {
    window.made = [];
    for (let n = 0; n < 50; n++) made.push(client.queue.increment("t/n"));
    await Promise.all(made.map(({ stored }) => stored));
  })()`);
  await first.waitForFunction(`view.get("t/n")?.text() === "50" && view.get("t/n").optimistic`);
  await first.close();
  await second.waitForFunction(`client.state !== "ready"`);
  assert.equal(await second.evaluate(`view.get("t/n").text()`), "50", "shows all the time");
  proxy.restore();
  const codes = await second.evaluate(
    `Promise.all(made.map(({ settled }) => settled.then(() => "applied", (e) => e.code)))`,
  );
  assert.deepEqual([...new Set(codes as string[])], ["applied"]);
  await second.evaluate(`until(view, ({ freshness, optimistic }) => freshness === "fresh" && !optimistic)`);
  assert.deepEqual(await second.evaluate("shown(view)"), { "t/a": "by the second", "t/n": "50" });
  assert.equal((await outside.get("t/n"))?.text(), "50");
  assert.equal(proxy.accepted, before + 1);
  assert.deepEqual(await second.evaluate("problems"), []);
});

test("a second page that does not share works with a queue in memory, and is told so", async () => {
  const first = await openPage("alone");
  await first.evaluate("client.ping()");
  const second = await openPage("alone");
  await second.evaluate(`client.queue.put("alone", "by the second").settled`);
  assert.equal(await second.evaluate("client.queue.info.durable"), false);
  assert.match(String(await second.evaluate("problems[0]")), /another page has it open/);
  assert.equal((await outside.get("alone"))?.text(), "by the second");
});

test("what does not fit the disk is refused, rolled back and told, and the rest goes on", async () => {
  const page = await context.newPage();
  await page.goto(origin.url);
  const devtools = await context.newCDPSession(page);
  const quota = (quotaSize?: number) =>
    devtools.send("Storage.overrideQuotaForOrigin", { origin: origin.url, quotaSize });
  await quota(1 << 20);
  await openPage("full", "{}", page);
  await page.evaluate(`(async () => {
    window.view = client.view({ prefix: "f/" });
    await until(view, ({ freshness }) => freshness === "fresh");
  })()`);
  proxy.refuse();
  const told = await page.evaluate(`(async () => {
    // What cannot be made smaller: the browser compresses.
    const noise = () => {
      const bytes = new Uint8Array(900_000);
      for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
      return bytes;
    };
    const small = client.queue.put("f/small", "fits");
    await small.stored;
    const made = [1, 2, 3, 4].map((n) => client.queue.put("f/" + n, noise()));
    const codes = await Promise.all(made.map(({ stored }) => stored.then(() => "stored", (e) => e.code)));
    return { codes: [...new Set(codes)], shown: shown(view), problem: problems[0] };
  })()`);
  const { codes, shown, problem } = told as { codes: string[]; shown: object; problem: string };
  assert.deepEqual(codes, ["storage"]);
  assert.deepEqual(shown, { "f/small": "fits*" }, "what was refused shows no more");
  assert.match(problem, /Quota/);
  await quota();
  proxy.restore();
  await page.evaluate(`client.queue.put("f/later", "fits again").settled`);
  await page.evaluate(`until(view, ({ freshness, optimistic }) => freshness === "fresh" && !optimistic)`);
  assert.deepEqual(await page.evaluate("shown(view)"), { "f/later": "fits again", "f/small": "fits" });
});

test("a trap amid it all: views begin again, and what was stored is applied once", async () => {
  await context.addInitScript(`(() => {
    const { instantiate } = WebAssembly;
    WebAssembly.instantiate = async (...given) => {
      const instance = await instantiate(...given);
      window.wasm = instance.exports.memory;
      return instance;
    };
  })()`);
  const page = await openPage("trap");
  await outside.put("x/a", "1");
  await page.evaluate(`(async () => {
    window.watch = client.watch({ prefix: "x/" });
    await watch.next();
    window.watching = watch.next();
    watching.catch(() => {});
    window.view = client.view({ prefix: "x/" });
    await until(view, ({ freshness }) => freshness === "fresh");
  })()`);
  proxy.refuse();
  await page.evaluate(`(async () => {
    window.made = [];
    for (let n = 0; n < 30; n++) made.push(client.queue.increment("x/n"));
    await Promise.all(made.map(({ stored }) => stored));
  })()`);
  // All memory that a module can have is taken, so that it traps when it asks for more.
  const code = await page.evaluate(`(async () => {
    wasm.grow(65536 - wasm.buffer.byteLength / 65536);
    const struck = await client.put("x/big", new Uint8Array(900_000)).catch((error) => error);
    const told = await watching.catch((error) => error);
    const traps = told.cause instanceof WebAssembly.RuntimeError;
    return traps && told.code === struck.code ? struck.code : String(told.cause);
  })()`);
  assert.equal(code, "internal");
  proxy.restore();
  const codes = await page.evaluate(
    `Promise.all(made.map(({ settled }) => settled.then(() => "applied", (e) => e.code)))`,
  );
  assert.deepEqual([...new Set(codes as string[])], ["applied"]);
  await outside.put("x/b", "later");
  await page.evaluate(`until(view, (view) => view.get("x/b") && !view.optimistic)`);
  // A watch ends as everything pending does, and another one goes on behind it.
  const events = await page.evaluate(`(async () => {
    const events = [];
    for await (const event of client.watch({ prefix: "x/" }, { cursor: watch.cursor })) {
      if (event.type === "put") events.push(event.key);
      if (event.key === "x/b") return events;
    }
  })()`);
  assert.deepEqual(events, [...Array.from({ length: 30 }, () => "x/n"), "x/b"]);
  assert.deepEqual(await page.evaluate("shown(view)"), { "x/a": "1", "x/b": "later", "x/n": "30" });
  assert.equal((await outside.get("x/n"))?.text(), "30");
});
