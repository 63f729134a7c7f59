// Replies as callers see them, read in the order in which docs/protocol.md draws them.

import type { Reader } from "./codec.js";
import { StoredEntry, toText } from "./entry.js";
import { TidekeepError } from "./errors.js";
import type {
  Child,
  Deleted,
  Entry,
  Incremented,
  ListedLease,
  Page,
  RangeDeleted,
  ServerStatus,
  Touched,
  WatchEvent,
  Written,
} from "./types.js";

/** Whether a write applied. */
const enum Status {
  applied,
  notFound,
  refused,
}
/** What a message of a watch is. */
const enum Message {
  content,
  caughtUp,
  events,
  bookmark,
}
/** What happened to a key, in the order of the variants on the wire. */
const EVENTS = ["put", "delete", "expire", "evict"] as const;

export function got(reply: Reader, key: Uint8Array): Entry | undefined {
  reply.number();
  return reply.optional(() => reply.stored(key));
}

export function written(reply: Reader, key: Uint8Array): Written {
  const { revision, previous } = deleted(reply, key);
  return { revision, previous };
}

export function deleted(reply: Reader, key: Uint8Array): Deleted {
  const revision = reply.number();
  const status = reply.variant(3);
  const entry = reply.optional(() => reply.stored(key));
  if (status === Status.refused) throw conflict(entry);
  return { deleted: status === Status.applied, revision, previous: entry };
}

export function touched(reply: Reader, key: Uint8Array): Touched | undefined {
  const revision = reply.number();
  const status = reply.variant(3);
  const entry = reply.optional(() => new StoredEntry(key, reply));
  if (status === Status.refused) throw conflict(entry);
  return entry && { revision, expiresAt: entry.expiresAt };
}

export function incremented(reply: Reader): Incremented {
  return { revision: reply.number(), value: reply.signed() };
}

export function rangeDeleted(reply: Reader): RangeDeleted & { more: boolean } {
  return { revision: reply.number(), deleted: reply.number(), more: reply.flag() };
}

export function scanned(reply: Reader): Page<Entry> & { count: number } {
  const revision = reply.number();
  const count = reply.number();
  const more = reply.flag();
  const items = reply.list(() => reply.entry());
  return { items, revision, count, after: more ? items.at(-1)?.keyBytes : undefined };
}

export function children(reply: Reader, above: Uint8Array): Page<Child> {
  const revision = reply.number();
  const more = reply.flag();
  const items = reply.list(() => {
    const nameBytes = reply.bytes();
    const keyBytes = new Uint8Array(above.length + nameBytes.length);
    keyBytes.set(above);
    keyBytes.set(nameBytes, above.length);
    return { name: toText(nameBytes), nameBytes, keyBytes, branch: reply.flag() };
  });
  return { items, revision, after: more ? items.at(-1)?.nameBytes : undefined };
}

export function status(reply: Reader): ServerStatus {
  return {
    software: reply.text(),
    durability: reply.text(),
    figures: Object.fromEntries(reply.list(() => [reply.text(), reply.number()])),
  };
}

/** The lease. What else such replies say is known, or in the terms of the server's clock. */
export function granted(reply: Reader): number {
  reply.number();
  const lease = reply.number();
  skipped(2)(reply);
  return lease;
}

/** How many keys went with a lease. */
export function revoked(reply: Reader): number {
  reply.number();
  return reply.number();
}

/** Reads a reply of so many numbers that nobody asks for. */
export function skipped(count: number): (reply: Reader) => void {
  return (reply) => {
    for (let left = count; left > 0; left--) reply.number();
  };
}

export function leases(reply: Reader): Page<ListedLease, number> {
  const revision = reply.number();
  const more = reply.flag();
  const items = reply.list(() => ({
    lease: reply.number(),
    ttlMs: reply.number(),
    expiresAt: reply.number(),
    keys: reply.number(),
  }));
  return { items, revision, after: more ? items.at(-1)?.lease : undefined };
}

/** The next piece of a backup's file; may be empty before the end. */
export function backup(reply: Reader): { done: boolean; bytes: Uint8Array } {
  skipped(4)(reply);
  return { done: reply.flag(), bytes: reply.bytes() };
}

/** A message of a watch: its events, and the position behind them if it has one. */
export interface WatchMessage {
  events: WatchEvent[];
  cursor?: Uint8Array;
}

export function watched(message: Reader): WatchMessage {
  const what = message.variant(4);
  if (what === Message.content) {
    return { events: message.list(() => ({ type: "entry", entry: message.entry() })) };
  }
  const revision = message.number();
  const cursor = message.bytes();
  if (what === Message.caughtUp) return { events: [{ type: "caught-up", revision }], cursor };
  if (what !== Message.events) return { events: [], cursor };
  return { events: message.list(() => changed(message, revision)), cursor };
}

function changed(message: Reader, revision: number): WatchEvent {
  const type = EVENTS[message.variant(4)]!;
  const keyBytes = message.bytes();
  const key = toText(keyBytes);
  const read = () => message.stored(keyBytes);
  const entry = type === "put" ? read() : undefined;
  const previous = message.optional(read);
  if (entry) return { type: "put", key, keyBytes, revision, entry, previous };
  return { type: type as "delete", key, keyBytes, revision, previous };
}

function conflict(current: Entry | undefined): TidekeepError {
  const why = current ? `the key is at revision ${current.revision}` : "there is no such key";
  return new TidekeepError("conflict", `the condition does not hold: ${why}`, { current });
}
