// Lists kept in byte order of their keys.

import type { Raw } from "./bytes.js";

/** Something with a place in byte order. */
export interface Keyed {
  readonly raw: Raw;
}

/** The index of the first item that is not before `raw`. */
export function lowerBound(items: readonly Keyed[], raw: Raw): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (items[middle]!.raw < raw) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The item with exactly this key. */
export function find<T extends Keyed>(items: readonly T[], raw: Raw): T | undefined {
  const item = items[lowerBound(items, raw)];
  return item?.raw === raw ? item : undefined;
}

/** Puts an item in its place, instead of one with the same key if there is one. */
export function insert<T extends Keyed>(items: T[], item: T): void {
  const at = lowerBound(items, item.raw);
  items.splice(at, items[at]?.raw === item.raw ? 1 : 0, item);
}

/** Takes the item with this key out; says whether there was one. */
export function remove(items: Keyed[], raw: Raw): boolean {
  const at = lowerBound(items, raw);
  if (items[at]?.raw !== raw) return false;
  items.splice(at, 1);
  return true;
}
