// The rows of the chosen prefix: entries in key order, page by page, kept true by what the watch
// tells. Pure: pages and changes go in.

import type { Entry, WatchEvent } from "tidekeep";

import { escapeKey, toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";
import { find, insert, remove } from "./sorted.js";
import { preview } from "./value.js";

/** An entry as a row shows it; the value itself is not kept. */
export interface Row {
  readonly raw: Raw;
  readonly preview: string;
  readonly bytes: number;
  readonly revision: number;
  readonly expiresAt: number | undefined;
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

export class Rows {
  /** In byte order. */
  rows: Row[] = [];
  loading = false;
  failed = false;
  /** Where the next page begins; undefined when all are there. */
  after: Uint8Array | undefined;
  /** Whether the first page is there. */
  loaded = false;
  /** Keys looked at so far, for a filter that few of them pass. */
  searched = 0;
  /** Keys below the prefix, once counted. */
  total: number | undefined;
  #meanwhile: Change[] = [];
  readonly #needle: string;

  constructor(
    readonly prefix: Raw,
    readonly filter: string,
  ) {
    this.#needle = filter.toLowerCase();
  }

  /** A page is asked for: changes are kept until it is there. */
  begin(): void {
    this.loading = true;
    this.failed = false;
    this.#meanwhile = [];
  }

  /** Puts a page in and goes over what happened since it was read. */
  install(page: EntryPage): void {
    for (const entry of page.items) {
      const row = rowOf(entry, 0);
      if (this.#passes(row.raw)) insert(this.rows, row);
    }
    this.searched += page.items.length;
    this.loading = false;
    this.loaded = true;
    this.after = page.after;
    const missed = this.#meanwhile.filter((change) => change.revision > page.revision);
    this.#meanwhile = [];
    for (const change of missed) this.#place(change, 0);
  }

  fail(): void {
    this.loading = false;
    this.failed = true;
    this.#meanwhile = [];
  }

  /** Takes a change over that was seen at `now`; says whether anything shown is different. */
  apply(change: Change, now: number): boolean {
    const raw = toRaw(change.keyBytes);
    if (!raw.startsWith(this.prefix)) return false;
    if (this.total !== undefined) {
      if (change.type !== "put") this.total -= 1;
      else if (change.entry.version === 1) this.total += 1;
    }
    if (this.loading) this.#meanwhile.push(change);
    if (this.loaded) this.#place(change, now);
    return true;
  }

  /** The row with this key, if it is loaded. */
  row(raw: Raw): Row | undefined {
    return find(this.rows, raw);
  }

  #place(change: Change, now: number): void {
    const raw = toRaw(change.keyBytes);
    if (!this.#passes(raw)) return;
    if (change.type !== "put") {
      remove(this.rows, raw);
      return;
    }
    const known = find(this.rows, raw);
    if (known && known.revision >= change.revision) return;
    // Behind the last page that was fetched, it will come with its page.
    const inLoadedPart = !this.after || raw <= toRaw(this.after);
    if (known || inLoadedPart) insert(this.rows, rowOf(change.entry, now));
  }

  #passes(raw: Raw): boolean {
    return this.#needle === "" || escapeKey(raw).toLowerCase().includes(this.#needle);
  }
}

function rowOf(entry: Entry, changedAt: number): Row {
  return {
    raw: toRaw(entry.keyBytes),
    preview: preview(entry.value),
    bytes: entry.value.length,
    revision: entry.revision,
    expiresAt: entry.expiresAt,
    changedAt,
  };
}
