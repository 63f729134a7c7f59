// The server for tests of programs (`tidekeep/testing`), held to the real one: what a client can ask
// for is asked of both, and both must say the same.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect, TidekeepError } from "tidekeep";
import type { Client, WatchEvent } from "tidekeep";
import { MemoryServer } from "tidekeep/testing";

import { ServerProcess } from "./server.js";

const EPOCH = /^\d{13}$/;

/** Makes what differs from run to run the same. */
function settled(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, item) => {
      if (item instanceof TidekeepError) {
        const { code, outcome, retryable, current } = item;
        return { code, outcome, retryable, current };
      }
      if (item instanceof Uint8Array) return [...item];
      if (typeof item === "number" && EPOCH.test(String(item))) return "a time";
      return item;
    }),
  );
}

const failure = (promise: Promise<unknown>) => promise.then(() => "no failure", (error) => error);

/** Everything a client can ask for, one after the other. */
async function everything(client: Client): Promise<unknown[]> {
  const said: unknown[] = [];
  const say = async (asked: Promise<unknown>) => said.push(await asked);
  const bytes = new Uint8Array([0, 255, 128, 10]);
  await say(client.get("none"));
  await say(client.put("a", "1"));
  await say(client.put("a", bytes, { previous: true }));
  await say(client.get("a"));
  await say(failure(client.put("a", "x", { ifAbsent: true })));
  await say(failure(client.put("b", "x", { ifPresent: true })));
  await say(failure(client.put("a", "x", { ifRevision: 1 })));
  await say(client.put("a", "y", { ifRevision: 2 }));
  await say(client.put("a", "z", { ifValue: "y", previous: true }));
  await say(failure(client.put("", "x")));
  await say(client.delete("none"));
  await say(failure(client.delete("none", { ifPresent: true })));
  await say(failure(client.delete("a", { ifRevision: 1 })));
  await say(client.delete("a", { previous: true }));
  await say(client.increment("n", 5));
  await say(client.increment("n", -7));
  await say(client.get("n"));
  await say(failure(client.put("text", "no number").then(() => client.increment("text"))));
  await say(client.touch("none"));
  await say(client.touch("n", { ttlMs: 60_000 }));
  await say(failure(client.touch("n", { ifAbsent: true })));
  await say(client.put("n", "0", { keepTtl: true }));
  await say(client.get("n"));
  for (const key of ["dir/a", "dir/b/1", "dir/b/2", "dir/c", "dir/c/x", "dirt", "ÿ"]) {
    await client.put(key, key);
  }
  await say(client.scan({ prefix: "dir/" }).toArray(10));
  await say(client.scan({ prefix: "dir/" }, { reverse: true, limit: 2 }).page());
  await say(client.scan({ start: "dir/b", end: "dir/c" }, { keysOnly: true }).toArray(10));
  await say(client.scan({}, { pageSize: 2 }).toArray(20));
  await say(client.count({ prefix: "dir/" }));
  await say(client.count({}, { limit: 3 }));
  await say(client.children("dir/").toArray(10));
  await say(client.children("", "/", { pageSize: 1 }).toArray(10));
  await say(client.deleteRange({ prefix: "dir/b/" }));
  await say(client.deleteRange({ prefix: "nothing/" }));
  await say(
    client
      .txn()
      .when("dir/a", { ifPresent: true })
      .when("dir/q", { ifAbsent: true })
      .then(
        { op: "put", key: "dir/q", value: "1", previous: true },
        { op: "increment", key: "dir/q", by: 4 },
        { op: "get", key: "dir/q" },
        { op: "touch", key: "dir/q", ttlMs: 60_000 },
        { op: "delete", key: "dir/a", previous: true },
        { op: "deleteRange", range: { prefix: "dirt" } },
      )
      .else({ op: "get", key: "dir/a" })
      .commit(),
  );
  await say(
    client
      .txn()
      .when("dir/a", { ifPresent: true })
      .then({ op: "put", key: "dir/a", value: "no" }, { op: "delete", key: "ÿ" })
      .else({ op: "get", key: "dir/q" })
      .commit(),
  );
  const undone = client.txn().then(
    { op: "put", key: "undone", value: "" },
    { op: "put", key: "dir/q", value: "", ifAbsent: true },
  );
  await say(failure(undone.commit()));
  await say(client.get("undone"));
  const lease = await client.lease(30_000);
  await say(client.put("leased", "1", { lease: lease.id }));
  await say(client.get("leased"));
  await say(client.leases());
  await lease.revoke();
  await say(client.get("leased"));
  await say(client.leases());
  await say(failure(client.put("leased", "2", { lease: lease.id })));
  await say(client.put("session", "1", { session: true }).then(({ revision }) => revision));
  const lock = await client.lock("lock");
  await say(client.get("lock").then((entry) => entry?.revision === lock.fencing));
  await lock.release();
  return settled(said) as unknown[];
}

/** What watches are told, of a range with a past. */
async function watched(client: Client): Promise<unknown[]> {
  const said: WatchEvent[] = [];
  await client.put("w/a", "1");
  await client.put("w/b", "1");
  const watch = client.watch({ prefix: "w/" }, { content: true, previous: true });
  const next = async () => said.push((await watch.next()).value!);
  for (let event = 0; event < 3; event++) await next();
  await client.put("w/a", "2");
  await client.put("elsewhere", "2");
  await client.txn().then({ op: "delete", key: "w/b" }, { op: "put", key: "w/c", value: "" }).commit();
  for (let event = 0; event < 3; event++) await next();
  const { cursor } = watch;
  watch.close();
  await client.put("w/a", "3");
  const later = client.watch({ prefix: "w/" }, { cursor });
  for (let event = 0; event < 2; event++) said.push((await later.next()).value!);
  await client.put("w/soon", "", { ttlMs: 1 });
  for (let event = 0; event < 2; event++) said.push((await later.next()).value!);
  later.close();
  return settled(said) as unknown[];
}

test("says of everything what the real server says", async () => {
  const memory = new MemoryServer();
  const real = await ServerProcess.start();
  const ours = connect("ws://memory", { WebSocket: memory.WebSocket });
  const theirs = connect(real.url);
  try {
    for (const part of [everything, watched]) {
      const [expected, said] = [await part(theirs), await part(ours)];
      for (const [at, answer] of expected.entries()) {
        assert.deepEqual(said[at], answer, `answer ${at} of ${part.name}`);
      }
      assert.equal(said.length, expected.length);
    }
    assert.equal(ours.state, "ready");
    assert.ok((await ours.status()).figures["keys"]! > 0);
    const backup = failure(ours.backup()[Symbol.asyncIterator]().next());
    assert.equal(((await backup) as TidekeepError).code, "unsupported");
  } finally {
    await Promise.all([ours.close(), theirs.close()]);
    await real.stop();
  }
});

test("a cut connection is mended: writes count once, watches go on", async () => {
  const server = new MemoryServer();
  const backoff = { minMs: 1, maxMs: 5 };
  const client = connect("ws://memory", { WebSocket: server.WebSocket, backoff });
  const watch = client.watch({ key: "n" });
  assert.equal((await watch.next()).value?.type, "caught-up");
  for (let round = 0; round < 20; round++) {
    const done = client.increment("n");
    await Promise.resolve();
    server.cut();
    server.restore();
    await done;
  }
  assert.equal(server.get("n"), "20");
  for (let n = 1; n <= 20; ) {
    const { value } = await watch.next();
    if (value?.type === "put") assert.equal(value.entry.text(), String(n++));
    else assert.equal(value?.type, "caught-up");
  }
  server.cut();
  const error = await failure(client.put("k", "v", { timeoutMs: 30 }));
  assert.equal((error as TidekeepError).code, "timeout");
  server.put("k", "from outside");
  server.restore();
  assert.equal((await client.get("k"))?.text(), "from outside");
  await client.close();
});

test("its clock can be set forward: what ends by then has ended", async () => {
  const server = new MemoryServer();
  const client = connect("ws://memory", { WebSocket: server.WebSocket });
  await client.put("soon", "", { ttlMs: 60_000 });
  await client.put("later", "", { ttlMs: 600_000 });
  const watch = client.watch({ prefix: "" });
  await watch.next();
  server.advance(60_000);
  const { value } = await watch.next();
  assert.equal(value?.type === "expire" && value.key, "soon");
  assert.deepEqual(server.keys(), ["later"]);
  assert.equal(server.delete("later"), true);
  assert.equal(await client.get("later"), undefined);
  watch.close();
  await client.close();
});
