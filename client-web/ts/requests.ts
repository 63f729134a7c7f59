// Requests' bodies, written in the order in which docs/protocol.md draws them: those of reads of many
// keys, and of watches. The operations on keys are in operations.ts.

import type { Writer } from "./codec.js";
import type { Bounds } from "./range.js";
import type { Bytes, WatchOptions } from "./types.js";

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
