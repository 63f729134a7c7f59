// Lists read page by page: scans and children.

import { TidekeepError } from "./errors.js";
import type { Page, Pages } from "./types.js";

/** Reads one page behind `after`, of at most `limit` items (0: as the server likes). */
export type FetchPage<T, A> = (after: A | undefined, limit: number) => Promise<Page<T, A>>;

/** A list whose pages are fetched when they are asked for. */
export function paged<T, A = Uint8Array>(
  fetch: FetchPage<T, A>,
  { limit = Infinity, pageSize = 0 }: { limit?: number; pageSize?: number },
): Pages<T, A> {
  const read = (after: A | undefined, left: number) => {
    const size = Math.min(pageSize || Infinity, left);
    return fetch(after, Number.isFinite(size) ? size : 0);
  };
  return {
    page: (after) => read(after, limit),

    async toArray(max) {
      const all: T[] = [];
      for await (const item of this) {
        if (all.length >= max) throw new TidekeepError("too-large", `there are more than ${max}`);
        all.push(item);
      }
      return all;
    },

    async *[Symbol.asyncIterator]() {
      let after: A | undefined;
      for (let left = limit; left > 0; ) {
        const page = await read(after, left);
        yield* page.items;
        left -= page.items.length;
        after = page.after;
        if (!after) return;
      }
    },
  };
}
