// Requests' bodies, written in the order in which docs/protocol.md draws them.

import { whole } from "./codec.js";
import type { Writer } from "./codec.js";
import type { Bounds } from "./range.js";
import type {
  Bytes,
  DeleteOptions,
  ExpiryOptions,
  PutOptions,
  TouchOptions,
  WatchOptions,
} from "./types.js";

/** What of each entry a scan returns. */
export const enum Projection {
  full,
  keys,
  count,
}
/** Where a watch begins. */
const enum From {
  now,
  content,
  cursor,
}

export function get(to: Writer, key: Bytes): Writer {
  return to.bytes(key);
}

export function put(to: Writer, key: Bytes, value: Bytes, options: PutOptions): Writer {
  return to.bytes(key).bytes(value).condition(options).expiry(options).flag(options.previous);
}

export function remove(to: Writer, key: Bytes, options: DeleteOptions): Writer {
  return to.bytes(key).condition(options).flag(options.previous);
}

export function touch(to: Writer, key: Bytes, options: TouchOptions): Writer {
  return to.bytes(key).expiry(options).condition(options);
}

export function increment(to: Writer, key: Bytes, by: number, options: ExpiryOptions): Writer {
  return to.bytes(key).signed(whole(by, "by", -Infinity)).expiry(options);
}

/** A limit of 0 leaves it to the server how many go at once. */
export function deleteRange(to: Writer, range: Bounds, limit: number): Writer {
  return to.range(range).count(limit, "limit");
}

/** `bytes` is left to the server. */
export function scan(
  to: Writer,
  range: Bounds,
  limit: number,
  reverse: boolean | undefined,
  projection: number,
): Writer {
  return to.range(range).count(limit, "limit").number(0).flag(reverse).number(projection);
}

export function children(
  to: Writer,
  prefix: Bytes,
  delimiter: Bytes,
  after: Uint8Array | undefined,
  limit: number,
): Writer {
  return to.bytes(prefix).bytes(delimiter).optional(after).count(limit, "limit");
}

export function watch(to: Writer, range: Bounds, options: WatchOptions): Writer {
  const { content, cursor, previous, latest } = options;
  to.range(range);
  if (cursor) to.number(From.cursor).bytes(cursor);
  else to.number(content ? From.content : From.now);
  return to.flag(previous).flag(latest);
}
