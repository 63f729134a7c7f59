// The package against the real server, in Node with the package `ws`: every operation, and what
// becomes of a client whose server is killed.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { connect, TidekeepError } from "tidekeep";
import type { Client, Entry, Watch, WatchEvent } from "tidekeep";

import { ServerProcess } from "./server.js";

let server: ServerProcess;
let client: Client;
let round = 0;
/** Keys of one test begin with this. */
let at = "";

before(async () => {
  server = await ServerProcess.start();
  client = connect(server.url, { backoff: { minMs: 10, maxMs: 100 } });
});

after(async () => {
  await client.close();
  await server.stop();
});

beforeEach(() => {
  at = `test-${round++}/`;
});

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof TidekeepError) return error.code;
    throw error;
  }
  return "no failure";
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function until(watch: Watch, wanted: (event: WatchEvent) => boolean): Promise<WatchEvent[]> {
  const seen: WatchEvent[] = [];
  for (;;) {
    const { value, done } = await watch.next();
    assert.ok(!done, "the watch ended too early");
    seen.push(value);
    if (wanted(value)) return seen;
  }
}

async function killAndRestart(): Promise<void> {
  await server.kill();
  server = await ServerProcess.start(server);
}

const caughtUp = (event: WatchEvent) => event.type === "caught-up";

test("an entry comes back as it was put", async () => {
  const { revision } = await client.put(`${at}a`, "John Doe");
  const entry = await client.get(`${at}a`);
  assert.equal(entry?.key, `${at}a`);
  assert.equal(entry?.text(), "John Doe");
  assert.equal(entry?.revision, revision);
  assert.equal(entry?.created, revision);
  assert.equal(entry?.version, 1);
  assert.equal(entry?.expiresAt, undefined);
  assert.equal(await client.get(`${at}b`), undefined);
});

test("keys and values are bytes", async () => {
  const key = new Uint8Array([...new TextEncoder().encode(at), 0xff, 0, 0x80]);
  const value = Uint8Array.from({ length: 300 }, (_, index) => index);
  await client.put(key, value);
  const entry = await client.get(key);
  assert.deepEqual(entry?.keyBytes, key);
  assert.deepEqual(entry?.value, value);
  await client.put(`${at}j`, JSON.stringify({ n: [1, 2], s: "ä" }));
  assert.deepEqual((await client.get(`${at}j`))?.json(), { n: [1, 2], s: "ä" });
});

test("large values cross in chunks", async () => {
  const value = new Uint8Array(1 << 20).fill(7);
  await client.put(`${at}large`, value);
  const entry = await client.get(`${at}large`);
  assert.equal(Buffer.compare(entry!.value, value), 0);
  assert.equal(await code(client.put(`${at}larger`, new Uint8Array((1 << 20) + 1))), "too-large");
  assert.equal(await code(client.put("k".repeat(1025), "")), "too-large");
  assert.equal(await code(client.put("", "")), "invalid-input");
});

test("conditions hold or are conflicts", async () => {
  const first = await client.put(`${at}a`, "1", { ifAbsent: true });
  assert.equal(await code(client.put(`${at}a`, "2", { ifAbsent: true })), "conflict");
  assert.equal(await code(client.put(`${at}b`, "2", { ifPresent: true })), "conflict");
  const second = await client.put(`${at}a`, "2", { ifRevision: first.revision, previous: true });
  assert.equal(second.previous?.text(), "1");
  const error: unknown = await client.put(`${at}a`, "3", { ifValue: "1" }).catch((error) => error);
  assert.ok(error instanceof TidekeepError);
  assert.equal(error.outcome, "not-applied");
  assert.equal(error.current?.text(), "2");
  assert.equal(error.current?.revision, second.revision);
  assert.equal(await code(client.delete(`${at}a`, { ifRevision: first.revision })), "conflict");
});

test("delete says whether there was something", async () => {
  await client.put(`${at}a`, "1");
  const gone = await client.delete(`${at}a`, { previous: true });
  assert.equal(gone.deleted, true);
  assert.equal(gone.previous?.text(), "1");
  assert.equal((await client.delete(`${at}a`)).deleted, false);
});

test("a key ends when its time is over, and touch moves it", async () => {
  await client.put(`${at}a`, "1", { ttlMs: 60_000 });
  const entry = await client.get(`${at}a`);
  const left = entry!.expiresAt! - client.serverTime();
  assert.ok(left > 50_000 && left <= 60_050, `${left} ms left`);
  await client.put(`${at}a`, "2", { keepTtl: true });
  assert.equal((await client.get(`${at}a`))?.expiresAt, entry?.expiresAt);
  const touched = await client.touch(`${at}a`, { expiresAt: new Date(entry!.expiresAt! + 1000) });
  assert.equal(touched?.expiresAt, entry!.expiresAt! + 1000);
  assert.equal((await client.touch(`${at}a`))?.expiresAt, undefined);
  assert.equal(await client.touch(`${at}none`), undefined);
  assert.equal(await code(client.touch(`${at}a`, { ifAbsent: true })), "conflict");
  await using watch = client.watch({ key: `${at}a` }, { previous: true });
  await until(watch, caughtUp);
  await client.touch(`${at}a`, { ttlMs: 30 });
  const events = await until(watch, (event) => event.type === "expire");
  const expired = events.at(-1);
  assert.ok(expired?.type === "expire" && expired.previous?.text() === "2");
  assert.equal(await client.get(`${at}a`), undefined);
});

test("increment counts from zero and refuses what is no number", async () => {
  assert.equal((await client.increment(`${at}n`)).value, 1);
  assert.equal((await client.increment(`${at}n`, 41)).value, 42);
  assert.equal((await client.increment(`${at}n`, -50)).value, -8);
  assert.equal((await client.get(`${at}n`))?.text(), "-8");
  await client.put(`${at}s`, "seven");
  assert.equal(await code(client.increment(`${at}s`)), "invalid-input");
});

test("scans go forth and back, in pages, by keys, and count", async () => {
  const names = Array.from({ length: 250 }, (_, index) => `${at}${String(index).padStart(3, "0")}`);
  await Promise.all(names.map((name) => client.put(name, name)));
  const range = { prefix: at };
  const keys = (entries: Entry[]) => entries.map(({ key }) => key);
  assert.deepEqual(keys(await collect(client.scan(range, { pageSize: 33 }))), names);
  const back = client.scan(range, { reverse: true, pageSize: 100, keysOnly: true });
  const reversed = await back.toArray(250);
  assert.deepEqual(keys(reversed), names.toReversed?.() ?? [...names].reverse());
  assert.equal(reversed[0]?.value.length, 0);
  assert.equal((await client.scan(range, { limit: 7 }).toArray(10)).length, 7);
  assert.equal(await code(client.scan(range).toArray(249)), "too-large");
  assert.equal(await client.count(range), 250);
  assert.equal(await client.count(range, { limit: 5 }), 5);
  const part = client.scan({ start: names[10]!, end: names[13]! });
  assert.deepEqual(keys(await part.toArray(10)), names.slice(10, 13));
  const scan = client.scan(range, { pageSize: 200 });
  const first = await scan.page();
  const second = await scan.page(first.after);
  assert.equal(first.items.length + second.items.length, 250);
  assert.equal(second.after, undefined);
});

test("children are what stands directly below a prefix", async () => {
  for (const key of ["a", "a/1", "a/2", "b/x/y", "c"]) await client.put(`${at}${key}`, "");
  const children = await collect(client.children(at, "/", { pageSize: 2 }));
  assert.deepEqual(
    children.map(({ name, branch }) => [name, branch]),
    [["a", false], ["a/", true], ["b/", true], ["c", false]],
  );
  assert.equal(Buffer.from(children[2]!.keyBytes).toString(), `${at}b/`);
});

test("deleteRange removes a range and nothing else", async () => {
  await Promise.all(["a/1", "a/2", "a/3", "b"].map((key) => client.put(`${at}${key}`, "")));
  assert.equal((await client.deleteRange({ prefix: `${at}a/` })).deleted, 3);
  assert.deepEqual((await collect(client.scan({ prefix: at }))).map(({ key }) => key), [`${at}b`]);
});

test("a transaction compares, then does all of it or nothing", async () => {
  const [ada, grace] = [`${at}ada`, `${at}grace`];
  await client.put(ada, "100");
  const done = await client
    .txn()
    .when(ada, { ifValue: "100" })
    .when(grace, { ifAbsent: true })
    .then(
      { op: "increment", key: ada, by: -30 },
      { op: "put", key: grace, value: "30", previous: true },
      { op: "get", key: ada },
      { op: "touch", key: grace, ttlMs: 60_000 },
      { op: "deleteRange", range: { prefix: `${at}none` } },
    )
    .else({ op: "get", key: ada })
    .commit();
  assert.equal(done.succeeded, true);
  const [increment, put, get, touch, range] = done.results;
  assert.ok(increment?.op === "increment" && increment.value === 70);
  assert.ok(put?.op === "put" && put.previous === undefined && put.revision === done.revision);
  assert.ok(get?.op === "get" && get.entry?.text() === "70");
  assert.ok(touch?.op === "touch" && touch.touched?.expiresAt !== undefined);
  assert.ok(range?.op === "deleteRange" && range.deleted === 0 && !range.more);
  const not = await client
    .txn()
    .when(ada, { ifValue: "100" })
    .then({ op: "delete", key: ada })
    .else({ op: "get", key: ada })
    .commit();
  assert.equal(not.succeeded, false);
  assert.ok(not.results[0]?.op === "get" && not.results[0].entry?.text() === "70");
  const undone = client
    .txn()
    .then({ op: "put", key: ada, value: "0" }, { op: "delete", key: grace, ifAbsent: true });
  assert.equal(await code(undone.commit()), "conflict");
  assert.equal((await client.get(ada))?.text(), "70");
});

test("a watch shows the content, then every change of the range in order", async () => {
  await client.put(`${at}a`, "1");
  await client.put(`${at}b`, "2");
  await using watch = client.watch({ prefix: at }, { content: true, previous: true });
  const content = await until(watch, caughtUp);
  assert.deepEqual(
    content.map((event) => (event.type === "entry" ? event.entry.key : event.type)),
    [`${at}a`, `${at}b`, "caught-up"],
  );
  await client.put("elsewhere", "x");
  await client.put(`${at}a`, "3");
  await client
    .txn()
    .then({ op: "delete", key: `${at}b` }, { op: "put", key: `${at}c`, value: "4" })
    .commit();
  const [put, removed, added] = await until(watch, ({ type, ...event }) =>
    type === "put" && "key" in event && event.key === `${at}c`,
  );
  assert.ok(put?.type === "put" && put.entry.text() === "3" && put.previous?.text() === "1");
  assert.ok(removed?.type === "delete" && removed.previous?.text() === "2");
  assert.ok(added?.type === "put" && added.revision === removed.revision);
});

test("a watch takes up where an earlier one was left", async () => {
  const first = client.watch({ prefix: at });
  await until(first, caughtUp);
  await client.put(`${at}a`, "1");
  await until(first, ({ type }) => type === "put");
  const { cursor } = first;
  first.close();
  await client.put(`${at}b`, "2");
  await client.put(`${at}c`, "3");
  await using second = client.watch({ prefix: at }, { cursor: cursor! });
  const seen = await until(second, (event) => event.type === "put" && event.key === `${at}c`);
  assert.deepEqual(seen.flatMap((event) => (event.type === "put" ? [event.key] : [])), [`${at}b`, `${at}c`]);
});

test("a watch of the latest gets one change of a key that was written many times", async () => {
  const first = client.watch({ prefix: at });
  await until(first, caughtUp);
  const { cursor } = first;
  first.close();
  for (let n = 1; n <= 50; n++) await client.put(`${at}a`, String(n));
  await using second = client.watch({ prefix: at }, { cursor: cursor!, latest: true });
  const seen = await until(second, caughtUp);
  const values = seen.flatMap((event) => (event.type === "put" ? [event.entry.text()] : []));
  assert.deepEqual(values, ["50"]);
});

test("two clients see each other's writes", async () => {
  await using other = connect(server.url);
  await using watch = other.watch({ prefix: at });
  await until(watch, caughtUp);
  await client.put(`${at}name`, "John Doe");
  const [event] = await until(watch, () => true);
  assert.ok(event?.type === "put" && event.entry.text() === "John Doe");
});

test("status and ping answer", async () => {
  const status = await client.status();
  assert.match(status.software, /^tidekeep-server/);
  assert.equal(status.durability, "always");
  assert.ok(status.figures["keys"]! > 0);
  assert.ok((await client.ping()) < 5000);
});

test("a client survives its server's death: nothing lost, watches without gap or repeat", async () => {
  const count = 200;
  await using watch = client.watch({ prefix: at });
  await until(watch, caughtUp);
  const seen: string[] = [];
  const watching = (async () => {
    for await (const event of watch) {
      assert.notEqual(event.type, "reset");
      if (event.type !== "put") continue;
      seen.push(event.key);
      if (event.key === `${at}last`) return;
    }
  })();
  const acknowledged: string[] = [];
  const unknown: string[] = [];
  for (let index = 0; index < count; index++) {
    const key = `${at}${index}`;
    try {
      await Promise.all([
        client.put(key, String(index)),
        index === count / 2 ? killAndRestart() : undefined,
      ]);
      acknowledged.push(key);
    } catch (error) {
      assert.ok(error instanceof TidekeepError && error.outcome === "unknown", String(error));
      unknown.push(key);
    }
  }
  await client.put(`${at}last`, "");
  await watching;
  assert.ok(unknown.length <= 1);
  const there = new Set((await collect(client.scan({ prefix: at }))).map(({ key }) => key));
  for (const key of acknowledged) assert.ok(there.has(key), `${key} was acknowledged`);
  assert.equal(new Set(seen).size, seen.length, "a change was repeated");
  assert.deepEqual(new Set(seen), there);
});
