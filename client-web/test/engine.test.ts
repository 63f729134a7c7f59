// The client against a scripted server: batching, order, loss, deadlines, cancellation, a trap.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { connect, TidekeepError } from "tidekeep";
import type { Client, ConnectOptions, ConnectionState, WatchEvent } from "tidekeep";

import { Kind, Reader, Writer } from "../ts/codec.js";
import { ScriptedServer } from "./scripted.js";
import type { Request, Script } from "./scripted.js";

const WATCHED = Kind.watch | 0x80;
const clients: Client[] = [];

function start(script: Script, options: ConnectOptions = {}): { server: ScriptedServer; client: Client } {
  const server = new ScriptedServer(script);
  const backoff = { minMs: 1, maxMs: 5 };
  const client = connect("ws://scripted/ws", { WebSocket: server.WebSocket, backoff, ...options });
  clients.push(client);
  return { server, client };
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

/** Answers every get with the key as the value. */
const echo: Script = {
  answer: ({ body }) => stored(new Writer().number(42).number(1), new Reader(body).bytes()),
};

function stored(to: Writer, value: Uint8Array): Writer {
  return to.number(40).number(42).number(3).number(0).number(0).bytes(value);
}

const applied = () => new Writer().number(43).number(0).number(0);

async function failure(promise: Promise<unknown>): Promise<TidekeepError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(outcome instanceof TidekeepError, `expected a failure, got ${String(outcome)}`);
  return outcome;
}

test("calls of one turn share a message, and each gets its own reply", async () => {
  const { server, client } = start(echo);
  await client.ping();
  const keys = Array.from({ length: 100 }, (_, index) => `key-${index}`);
  const messages = server.messages.length;
  const entries = await Promise.all(keys.map((key) => client.get(key)));
  assert.deepEqual(entries.map((entry) => entry?.text()), keys);
  assert.deepEqual(server.messages.slice(messages), [100]);
  assert.equal(entries[0]?.key, "key-0");
  assert.equal(entries[0]?.revision, 42);
  assert.equal(entries[0]?.expiresAt, undefined);
});

test("calls made before there is a connection go out in the order in which they were made", async () => {
  const { server, client } = start({ answer: applied }, { timeoutMs: 2000 });
  await Promise.all(["a", "b", "c"].map((key) => client.put(key, key)));
  const keys = server.requests.map(({ body }) => Buffer.from(new Reader(body).bytes()).toString());
  assert.deepEqual(keys, ["a", "b", "c"]);
});

test("what the server said of itself is there once connected", async () => {
  const { client } = start(echo);
  const before = client.server;
  assert.equal(before, undefined);
  await client.ping();
  assert.equal(client.state, "ready");
  assert.equal(client.server?.software, "scripted 1");
  assert.equal(client.server?.limits.valueBytes, 1 << 20);
  assert.equal(client.server?.serverId, "000102030405060708090a0b0c0d0e0f");
  assert.ok(Math.abs(client.serverTime() - 1_767_225_600_000) < 5000);
});

test("a read whose reply was lost is asked again, a write is not", async () => {
  let cut = false;
  const { server, client } = start({
    answer(request, link) {
      if (request.kind === Kind.get && cut) return echo.answer!(request, link);
      cut = true;
      queueMicrotask(() => link.cut());
      return undefined;
    },
  });
  const [read, write] = await Promise.allSettled([client.get("k"), client.put("k", "v")]);
  assert.equal(read.status === "fulfilled" && read.value?.text(), "k");
  assert.ok(write.status === "rejected" && write.reason instanceof TidekeepError);
  assert.equal(write.reason.code, "network");
  assert.equal(write.reason.outcome, "unknown");
  assert.deepEqual(
    server.requests.map(({ kind }) => kind),
    [Kind.get, Kind.put, Kind.get],
  );
});

test("a call that is never answered ends at its deadline", async () => {
  const { client } = start({});
  await client.ping();
  const error = await failure(client.put("k", "v", { timeoutMs: 20 }));
  assert.equal(error.code, "timeout");
  assert.equal(error.outcome, "unknown");
  assert.equal((await failure(client.get("k", { timeoutMs: 20 }))).outcome, "not-applied");
});

test("a call whose signal fires ends at once and is cancelled on the server", async () => {
  const { server, client } = start({});
  await client.ping();
  const controller = new AbortController();
  const pending = failure(client.get("k", { signal: controller.signal }));
  setImmediate(() => controller.abort(new Error("no longer needed")));
  const error = await pending;
  assert.equal(error.code, "cancelled");
  assert.equal((error.cause as Error).message, "no longer needed");
  await client.ping();
  const [asked, cancelled] = server.requests.filter(({ kind }) => kind !== Kind.ping);
  assert.equal(cancelled?.kind, 6);
  assert.equal(cancelled?.id, asked?.id);
  const early = await failure(client.get("k", { signal: controller.signal }));
  assert.equal(early.code, "cancelled");
});

test("what the server refuses comes with code and outcome", async () => {
  const { client } = start({ answer: () => ({ error: 10 }) });
  const error = await failure(client.put("k", "v"));
  assert.equal(error.name, "TidekeepError");
  assert.equal(error.code, "no-space");
  assert.equal(error.outcome, "not-applied");
  assert.equal(error.message, "as the script says");
});

test("a condition that does not hold is a conflict with the entry that stood in the way", async () => {
  const refused = () => stored(new Writer().number(50).number(2).number(1), new Uint8Array([120]));
  const { client } = start({ answer: refused });
  const error = await failure(client.put("k", "v", { ifRevision: 7 }));
  assert.equal(error.code, "conflict");
  assert.equal(error.current?.text(), "x");
  assert.equal(error.current?.revision, 42);
});

test("input that makes no sense is refused before it is sent", async () => {
  const { server, client } = start(echo);
  await client.ping();
  const codes = await Promise.all(
    [
      client.put("k", "v", { ifAbsent: true, ifPresent: true }),
      client.put("k", "v", { ttlMs: 5, keepTtl: true }),
      client.put("k", "v", { ttlMs: -1 }),
      client.put("k", "v", { ifRevision: 1.5 }),
      client.increment("k", Number.NaN),
    ].map(async (call) => (await failure(call)).code),
  );
  assert.deepEqual(new Set(codes), new Set(["invalid-input"]));
  assert.equal(server.requests.filter(({ kind }) => kind !== Kind.ping).length, 0);
});

test("a reply that is not what the protocol says fails its call alone", async () => {
  const { client } = start({
    answer: (request, link) =>
      request.body.length > 2 ? new Writer().number(1).number(9) : echo.answer!(request, link),
  });
  const [broken, sound] = await Promise.allSettled([client.get("bad"), client.get("k")]);
  assert.ok(broken.status === "rejected");
  assert.equal((broken.reason as TidekeepError).code, "protocol");
  assert.ok(sound.status === "fulfilled" && sound.value?.text() === "k");
});

test("more calls than the queue holds are refused", async () => {
  const { client } = start({}, { queue: { max: 2 }, timeoutMs: 50 });
  const codes = await Promise.all(["a", "b", "c"].map(async (key) => (await failure(client.get(key))).code));
  assert.deepEqual(codes, ["timeout", "timeout", "resource-exhausted"]);
});

test("states and breaks are told", async () => {
  const { server, client } = start({ ...echo, accepts: (attempt) => attempt !== 2 });
  const states: ConnectionState[] = [];
  const breaks: string[] = [];
  client.on("state", (state) => states.push(state));
  client.on("disconnect", (error) => breaks.push(error.code));
  await client.get("k");
  server.links[0]!.cut();
  await client.get("k");
  await client.close();
  assert.deepEqual(states, ["connecting", "ready", "reconnecting", "ready", "closed"]);
  assert.deepEqual(breaks.slice(0, 2), ["network", "network"]);
  assert.equal(server.attempts, 3);
});

test("a closed client refuses calls, and closing it twice is fine", async () => {
  const { client } = start(echo);
  await client.ping();
  await client.close();
  await client.close();
  assert.equal(client.state, "closed");
  assert.equal((await failure(client.get("k"))).code, "closed");
});

test("a signal given to connect closes the client", async () => {
  const controller = new AbortController();
  const { client } = start(echo, { signal: controller.signal });
  await client.ping();
  const closed = new Promise<void>((resolve) => {
    client.on("state", (state) => state === "closed" && resolve());
  });
  controller.abort();
  await closed;
  assert.equal((await failure(client.get("k"))).code, "closed");
  const never = connect("ws://scripted/ws", { signal: controller.signal });
  assert.equal(never.state, "closed");
});

test("a constructor that throws is a link that is down, and is tried again", async () => {
  let attempts = 0;
  const server = new ScriptedServer(echo);
  const Sometimes = new Proxy(server.WebSocket, {
    construct(target, args) {
      if (++attempts < 3) throw new Error("not today");
      return Reflect.construct(target, args) as object;
    },
  });
  const { client } = start(echo, { WebSocket: Sometimes });
  assert.equal((await client.get("k"))?.text(), "k");
  assert.equal(attempts, 3);
});

test("a trap rejects what is under way and the next call starts afresh", async () => {
  const { server, client } = start({
    answer(request, link) {
      if (request.kind === Kind.leaseGrant) return new Writer().number(7).number(7).number(60_000).number(0);
      return request.kind === Kind.get ? echo.answer!(request, link) : undefined;
    },
  });
  const lease = await client.lease(60_000);
  const pending = failure(client.put("k", "v"));
  const watching = failure(client.watch({ prefix: "" }).next());
  await client.get("k");
  // What the host lends must not throw; a clock that does leaves the instance unusable.
  const { now } = performance;
  performance.now = () => {
    throw new Error("no clock");
  };
  const struck = failure(client.get("k"));
  performance.now = now;
  for (const error of await Promise.all([pending, watching, struck])) {
    assert.equal(error.code, "internal");
    assert.equal(error.retryable, true);
  }
  assert.equal((await pending).outcome, "unknown");
  assert.equal(lease.signal.reason.code, "internal");
  assert.equal((await client.get("k"))?.text(), "k");
  assert.equal(server.links.length, 2);
});

test("a module that runs out of memory traps, and another one goes on", async () => {
  const { instantiate } = WebAssembly;
  const memories: WebAssembly.Memory[] = [];
  (WebAssembly as { instantiate: unknown }).instantiate = async (module: WebAssembly.Module, imports: WebAssembly.Imports) => {
    const instance = await instantiate(module, imports);
    memories.push(instance.exports["memory"] as WebAssembly.Memory);
    return instance;
  };
  try {
    const { client } = start({
      answer: (request, link) => (request.kind === Kind.get ? echo.answer!(request, link) : undefined),
    });
    await client.get("k");
    const pending = failure(client.put("k", "v"));
    await client.get("k");
    const memory = memories[0]!;
    // All that a module can have is taken, so that what it asks for next it does not get.
    memory.grow(65_536 - memory.buffer.byteLength / 65_536);
    const struck = await failure(client.put("k", new Uint8Array(900_000)));
    assert.equal(struck.code, "internal");
    assert.ok(struck.cause === undefined || struck.cause instanceof WebAssembly.RuntimeError);
    const error = await pending;
    assert.deepEqual([error.code, error.outcome], ["internal", "unknown"]);
    assert.ok(error.cause instanceof WebAssembly.RuntimeError, String(error.cause));
    assert.equal((await client.get("k"))?.text(), "k");
    assert.equal(memories.length, 2, "a fresh instance");
  } finally {
    WebAssembly.instantiate = instantiate;
  }
});

/** Answers a watch with content and a caught-up message, and lets the test send the rest. */
function watchable(): { script: Script; send: (body: Writer) => void; subscriptions: Request[] } {
  const subscriptions: Request[] = [];
  let send: ((body: Writer) => void) | undefined;
  const script: Script = {
    answer(request, link) {
      if (request.kind !== Kind.watch) return echo.answer!(request, link);
      subscriptions.push(request);
      send = (body) => link.send(WATCHED, request.id, body);
      if (subscriptions.length > 1) return undefined;
      const content = new Writer().number(0).number(1).bytes("a");
      send(stored(content, new Uint8Array([49])));
      send(new Writer().number(1).number(50).bytes(cursor(50)));
      return undefined;
    },
  };
  return { script, send: (body) => send?.(body), subscriptions };
}

function cursor(revision: number): Uint8Array {
  return new Writer().number(7).number(1).number(revision).take().slice();
}

function deletion(revision: number, ...keys: string[]): Writer {
  const to = new Writer().number(2).number(revision).bytes(cursor(revision));
  return to.list(keys, (key) => to.number(1).bytes(key).number(0));
}

async function read(watch: AsyncIterator<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  while (events.length < count) {
    const { value, done } = await watch.next();
    if (done) break;
    events.push(value as WatchEvent);
  }
  return events;
}

test("a watch yields content, caught-up and changes, and its cursor follows what was read", async () => {
  const { script, send } = watchable();
  const { client } = start(script);
  const watch = client.watch({ prefix: "" }, { content: true });
  const [entry, caughtUp] = await read(watch, 2);
  assert.ok(entry?.type === "entry" && entry.entry.text() === "1");
  assert.deepEqual(caughtUp, { type: "caught-up", revision: 50 });
  assert.deepEqual(watch.cursor, cursor(50));
  send(deletion(51, "a", "b"));
  send(deletion(52, "c"));
  const [first] = await read(watch, 1);
  assert.ok(first?.type === "delete" && first.key === "a" && first.revision === 51);
  assert.deepEqual(watch.cursor, cursor(50), "half of a revision is no position");
  await read(watch, 1);
  assert.deepEqual(watch.cursor, cursor(51));
  await read(watch, 1);
  assert.deepEqual(watch.cursor, cursor(52));
});

test("leaving the loop over a watch ends it on the server", async () => {
  const { script, subscriptions } = watchable();
  const { server, client } = start(script);
  for await (const event of client.watch({ prefix: "" }, { content: true })) {
    if (event.type === "caught-up") break;
  }
  await client.ping();
  const cancelled = server.requests.filter(({ kind }) => kind === 6);
  assert.deepEqual(cancelled.map(({ id }) => id), subscriptions.map(({ id }) => id));
});

test("a watch resumes by its cursor after a break", async () => {
  const { script, send, subscriptions } = watchable();
  const { server, client } = start(script);
  const watch = client.watch({ prefix: "" }, { content: true });
  await read(watch, 2);
  send(deletion(51, "a"));
  await read(watch, 1);
  server.links[0]!.cut();
  await client.ping();
  const from = new Reader(subscriptions[1]!.body);
  from.bytes();
  assert.equal(from.flag(), false);
  assert.equal(from.number(), 2);
  assert.deepEqual(from.bytes(), cursor(51));
});

test("a watch that is not read pauses, and goes on from where it was read to", async () => {
  const { script, send, subscriptions } = watchable();
  const { client } = start(script);
  const watch = client.watch({ prefix: "" }, { content: true, buffer: 3 });
  await read(watch, 2);
  for (let revision = 51; revision <= 60; revision++) send(deletion(revision, `k${revision}`));
  await client.ping();
  const events = await read(watch, 4);
  assert.deepEqual(events.map((event) => "revision" in event && event.revision), [51, 52, 53, 54]);
  const next = watch.next();
  await client.ping();
  assert.equal(subscriptions.length, 2);
  const from = new Reader(subscriptions[1]!.body);
  from.bytes();
  from.flag();
  from.number();
  assert.deepEqual(from.bytes(), cursor(54));
  send(deletion(55, "k55"));
  const { value } = await next;
  assert.ok(value?.type === "delete" && value.key === "k55");
});

test("a watch whose signal fires ends without an error", async () => {
  const { script } = watchable();
  const { client } = start(script);
  const controller = new AbortController();
  const watch = client.watch({ prefix: "" }, { signal: controller.signal });
  const waiting = watch.next();
  controller.abort();
  assert.deepEqual(await waiting, { done: true, value: undefined });
});

test("awaiting a transaction tells to commit it", async () => {
  const { client } = start(echo);
  const txn = client.txn();
  await assert.rejects(async () => void (await (txn as unknown as Promise<void>)), /commit\(\)/);
});

test("addresses may be written in several ways, and nonsense is refused", async () => {
  const urls: string[] = [];
  const server = new ScriptedServer(echo);
  const Noting = new Proxy(server.WebSocket, {
    construct(target, args: [string, string]) {
      urls.push(`${args[0]} ${args[1]}`);
      return Reflect.construct(target, args) as object;
    },
  });
  for (const url of ["http://h:1", "https://h/", "ws://h:1/ws", "h:1", "127.0.0.1:8080", "wss://h/deep/ws"]) {
    const client = connect(url, { WebSocket: Noting });
    await client.ping();
    await client.close();
  }
  assert.deepEqual(urls, [
    "ws://h:1/ws tidekeep.1",
    "wss://h/ws tidekeep.1",
    "ws://h:1/ws tidekeep.1",
    "ws://h:1/ws tidekeep.1",
    "ws://127.0.0.1:8080/ws tidekeep.1",
    "wss://h/deep/ws tidekeep.1",
  ]);
  for (const url of ["", "ftp://h", "no address"]) {
    assert.throws(() => connect(url), (error) => error instanceof TidekeepError && error.code === "invalid-input");
  }
});
