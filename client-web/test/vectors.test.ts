// The codec against the protocol's golden vectors: what this side writes and reads is what the
// Rust side writes and reads, byte by byte.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Reader, Writer } from "../ts/codec.js";
import { TidekeepError } from "../ts/errors.js";
import * as operations from "../ts/operations.js";
import * as replies from "../ts/replies.js";
import * as requests from "../ts/requests.js";
import { TxnBuilder } from "../ts/txn.js";
import type { Engine } from "../ts/engine.js";
import type {
  ConditionOptions,
  Entry,
  ExpiryOptions,
  TxnOp,
  TxnOpResult,
  TxnResult,
  WatchEvent,
} from "../ts/types.js";
import { unhex, vectors } from "./vectors.js";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever the vectors' JSON holds
type Json = any;

const REPLY = 0x80;
const KEY = new Uint8Array([0x6b]);

/** Writes a request as its JSON says; undefined for what the package never asks for. */
const writers: Record<string, (to: Writer, json: Json) => Writer | undefined> = {
  get: (to, { key }) => operations.get.writeRequest(to, { key: unhex(key) }),
  put: (to, { key, value, ...rest }) => operations.put.writeRequest(to, { ...options(rest), key: unhex(key), value: unhex(value) }),
  delete: (to, { key, ...rest }) => operations.remove.writeRequest(to, { ...options(rest), key: unhex(key) }),
  scan: (to, { range, limit, bytes, order, projection }) => {
    if (bytes !== 0) return undefined;
    const what = ["full", "keys", "count"].indexOf(projection);
    return requests.scan(to, bounds(range), limit, order === "descending", what);
  },
  children: (to, { prefix, delimiter, after, limit }) =>
    requests.children(to, unhex(prefix), unhex(delimiter), after === null ? undefined : unhex(after), limit),
  touch: (to, { key, ...rest }) => operations.touch.writeRequest(to, { ...options(rest), key: unhex(key) }),
  increment: (to, { key, by, ...rest }) =>
    typeof by === "number" ? operations.increment.writeRequest(to, { ...options(rest), key: unhex(key), by }) : undefined,
  delete_range: (to, { range, limit }) => operations.deleteRange.writeRequest(to, { range: bounds(range), limit }),
  watch: (to, { range, from, previous, delivery }) => {
    const cursor = from.cursor === undefined ? undefined : unhex(from.cursor);
    const options = { content: from === "content", cursor, previous, latest: delivery === "latest" };
    return requests.watch(to, bounds(range), options);
  },
  status: (to) => to,
  lease_grant: (to, { ttl_ms }) => to.count(ttl_ms, "ttlMs"),
  lease_keep_alive: (to, { lease }) => to.number(lease),
  lease_revoke: (to, { lease }) => to.number(lease),
  leases: (to, { after, limit }) => to.number(after).count(limit, "limit"),
  backup: (to, { offset }) => (typeof offset === "number" ? to.number(offset) : undefined),
};

/** Reads a reply and gives it back in the terms of the vectors' JSON. */
const readers: Record<string, (from: Reader) => Json> = {
  get: (from) => from.done || { entry: stored(replies.got(from, KEY)) },
  put: written,
  delete: written,
  scan: (from) => {
    const { items, revision, count, after } = replies.scanned(from);
    return { revision, count, more: after !== undefined, entries: items.map(entry) };
  },
  children: (from) => {
    const { items, revision, after } = replies.children(from, KEY);
    for (const { keyBytes, nameBytes } of items) assert.deepEqual(keyBytes, join(KEY, nameBytes));
    const children = items.map(({ nameBytes, branch }) => ({ name: hex(nameBytes), branch }));
    return { revision, more: after !== undefined, children };
  },
  touch: (from) => attempt(() => replies.touched(from, KEY)) ?? { status: "not_found" },
  increment: replies.incremented,
  delete_range: replies.rangeDeleted,
  status: replies.status,
  backup: (from) => {
    const { done, bytes } = replies.backup(from);
    return { done, bytes: hex(bytes) };
  },
  watch: (from) => replies.watched(from),
  leases: (from) => {
    const { items, after } = replies.leases(from);
    const leases = items.map(({ ttlMs, expiresAt, ...rest }) => ({
      ...rest,
      ttl_ms: ttlMs,
      expires_at: expiresAt,
    }));
    return { more: after !== undefined, leases };
  },
  lease_grant: (from) => ({ lease: replies.granted(from) }),
  // Nothing of these replies is used; what is malformed is told all the same.
  lease_keep_alive: (from) => replies.skipped(4)(from),
  lease_revoke: (from) => replies.skipped(2)(from),
};

for (const operation of Object.keys(writers)) {
  describe(operation, () => {
    for (const { name, kind, expect, json, body } of vectors(operation)) {
      if (kind & REPLY) test(name, () => readsReply(operation, expect, json, body));
      else if (!expect) test(name, () => writesRequest(operation, json, body));
    }
  });
}

describe("txn", () => {
  for (const { name, kind, expect, json, body } of vectors("txn")) {
    if (!(kind & REPLY) && !expect) {
      test(name, () => assert.equal(hex(commit(json).body), hex(body)));
    } else if (kind & REPLY) {
      test(name, () => readsTxnReply(expect, json, body));
    }
  }
});

function writesRequest(operation: string, json: Json, body: Uint8Array): void {
  const wrote = writers[operation]!(new Writer(), json);
  if (wrote) assert.equal(hex(wrote.take()), hex(body));
}

function readsReply(operation: string, expect: string | undefined, json: Json, body: Uint8Array): void {
  const read = () => {
    const reader = new Reader(body);
    const reply = readers[operation]!(reader);
    reader.end();
    return reply;
  };
  if (expect) {
    assert.throws(read, (error) => error instanceof TidekeepError && error.code === "protocol");
    return;
  }
  const reply = read();
  if (operation === "watch") assert.deepEqual(reply, watchMessage(json));
  else if (operation === "status") assert.deepEqual(reply, statusReply(json));
  else if (operation === "touch") assert.deepEqual(reply, touchReply(json));
  else assert.deepEqual({ ...normal(json), ...reply }, normal(json));
}

/** What a transaction writes, with an engine that only listens. */
function commit(json: Json): { body: Uint8Array; read: (from: Reader) => TxnResult } {
  let body = new Uint8Array();
  let read: ((from: Reader) => TxnResult) | undefined;
  const engine = {
    call(_kind: number, write: (to: Writer) => Writer, reads: (from: Reader) => TxnResult) {
      body = write(new Writer()).take().slice();
      read = reads;
      return Promise.resolve();
    },
  };
  const txn = new TxnBuilder(engine as unknown as Engine);
  for (const { key, condition } of json.compares) txn.when(unhex(key), options({ condition }));
  txn.then(...json.then.map(txnOp)).else(...json.otherwise.map(txnOp));
  void txn.commit();
  return { body, read: read! };
}

function readsTxnReply(expect: string | undefined, json: Json, body: Uint8Array): void {
  const ops = expect
    ? [{ get: { key: "a" } }]
    : json.results.map((result: Json) => askedBy(Object.keys(result)[0]!));
  const branch = expect || json.succeeded ? { then: ops, otherwise: [] } : { then: [], otherwise: ops };
  const { read } = commit({ compares: [], ...branch });
  if (expect) {
    assert.throws(() => read(new Reader(body)), TidekeepError);
    return;
  }
  const { revision, succeeded, results } = read(new Reader(body));
  const expected = json.results.map((result: Json) => {
    const [name, fields] = Object.entries<Json>(result)[0]!;
    return { [name]: shownOf(name, name === "increment" ? fields : normal(fields)) };
  });
  const actual = { revision, succeeded, results: results.map(txnResult) };
  assert.deepEqual(actual, { ...json, results: expected });
}

function askedBy(name: string): Json {
  const range = { start: "", end: null };
  const key = "k";
  const requests: Record<string, Json> = {
    get: { key },
    put: { key, value: "", condition: "always", expiry: "never", previous: true },
    delete: { key, condition: "always", previous: true },
    touch: { key, condition: "always", expiry: "never" },
    increment: { key, by: 1, expiry: "never" },
    delete_range: { range, limit: 0 },
  };
  return { [name]: requests[name] };
}

function txnOp(json: Json): TxnOp {
  const [name, fields] = Object.entries<Json>(json)[0]!;
  if (name === "delete_range") {
    return { op: "deleteRange", range: bounds(fields.range), limit: fields.limit };
  }
  const { key, value, by, ...rest } = fields;
  const given = { key: unhex(key), ...options(rest) };
  if (name === "put") return { op: name, value: unhex(value), ...given };
  if (name === "increment") return { op: name, by, ...given };
  return { op: name as "get" | "delete" | "touch", ...given };
}

function txnResult(result: TxnOpResult): Json {
  switch (result.op) {
    case "get":
      return { get: { entry: stored(result.entry) } };
    case "put":
      return { put: { revision: result.revision, entry: stored(result.previous) } };
    case "delete":
      return { delete: { revision: result.revision, entry: stored(result.previous) } };
    case "touch":
      return { touch: result.touched ?? null };
    case "increment":
      return { increment: { revision: result.revision, value: result.value } };
    case "deleteRange":
      return { delete_range: { revision: result.revision, deleted: result.deleted, more: result.more } };
  }
}

/** What of a result the package shows. */
function shownOf(name: string, fields: Json): Json {
  if (name === "get") return { entry: fields.entry };
  if (name === "put" || name === "delete") return { revision: fields.revision, entry: fields.entry };
  if (name === "touch") return fields.meta;
  return fields;
}

function options(json: Json): ConditionOptions & ExpiryOptions & { previous?: boolean } {
  const { condition = "always", expiry = "never", previous } = json;
  return {
    ...(condition === "absent" && { ifAbsent: true }),
    ...(condition === "present" && { ifPresent: true }),
    ...(condition.revision !== undefined && { ifRevision: condition.revision }),
    ...(condition.value !== undefined && { ifValue: unhex(condition.value) }),
    ...(expiry === "keep" && { keepTtl: true }),
    ...(expiry.after !== undefined && { ttlMs: expiry.after }),
    ...(typeof expiry.at === "number" && { expiresAt: expiry.at }),
    ...(expiry.lease !== undefined && { lease: expiry.lease }),
    ...(previous !== undefined && { previous }),
  };
}

function bounds({ start, end }: Json): { start: Uint8Array; end: Uint8Array | undefined } {
  return { start: unhex(start), end: end === null ? undefined : unhex(end) };
}

function written(from: Reader): Json {
  const result = attempt(() => replies.deleted(from, KEY));
  if ("status" in result) return result;
  const { revision, deleted, previous } = result;
  return { revision, status: deleted ? "applied" : "not_found", entry: stored(previous) };
}

/** A refusal as the reply that it came from. */
function attempt<T>(read: () => T): T | Json {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof TidekeepError) || error.code !== "conflict") throw error;
    return { status: "refused", entry: stored(error.current) };
  }
}

function touchReply({ revision, status, meta }: Json): Json {
  if (status === "not_found") return { status };
  if (status === "refused") return { status, entry: { meta, value: "" } };
  return { revision, expiresAt: meta.expires_at ?? undefined };
}

function statusReply(json: Json): Json {
  const figures = json.figures.map(({ name, value }: Json) => [name, Number(value)]);
  return { ...json, figures: Object.fromEntries(figures) };
}

function watchMessage(json: Json): Json {
  const [what, fields] = Object.entries<Json>(json)[0]!;
  if (what === "content") {
    return { events: fields.map((each: Json) => ({ type: "entry", entry: entryOf(each) })) };
  }
  const { revision, cursor, events = [] } = fields;
  const changes: WatchEvent[] =
    what === "caught_up"
      ? [{ type: "caught-up", revision }]
      : events.map((event: Json) => changeOf(event, revision));
  return { events: changes, cursor: unhex(cursor) };
}

function changeOf(json: Json, revision: number): WatchEvent {
  const [type, fields] = Object.entries<Json>(json)[0]!;
  const key: string = type === "put" ? fields.entry.key : fields.key;
  const keyBytes = unhex(key);
  const previous = fields.previous ? entryOf({ key, stored: fields.previous }) : undefined;
  if (type === "put") return { type, key, keyBytes, revision, entry: entryOf(fields.entry), previous };
  return { type: type as "delete", key, keyBytes, revision, previous };
}

/** The entry that the vector's JSON stands for, read from what the vector's writer would write. */
function entryOf({ key, stored: { meta, value } }: Json): Entry {
  const to = new Writer().bytes(unhex(key));
  to.number(meta.created).number(meta.modified).number(meta.version);
  if (meta.expires_at === null) to.number(0);
  else to.number(1).number(meta.expires_at);
  if (meta.lease === null) to.number(0);
  else to.number(1).number(meta.lease);
  return new Reader(to.bytes(unhex(value)).take().slice()).entry();
}

function entry(entry: Entry): Json {
  return { key: hex(entry.keyBytes), stored: stored(entry) };
}

function stored(entry: Entry | undefined): Json {
  if (!entry) return null;
  const { created, revision, version, expiresAt, lease } = entry;
  const meta = { created, modified: revision, version, expires_at: expiresAt ?? null, lease: lease ?? null };
  return { meta, value: hex(entry.value) };
}

/** JSON whose byte strings are hex throughout, and whose large numbers are as JavaScript has them. */
function normal(json: Json): Json {
  if (Array.isArray(json)) return json.map(normal);
  if (json === null || typeof json !== "object") return json;
  return Object.fromEntries(
    Object.entries<Json>(json).map(([name, value]) => {
      if (typeof value === "string" && ["key", "name", "bytes"].includes(name)) return [name, hex(unhex(value))];
      if (name === "value" && typeof value === "string") {
        return [name, "revision" in json ? Number(value) : hex(unhex(value))];
      }
      return [name, normal(value)];
    }),
  );
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  return new Uint8Array([...first, ...second]);
}
