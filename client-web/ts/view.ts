// A view as pages hold it: what a range shows now, kept in step by the patches that the core makes
// (docs/design-client.md). What a snapshot holds never changes: each patch makes another one.

import { onAbort } from "./abort.js";
import { Reader } from "./codec.js";
import type { Writer } from "./codec.js";
import type { Connection } from "./connection.js";
import type { Subscription, WatchSink } from "./engine.js";
import { toBytes } from "./entry.js";
import type { TidekeepError } from "./errors.js";
import { bounds } from "./range.js";
import * as requests from "./requests.js";
import type { Bytes, Freshness, Range, View, ViewEntry, ViewOptions, ViewSnapshot } from "./types.js";

/** What a change of a patch says of its key. */
const PRESENT = 1;
const OPTIMISTIC = 2;
/** The states of a patch by their number. */
const STATES: Freshness[] = ["loading", "stale", "fresh"];
/** How long after what may pass has ended it a view begins again. */
const AGAIN_MS = 1000;

export class Snapshot implements ViewSnapshot {
  constructor(
    readonly entries: readonly ViewEntry[],
    readonly freshness: Freshness,
    /** Keys of which a mutation shows that has not settled. */
    readonly pending: ReadonlySet<string>,
  ) {}

  get size(): number {
    return this.entries.length;
  }

  get optimistic(): number {
    return this.pending.size;
  }

  get(key: Bytes): ViewEntry | undefined {
    const bytes = toBytes(key);
    const at = place(this.entries, bytes);
    const entry = this.entries[at];
    return entry && compare(entry.keyBytes, bytes) === 0 ? entry : undefined;
  }

  freshnessOf(key: Bytes): Freshness | "optimistic" {
    return this.pending.has(name(toBytes(key))) ? "optimistic" : this.freshness;
  }

  [Symbol.iterator](): Iterator<ViewEntry> {
    return this.entries[Symbol.iterator]();
  }

  /** What shows after a patch. */
  patched(patch: Reader): Snapshot {
    const freshness = STATES[patch.byte()]!;
    if (patch.done) return new Snapshot(this.entries, freshness, this.pending);
    const entries = this.entries.slice();
    const pending = new Set(this.pending);
    while (!patch.done) {
      const flags = patch.byte();
      const key = patch.bytes();
      const at = place(entries, key);
      const there = entries[at] && compare(entries[at].keyBytes, key) === 0 ? 1 : 0;
      if (flags & OPTIMISTIC) pending.add(name(key));
      else pending.delete(name(key));
      if (flags & PRESENT) {
        const entry = Object.assign(patch.stored(key), { optimistic: flags > PRESENT });
        entries.splice(at, there, entry);
      } else entries.splice(at, there);
    }
    return new Snapshot(entries, freshness, pending);
  }
}

const NOTHING = new Snapshot([], "loading", new Set());

/** Is what it shows now, too: it takes over what each snapshot holds. */
export class LiveView extends Snapshot implements View, WatchSink {
  snapshot = NOTHING;
  readonly #open: () => Promise<Subscription>;
  readonly #listeners = new Set<() => void>();
  /** What is being put together while `snapshot` shows what was there before. */
  #next: Snapshot | undefined;
  #subscription: Subscription | undefined;
  #error: TidekeepError | undefined;
  #ended = false;
  #telling = false;

  constructor(connection: Connection, range: Range, options: ViewOptions) {
    super([], "loading", NOTHING.pending);
    const { signal, persist = false } = options;
    const whole = bounds(range);
    const write = (to: Writer) => requests.watch(to, whole, { content: true });
    this.#open = () => connection.watch(write, this, { persist });
    onAbort(signal, () => this.close());
    this.#begin();
  }

  get error(): TidekeepError | undefined {
    return this.#error;
  }

  subscribe(listener: () => void): () => void {
    // The same function may subscribe twice.
    const own = () => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  async ready(): Promise<this> {
    while (this.freshness === "loading" && !this.#ended) await this.#change();
    if (this.#error) throw this.#error;
    return this;
  }

  close(): void {
    if (this.#ended) return;
    this.#subscription?.end();
    this.#end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ViewSnapshot, void, undefined> {
    let seen: Snapshot | undefined;
    await this.ready();
    while (!this.#ended) {
      if (this.snapshot === seen) await this.#change();
      else yield (seen = this.snapshot);
    }
    if (this.#error) throw this.#error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  message(patch: Reader): void {
    const next = (this.#next ?? this.snapshot).patched(patch);
    if (!this.#next || next.freshness !== "loading") {
      this.#next = undefined;
      this.#show(next);
    } else this.#next = next;
  }

  reset(): void {
    const { entries, freshness } = this.snapshot;
    if (freshness !== "loading") {
      this.#next = NOTHING;
      this.#show(new Snapshot(entries, "stale", new Set()));
    } else this.#take(NOTHING);
  }

  ended(error: TidekeepError): void {
    this.#subscription = undefined;
    if (this.#ended) return;
    if (error.retryable) {
      // The module failed, or this tab was slow.
      this.reset();
      setTimeout(() => this.#begin(), AGAIN_MS);
      return;
    }
    this.#error = error;
    this.#end();
  }

  #begin(): void {
    if (this.#ended) return;
    this.#open().then(
      (subscription) => {
        if (this.#ended) subscription.end();
        else this.#subscription = subscription;
      },
      (error: TidekeepError) => this.ended(error),
    );
  }

  #end(): void {
    this.#ended = true;
    this.#show(new Snapshot(this.entries, "stale", new Set()));
  }

  #take(snapshot: Snapshot): void {
    Object.assign(this, (this.snapshot = snapshot));
  }

  #show(snapshot: Snapshot): void {
    this.#take(snapshot);
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const end = this.subscribe(() => {
        end();
        resolve();
      });
    });
  }
}

/** Where a key is in a row of entries, or would be. */
function place(entries: readonly ViewEntry[], key: Uint8Array): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(entries[middle]!.keyBytes, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return a.length - b.length;
}

/** A key as a name: each byte a character. */
function name(key: Uint8Array): string {
  return String.fromCharCode(...key);
}
