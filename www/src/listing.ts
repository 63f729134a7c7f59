// The list of keys that is shown: a window on all keys of a prefix, or those that a filter passes. Fetches
// what is looked at, one request after the other, so that a scroll bar that is dragged asks for what it
// stops at and not for what it passes.

import type { Client } from "tidekeep";

import { fromRaw, prefixEnd, toRaw } from "./model/bytes.js";
import type { Raw } from "./model/bytes.js";
import { Found } from "./model/found.js";
import type { Change, Row } from "./model/row.js";
import { seek } from "./model/seek.js";
import type { Ranked } from "./model/seek.js";
import { Window } from "./model/window.js";
import type { Ask } from "./model/window.js";

const PAGE = 200;
/** Keys that a filter looks at in one request. */
const SEARCH_PAGE = 5000;
/** Rows that are fetched beyond those that are seen. */
const AHEAD = 100;
/** Values that are fetched at once for rows that a filter has found. */
const FILL_MAX = 64;

export class Listing {
  loading = false;
  failed = false;
  readonly #window: Window;
  readonly #found: Found | undefined;
  #from = 0;
  #to = 0;
  #ended = false;
  #filling = false;

  constructor(
    readonly client: Client,
    readonly prefix: Raw,
    readonly filter: string,
    readonly changed: () => void,
  ) {
    this.#window = new Window(prefix);
    if (filter !== "") this.#found = new Found(prefix, filter);
    void this.#count();
    this.look(0, PAGE / 2);
  }

  /** Rows there are, as far as it is known. */
  get length(): number {
    return this.#found ? this.#found.rows.length : (this.#window.total ?? this.#window.known);
  }

  /** Keys below the prefix, whether or not they pass the filter; undefined until they are counted. */
  get total(): number | undefined {
    return this.#window.total;
  }

  /** Whether it is known what there is: an empty list is empty then. */
  get loaded(): boolean {
    return this.#found ? this.#found.done : this.#window.total !== undefined;
  }

  /** How many keys a filter has looked at, and whether it is through. */
  get searched(): { keys: number; done: boolean; full: boolean } | undefined {
    return this.#found && { keys: this.#found.searched, done: this.#found.done, full: this.#found.full };
  }

  at(index: number): Row | undefined {
    return this.#found ? this.#found.rows[index] : this.#window.at(index);
  }

  indexOf(raw: Raw): number | undefined {
    return this.#found ? this.#found.rankOf(raw) : this.#window.rankOf(raw);
  }

  /** These rows are looked at: they are fetched if need be. */
  look(from: number, to: number): void {
    [this.#from, this.#to] = [from, to];
    if (this.#found) void this.#fill(this.#found);
    void this.#load();
  }

  retry(): void {
    this.failed = false;
    void this.#load();
  }

  apply(change: Change, now: number): boolean {
    const listed = this.#window.apply(change, now);
    return this.#found ? this.#found.apply(change, now) : listed;
  }

  /** Another list takes its place. */
  end(): void {
    this.#ended = true;
  }

  async #load(): Promise<void> {
    if (this.loading || this.failed || this.#ended) return;
    this.loading = true;
    try {
      while (!this.#ended && (await this.#step())) this.changed();
    } catch {
      this.failed = true;
      this.#window.fail();
    }
    this.loading = false;
    this.changed();
  }

  /** Fetches one page; whether there was something to fetch. */
  async #step(): Promise<boolean> {
    if (this.#found) return this.#searchOn(this.#found);
    const ask = this.#window.want(this.#from - AHEAD, this.#to + AHEAD);
    if (!ask) return false;
    if (ask.kind === "seek" && this.#window.total === undefined) return false;
    this.#window.begin();
    await this.#fetch(ask.kind === "seek" ? await this.#sought(ask.rank) : ask);
    this.#window.trim(this.#from, this.#to);
    return true;
  }

  async #fetch(ask: Exclude<Ask, { kind: "seek" }>): Promise<void> {
    const back = ask.kind === "backward";
    const range = back
      ? { start: fromRaw(this.prefix), end: fromRaw(ask.before) }
      : { start: fromRaw(ask.after === undefined ? this.prefix : `${ask.after}\0`), end: this.#end };
    const pages = this.client.scan(range, { limit: PAGE, reverse: back });
    const page = await pages.page();
    if (!this.#ended) this.#window.install(ask, page, page.after !== undefined);
  }

  /** The rows from a rank on: the key before them is looked for. */
  async #sought(rank: number): Promise<Exclude<Ask, { kind: "seek" }>> {
    const { low, high } = this.#window.anchors(rank - 1);
    const end = { rank: this.#window.total ?? rank, raw: prefixEnd(this.prefix) ?? "\xff".repeat(16) };
    const found = await seek(this.#ranked, rank - 1, low, high ?? end);
    return { kind: "forward", after: found.raw, first: found.rank + 1 };
  }

  async #searchOn(found: Found): Promise<boolean> {
    if (found.done || found.full || found.rows.length >= this.#to + AHEAD) return false;
    found.begin();
    const pages = this.client.scan({ prefix: fromRaw(this.prefix) }, { pageSize: SEARCH_PAGE, keysOnly: true });
    const page = await pages.page(found.after);
    if (!this.#ended) found.install(page);
    // The page stays alive while a million keys go by.
    await new Promise((resolve) => setTimeout(resolve));
    return true;
  }

  /** Gets what the rows show that are seen. */
  async #fill(found: Found): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    const seen = found.rows.slice(this.#from, this.#to);
    const bare = seen.filter((row) => row.preview === undefined).slice(0, FILL_MAX);
    const entries = await Promise.all(bare.map(({ raw }) => this.client.get(fromRaw(raw)))).catch(() => []);
    for (const entry of entries) if (entry) found.fill(entry);
    this.#filling = false;
    if (entries.some(Boolean)) this.changed();
  }

  async #count(): Promise<void> {
    const total = await this.client.count({ prefix: fromRaw(this.prefix) }).catch(() => undefined);
    if (this.#window.total === undefined) this.#window.total = total;
    this.changed();
    void this.#load();
  }

  get #end(): Uint8Array | undefined {
    const end = prefixEnd(this.prefix);
    return end === undefined ? undefined : fromRaw(end);
  }

  readonly #ranked: Ranked = {
    count: (start, end) => this.client.count({ start: fromRaw(start), end: fromRaw(end) }),
    keyFrom: async (raw) => (await this.#keys(raw, 1))[0],
    keyBefore: async (raw) => {
      const range = { start: fromRaw(this.prefix), end: fromRaw(raw) };
      const page = await this.client.scan(range, { limit: 1, keysOnly: true, reverse: true }).page();
      return page.items.map(({ keyBytes }) => toRaw(keyBytes))[0];
    },
    skip: async (raw, places) => {
      const keys = await this.#keys(raw, places + 1);
      const last = keys.at(-1);
      return last === undefined ? undefined : { raw: last, places: keys.length - 1 };
    },
  };

  async #keys(from: Raw, count: number): Promise<Raw[]> {
    const range = { start: fromRaw(from), end: this.#end };
    const page = await this.client.scan(range, { limit: count, keysOnly: true }).page();
    return page.items.map(({ keyBytes }) => toRaw(keyBytes));
  }
}
