// Requests of `tidekeep/testing`: bodies read, done on the store, replies written, each in the order in
// which docs/protocol.md draws its fields.

import { Kind, Writer } from "../codec.js";
import type { Reader } from "../codec.js";
import { toText } from "../entry.js";
import type { Bounds } from "../range.js";
import { Refused } from "./store.js";
import type { Condition, Expiry, Kept, Step, Store } from "./store.js";

const PAGE = 10_000;
const APPLIED = 0;
const NOT_FOUND = 1;
const REFUSED = 2;
const INVALID = 1;
const CONFLICT = 4;
const UNSUPPORTED = 5;
const LEASE_KEEP_ALIVE = 0x1c;
/** Kinds of requests that change something, and are answered from memory when they come again. */
export const WRITES: readonly number[] = [
  Kind.put,
  Kind.delete,
  Kind.touch,
  Kind.increment,
  Kind.txn,
  Kind.deleteRange,
  Kind.leaseGrant,
  Kind.leaseRevoke,
];

/** Does a request that is answered once; gives the reply's body. */
export function answer(store: Store, kind: number, from: Reader, now: number): Writer {
  const to = new Writer();
  switch (kind) {
    case Kind.get:
      return got(store, from.bytes(), to.number(store.revision));
    case Kind.put:
      return single(store, to, (step) => put(store, step, from));
    case Kind.delete:
      return single(store, to, (step) => remove(store, step, from));
    case Kind.touch:
      return single(store, to, (step) => touch(store, step, from));
    case Kind.increment:
      return single(store, to, (step) => increment(store, step, from));
    case Kind.deleteRange:
      return single(store, to, (step) => removeRange(store, step, from));
    case Kind.txn:
      return txn(store, from, to);
    case Kind.scan:
      return scan(store, from, to);
    case Kind.children:
      return children(store, from, to);
    case Kind.status:
      return status(store, to);
    case Kind.leaseGrant: {
      const lease = store.grant(from.number());
      return leased(store, lease, to.number(store.revision));
    }
    case LEASE_KEEP_ALIVE: {
      const lease = from.number();
      const row = store.leaseOf(lease);
      row.expiresAt = now + row.ttlMs;
      return leased(store, lease, to.number(store.revision));
    }
    case Kind.leaseRevoke: {
      const lease = from.number();
      store.leaseOf(lease);
      const deleted = store.endLease(lease, 1);
      return to.number(store.revision).number(deleted);
    }
    case Kind.leases:
      return leases(store, from, to);
    default:
      throw new Refused(UNSUPPORTED, "the server for tests does not do this");
  }
}

export function readRange(from: Reader): Bounds {
  return { start: from.bytes(), end: from.optional(() => from.bytes()) };
}

export function writeMeta(to: Writer, entry: Kept): Writer {
  to.number(entry.created).number(entry.modified).number(entry.version);
  for (const end of [entry.expiresAt, entry.lease]) {
    if (end === undefined) to.number(0);
    else to.number(1).number(end);
  }
  return to;
}

export function writeStored(to: Writer, entry: Kept): Writer {
  return writeMeta(to, entry).bytes(entry.value);
}

/** A part of a reply behind its revision. */
type Rest = (to: Writer) => void;

/** A write by itself. */
function single(store: Store, to: Writer, work: (step: Step) => Rest): Writer {
  const { result, revision } = store.write(work);
  result(to.number(revision));
  return to;
}

function got(store: Store, key: Uint8Array, to: Writer): Writer {
  const entry = store.get(key);
  return entry ? writeStored(to.number(1), entry) : to.number(0);
}

/** A status, then the entry that goes with it, if any. */
function outcome(status: number, entry: Kept | undefined, write = writeStored): Rest {
  return (to) => {
    to.number(status);
    if (entry) write(to.number(1), entry);
    else to.number(0);
  };
}

function put(store: Store, step: Step, from: Reader): Rest {
  const [key, value] = [keyOf(from), from.bytes()];
  const [condition, expiry, previous] = [readCondition(from), readExpiry(from), from.flag()];
  const before = store.get(key);
  if (!store.holds(condition, before)) return outcome(REFUSED, before);
  store.put(step, key, value, expiry);
  return outcome(APPLIED, previous ? before : undefined);
}

function remove(store: Store, step: Step, from: Reader): Rest {
  const [key, condition, previous] = [keyOf(from), readCondition(from), from.flag()];
  const before = store.get(key);
  if (!store.holds(condition, before)) return outcome(REFUSED, before);
  if (!before) return outcome(NOT_FOUND, undefined);
  store.remove(step, before);
  return outcome(APPLIED, previous ? before : undefined);
}

function touch(store: Store, step: Step, from: Reader): Rest {
  const [key, expiry, condition] = [keyOf(from), readExpiry(from), readCondition(from)];
  const before = store.get(key);
  if (!store.holds(condition, before)) return outcome(REFUSED, before, writeMeta);
  if (!before) return outcome(NOT_FOUND, undefined);
  return outcome(APPLIED, store.put(step, key, before.value, expiry), writeMeta);
}

function increment(store: Store, step: Step, from: Reader): Rest {
  const key = keyOf(from);
  const by = from.signed();
  const expiry = readExpiry(from);
  const text = toText(store.get(key)?.value ?? new Uint8Array([48]));
  if (!/^(0|-?[1-9]\d*)$/.test(text)) throw new Refused(INVALID, "the value is no number");
  const sum = BigInt(text) + BigInt(by);
  if (BigInt.asIntN(64, sum) !== sum) throw new Refused(INVALID, "the sum is too great");
  store.put(step, key, new TextEncoder().encode(String(sum)), expiry);
  return (to) => to.signed(Number(sum));
}

function removeRange(store: Store, step: Step, from: Reader): Rest {
  const range = readRange(from);
  const limit = from.number() || PAGE;
  const entries = store.range(range);
  const removed = entries.slice(0, limit);
  for (const entry of removed) store.remove(step, entry);
  return (to) => to.number(removed.length).flag(entries.length > limit);
}

function txn(store: Store, from: Reader, to: Writer): Writer {
  const compares = from.list(() => ({ key: from.bytes(), condition: readCondition(from) }));
  const holds = compares.every(({ key, condition }) => store.holds(condition, store.get(key)));
  const { result, revision } = store.write((step) => {
    const then = readOps(store, step, from, holds);
    const otherwise = readOps(store, step, from, !holds);
    return holds ? then : otherwise;
  });
  to.number(revision).flag(holds);
  return to.list(result, (rest) => {
    rest.write(to.number(rest.op).number(revision));
  });
}

interface OpResult {
  op: number;
  write: Rest;
}

const OPS = [undefined, put, remove, touch, increment, removeRange];

/** Reads a list of operations, and runs them if they are the ones. */
function readOps(store: Store, step: Step, from: Reader, run: boolean): OpResult[] {
  return from.list(() => {
    const op = from.variant(OPS.length);
    // What does not run is read on a store of its own, where it does no harm.
    const at = run ? store : new (store.constructor as typeof Store)(() => 0, () => {});
    const work = OPS[op];
    if (!work) {
      const key = from.bytes();
      const entry = at.get(key);
      const write: Rest = (to) => (entry ? writeStored(to.number(1), entry) : to.number(0));
      return { op, write };
    }
    if (!run) return { op, write: discarded(() => work(at, step, from), step) };
    const write = work(at, step, from);
    const seen = new Writer();
    write(seen);
    const refused = work !== increment && work !== removeRange && seen.take()[0] === REFUSED;
    if (refused) throw new Refused(CONFLICT, "a condition in the transaction does not hold");
    return { op, write };
  });
}

/** Reads an operation that does not run: what it would do or refuse is dropped. */
function discarded(work: () => Rest, step: Step): Rest {
  const before = step.changes.length;
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return () => {};
  } finally {
    step.changes.length = before;
  }
}

function scan(store: Store, from: Reader, to: Writer): Writer {
  const range = readRange(from);
  const limit = from.number();
  from.number();
  const reverse = from.variant(2) === 1;
  const projection = from.variant(3);
  const all = store.range(range);
  if (reverse) all.reverse();
  const counts = projection === 2;
  const page = all.slice(0, limit || (counts ? Infinity : PAGE));
  to.number(store.revision).number(page.length).flag(page.length < all.length);
  return to.list(counts ? [] : page, (entry) => {
    writeMeta(to.bytes(entry.key), entry).bytes(projection === 1 ? "" : entry.value);
  });
}

function children(store: Store, from: Reader, to: Writer): Writer {
  const [prefix, delimiter] = [from.bytes(), toBinary(from.bytes())];
  const after = from.optional(() => toBinary(from.bytes()));
  const limit = from.number() || PAGE;
  const names = new Map<string, boolean>();
  for (const { key } of store.range({ start: prefix, end: undefined })) {
    const whole = toBinary(key);
    if (!whole.startsWith(toBinary(prefix))) break;
    const rest = whole.slice(prefix.length);
    const at = rest.indexOf(delimiter);
    const name = at < 0 ? rest : rest.slice(0, at + delimiter.length);
    if (after === undefined || name > after) names.set(name, at >= 0);
  }
  const page = [...names].slice(0, limit);
  to.number(store.revision).flag(page.length < names.size);
  return to.list(page, ([name, branch]) => {
    to.bytes(Uint8Array.from(name, (char) => char.charCodeAt(0))).flag(branch);
  });
}

function status(store: Store, to: Writer): Writer {
  const figures: [string, number][] = [["keys", store.size], ["revision", store.revision]];
  to.bytes("tidekeep-testing").bytes("memory");
  return to.list(figures, ([name, value]) => to.bytes(name).number(value));
}

function leased(store: Store, lease: number, to: Writer): Writer {
  const { ttlMs, expiresAt } = store.leaseOf(lease);
  return to.number(lease).number(ttlMs).number(expiresAt);
}

function leases(store: Store, from: Reader, to: Writer): Writer {
  const [after, limit] = [from.number(), from.number() || PAGE];
  const all = [...store.leases].filter(([lease]) => lease > after);
  to.number(store.revision).flag(all.length > limit);
  return to.list(all.slice(0, limit), ([lease, { ttlMs, expiresAt }]) => {
    to.number(lease).number(ttlMs).number(expiresAt).number(store.keysOf(lease));
  });
}

function keyOf(from: Reader): Uint8Array {
  const key = from.bytes();
  if (key.length === 0) throw new Refused(INVALID, "a key has at least one byte");
  return key;
}

function readCondition(from: Reader): Condition {
  const is = from.variant(5) as Condition["is"];
  if (is === 3) return { is, revision: from.number() };
  return is === 4 ? { is, value: from.bytes() } : { is };
}

function readExpiry(from: Reader): Expiry {
  const is = from.variant(5) as Expiry["is"];
  return is === 0 || is === 1 ? { is } : { is, number: from.number() };
}

function toBinary(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
