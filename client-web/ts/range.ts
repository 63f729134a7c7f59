// Ranges as the store knows them: from a first key up to and without another.

import { toBytes } from "./entry.js";
import type { Range } from "./types.js";

/** The first key of a range, and the first one behind it unless it reaches the last key. */
export interface Bounds {
  start: Uint8Array;
  end: Uint8Array | undefined;
}

export function bounds(range: Range): Bounds {
  if ("prefix" in range) {
    const start = toBytes(range.prefix);
    return { start, end: prefixEnd(start) };
  }
  if ("key" in range) {
    const start = toBytes(range.key);
    return { start, end: successor(start) };
  }
  const { start, end } = range;
  return { start: toBytes(start ?? ""), end: end === undefined ? undefined : toBytes(end) };
}

/** The very next key after `key` in byte order. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** The first key behind all that begin with `prefix`; none when they reach the last key. */
function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = prefix.slice(0, length);
  end[length - 1]!++;
  return end;
}
