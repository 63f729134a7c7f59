// The entry `tidekeep/observe`: one view a range for everybody who looks at it, with the two functions
// that view libraries ask for. `tidekeep/react` stands on it.

import type { Bytes, Client, Range, View, ViewOptions, ViewSnapshot } from "./types.js";

/** How long a view stays open when nobody looks any more: long enough for a change of pages. */
const LINGER_MS = 1000;

/** What can be looked at: an external store, as view libraries say. */
export interface Observed {
  /** What shows now: the same object until something changes. */
  get(): ViewSnapshot;
  /** Calls `listener` after every change, until the function that is returned is called. */
  subscribe(listener: () => void): () => void;
}

const ALL = new WeakMap<Client, Map<string, Shared>>();
const NOTHING: ViewSnapshot = {
  entries: [],
  size: 0,
  freshness: "loading",
  optimistic: 0,
  get: () => undefined,
  freshnessOf: () => "loading",
  [Symbol.iterator]: () => [][Symbol.iterator](),
};

/**
 * A range to look at. All who look at the same range of a client share one view, which is open while
 * somebody has subscribed. Throws what ended the view from `get`.
 */
export function observe(
  client: Client,
  range: Range,
  options: Pick<ViewOptions, "persist"> = {},
): Observed {
  const observed = ALL.get(client) ?? new Map<string, Shared>();
  ALL.set(client, observed);
  const name = nameOf(range, options);
  let shared = observed.get(name);
  if (!shared) {
    const made = new Shared(
      () => client.view(range, options),
      () => observed.get(name) === made && observed.delete(name),
    );
    observed.set(name, (shared = made));
  }
  return shared;
}

class Shared implements Observed {
  readonly #open: () => View;
  readonly #closed: () => void;
  #view: View | undefined;
  #count = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(open: () => View, closed: () => void) {
    this.#open = open;
    this.#closed = closed;
    this.#linger();
  }

  readonly get = (): ViewSnapshot => {
    if (this.#view?.error) throw this.#view.error;
    return this.#view?.snapshot ?? NOTHING;
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    clearTimeout(this.#timer);
    this.#count++;
    const end = (this.#view ??= this.#open()).subscribe(listener);
    let over = false;
    return () => {
      if (over) return;
      over = true;
      end();
      if (--this.#count === 0) this.#linger();
    };
  };

  /** Closes after a while in which nobody looks. */
  #linger(): void {
    this.#timer = setTimeout(() => {
      this.#view?.close();
      this.#view = undefined;
      this.#closed();
    }, LINGER_MS);
    // It keeps no Node process alive.
    (this.#timer as { unref?(): void }).unref?.();
  }
}

/** The same text for the same range. */
function nameOf(range: Range, { persist }: Pick<ViewOptions, "persist">): string {
  const text = (bytes: Bytes | undefined) => (bytes instanceof Uint8Array ? [...bytes] : bytes);
  const parts = Object.entries(range).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([!!persist, ...parts.map(([part, bytes]) => [part, text(bytes)])]);
}
