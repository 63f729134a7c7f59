// A row of the list: what is shown of an entry. Values are not kept, their first line is.

import type { Entry, WatchEvent } from "tidekeep";

import { toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";
import { preview } from "./value.js";

export interface Row {
  readonly raw: Raw;
  /** Undefined while only the key is known. */
  readonly preview: string | undefined;
  readonly bytes: number;
  readonly revision: number;
  readonly expiresAt: number | undefined;
  readonly leased: boolean;
  /** When the page saw it change, by `performance.now()`; 0 if it did not. */
  readonly changedAt: number;
}

/** A put, or the removal of a key, for whatever reason. */
export type Change = Extract<WatchEvent, { type: "put" | "delete" | "expire" | "evict" }>;

/** A page of entries as the client gives it. */
export interface EntryPage {
  items: Entry[];
  revision: number;
  after: Uint8Array | undefined;
}

export function rowOf(entry: Entry, changedAt: number, keyOnly = false): Row {
  return {
    raw: toRaw(entry.keyBytes),
    preview: keyOnly ? undefined : preview(entry.value),
    bytes: entry.value.length,
    revision: entry.revision,
    expiresAt: entry.expiresAt,
    leased: entry.lease !== undefined,
    changedAt,
  };
}
