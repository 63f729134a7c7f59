// Leases, locks, elections and presence against the real server, in Node with the package `ws`.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { connect, TidekeepError } from "tidekeep";
import type { Client, ConnectOptions, Lock, Watch, WatchEvent } from "tidekeep";

import { ServerProcess } from "./server.js";

let server: ServerProcess;
let client: Client;
let round = 0;
/** Keys of one test begin with this. */
let at = "";

const options: ConnectOptions = { backoff: { minMs: 10, maxMs: 100 } };

before(async () => {
  server = await ServerProcess.start();
  client = connect(server.url, options);
});

after(async () => {
  await client.close();
  await server.stop();
});

beforeEach(() => {
  at = `test-${round++}/`;
});

async function next(watch: Watch, ...types: WatchEvent["type"][]): Promise<WatchEvent> {
  for await (const event of { [Symbol.asyncIterator]: () => ({ next: () => watch.next() }) }) {
    if (types.includes(event.type)) return event;
  }
  throw new Error("the watch ended too early");
}

function lost(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(signal.reason));
  });
}

test("any lease is ended by its number, and its holder is told", async () => {
  const holder = connect(server.url, options);
  const lease = await holder.lease(1000);
  for (const key of ["a", "b"]) await holder.put(`${at}${key}`, "", { lease: lease.id });
  const told = lost(lease.signal);
  assert.equal(await client.revokeLease(lease.id), 2);
  assert.equal(await client.get(`${at}a`), undefined);
  await told;
  await assert.rejects(client.revokeLease(lease.id), { code: "not-found" });
  await holder.close();
});

test("a lease of a store of several groups has keys in any of them", async () => {
  const node = await ServerProcess.start(undefined, "--node-listen", "127.0.0.1:0", "cluster", "init", "--groups", "6");
  const member = connect(node.url, options);
  try {
    // Writes of other groups, so that a group's revision is no lease's number.
    await Promise.all(Array.from({ length: 20 }, (_, key) => member.put(`${at}${key}`, "")));
    const lease = await member.lease(10_000);
    await Promise.all(Array.from({ length: 20 }, (_, key) => member.put(`${at}${key}`, "", { lease: lease.id })));
    const [listed] = await member.leases();
    assert.deepEqual([listed?.lease, listed?.keys], [lease.id, 20]);
    await lease.revoke();
    assert.equal(await member.count({}), 0);
  } finally {
    await member.close();
    await node.stop();
  }
});

test("keys go with their lease, together, and it is kept alive until then", async () => {
  const lease = await client.lease(1500);
  await client.put(`${at}a`, "1", { lease: lease.id });
  await client.put(`${at}b`, "2", { lease: lease.id });
  assert.equal((await client.get(`${at}a`))?.lease, lease.id);
  const [first] = (await client.leases()).filter(({ lease: id }) => id === lease.id);
  assert.equal(first?.keys, 2);
  // Longer than the lease lives by itself.
  await lost(AbortSignal.timeout(3000));
  assert.equal(lease.signal.aborted, false);
  const [later] = (await client.leases()).filter(({ lease: id }) => id === lease.id);
  assert.ok(later!.expiresAt > first!.expiresAt + 1000);
  const watch = client.watch({ prefix: at });
  await next(watch, "caught-up");
  await lease.revoke();
  const a = await next(watch, "delete");
  const b = await next(watch, "delete");
  assert.ok(a.type === "delete" && b.type === "delete" && a.revision === b.revision);
  watch.close();
  await assert.rejects(client.put(`${at}c`, "", { lease: lease.id }), { code: "not-found" });
});

test("a holder is told that its lease is over", async () => {
  const lease = await client.lease(600);
  const told = lost(lease.signal);
  await server.kill();
  const error = await told;
  assert.ok(error instanceof TidekeepError, String(error));
  server = await ServerProcess.start(server);
});

test("a lock passes from holder to holder, and its number grows", async () => {
  const name = `${at}lock`;
  const first = await client.lock(name, { value: "first", ttlMs: 2000 });
  assert.equal((await client.get(name))?.text(), "first");
  const other = connect(server.url, options);
  let second: Lock | undefined;
  const waiting = other.lock(name, { value: "second", ttlMs: 2000 }).then((lock) => (second = lock));
  const stop = new AbortController();
  const givenUp = client.lock(name, { signal: stop.signal, ttlMs: 2000 });
  stop.abort(new Error("enough"));
  await assert.rejects(givenUp);
  assert.equal(second, undefined);
  await first.release();
  await waiting;
  assert.ok(second!.fencing > first.fencing);
  assert.equal((await client.get(name))?.text(), "second");
  await second!.release();
  assert.equal(await client.get(name), undefined);
  await other.close();
});

test("who leads is the key's value", async () => {
  const name = `${at}leader`;
  const watch = client.watch({ key: name }, { content: true });
  await next(watch, "caught-up");
  const leader = await client.elect(name, "node-1");
  const event = await next(watch, "put");
  assert.ok(event.type === "put" && event.entry.text() === "node-1");
  await leader.release();
  await next(watch, "delete");
  watch.close();
});

test("presence survives a reload without flapping, and ends with the client", async () => {
  const key = `${at}here`;
  const watch = client.watch({ prefix: at });
  await next(watch, "caught-up");
  const page = { ...options, sessionTtlMs: 1500 };
  const before = connect(server.url, page);
  await before.put(key, "tab", { session: true });
  const first = await next(watch, "put", "delete", "expire");
  // A reload: another client comes within the grace, before the old one's time is over.
  const lease = first.type === "put" ? first.entry.lease : undefined;
  const reloaded = connect(server.url, page);
  await reloaded.put(key, "tab", { session: true });
  const second = await next(watch, "put", "delete", "expire");
  assert.ok(second.type === "put" && second.entry.lease !== lease && second.entry.version === 2);
  // The old client's end takes nothing along.
  await before.close();
  await client.put(`${at}mark`, "");
  const mark = await next(watch, "put", "delete", "expire");
  assert.ok(mark.type === "put" && mark.key === `${at}mark`);
  await reloaded.close();
  const end = await next(watch, "delete", "expire");
  assert.ok(end.type === "delete" && end.key === key);
  watch.close();
});
