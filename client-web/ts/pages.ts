// Lists read page by page: scans and children.

import { TidekeepError } from "./errors.js";
import type { Page, Pages } from "./types.js";

/** Reads one page behind `after`, of at most `limit` items (0: as the server likes). */
export type FetchPage<T> = (after: Uint8Array | undefined, limit: number) => Promise<Page<T>>;

/** A list whose pages are fetched when they are asked for. */
export class PagedList<T> implements Pages<T> {
  readonly #fetch: FetchPage<T>;
  readonly #limit: number;
  readonly #pageSize: number;

  constructor(fetch: FetchPage<T>, options: { limit?: number; pageSize?: number }) {
    this.#fetch = fetch;
    this.#limit = options.limit ?? Infinity;
    this.#pageSize = options.pageSize ?? 0;
  }

  page(after?: Uint8Array): Promise<Page<T>> {
    return this.#read(after, this.#limit);
  }

  async toArray(max: number): Promise<T[]> {
    const all: T[] = [];
    for await (const item of this) {
      if (all.length >= max) throw new TidekeepError("too-large", `there are more than ${max}`);
      all.push(item);
    }
    return all;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    let left = this.#limit;
    let after: Uint8Array | undefined;
    while (left > 0) {
      const page = await this.#read(after, left);
      yield* page.items;
      left -= page.items.length;
      after = page.after;
      if (!after) return;
    }
  }

  #read(after: Uint8Array | undefined, left: number): Promise<Page<T>> {
    const size = Math.min(this.#pageSize || Infinity, left);
    return this.#fetch(after, Number.isFinite(size) ? size : 0);
  }
}
