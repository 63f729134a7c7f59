// The keys of a prefix that have a text in them, in order, as far as the store was searched. Only keys are
// looked at; what a row shows of its value comes later, for the rows that are seen. Pure.

import type { Entry } from "tidekeep";

import { escapeKey, toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";
import { rowOf } from "./row.js";
import type { Change, EntryPage, Row } from "./row.js";
import { find, insert, lowerBound, remove } from "./sorted.js";

/** Rows that are kept at most; a search that finds more ends there. */
export const FOUND_MAX = 20_000;

export class Found {
  /** In byte order. */
  readonly rows: Row[] = [];
  /** Keys that were looked at. */
  searched = 0;
  /** Where to search on. */
  after: Uint8Array | undefined;
  /** Nothing is left to be searched. */
  done = false;
  readonly #needle: string;
  #meanwhile: Change[] = [];

  constructor(
    readonly prefix: Raw,
    needle: string,
  ) {
    this.#needle = needle.toLowerCase();
  }

  get full(): boolean {
    return this.rows.length >= FOUND_MAX;
  }

  begin(): void {
    this.#meanwhile = [];
  }

  /** Puts a page of keys in. */
  install(page: EntryPage): void {
    for (const entry of page.items) {
      const raw = toRaw(entry.keyBytes);
      if (this.#passes(raw)) insert(this.rows, rowOf(entry, 0, true));
    }
    this.searched += page.items.length;
    this.after = page.after;
    this.done = page.after === undefined;
    for (const change of this.#meanwhile) if (change.revision > page.revision) this.#take(change, 0);
    this.#meanwhile = [];
  }

  /** Fills in what a row shows, once its entry is known. */
  fill(entry: Entry): void {
    const raw = toRaw(entry.keyBytes);
    const row = find(this.rows, raw);
    if (row && row.revision <= entry.revision) insert(this.rows, rowOf(entry, row.changedAt));
  }

  apply(change: Change, now: number): boolean {
    const raw = toRaw(change.keyBytes);
    if (!raw.startsWith(this.prefix) || !this.#passes(raw)) return false;
    this.#meanwhile.push(change);
    this.#take(change, now);
    return true;
  }

  rankOf(raw: Raw): number | undefined {
    const at = lowerBound(this.rows, raw);
    return this.rows[at]?.raw === raw ? at : undefined;
  }

  #take(change: Change, now: number): void {
    const raw = toRaw(change.keyBytes);
    const known = find(this.rows, raw);
    if (known && known.revision >= change.revision) return;
    if (change.type !== "put") remove(this.rows, raw);
    // Behind what was searched, it will be found in its turn.
    else if (known || this.done || (this.after && raw <= toRaw(this.after))) {
      insert(this.rows, rowOf(change.entry, now));
    }
  }

  #passes(raw: Raw): boolean {
    return escapeKey(raw).toLowerCase().includes(this.#needle);
  }
}
