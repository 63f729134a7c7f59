// The types of views, of the offline queue and of what outlives the page: a part of types.ts. Nothing
// here runs.

import type { TidekeepError } from "./errors.js";
import type {
  Bytes,
  ConditionOptions,
  Deleted,
  Entry,
  ExpiryOptions,
  Incremented,
  Written,
} from "./types.js";

/** How to view. */
export interface ViewOptions {
  /** Closes the view when it fires. */
  signal?: AbortSignal;
  /**
   * Whether it is kept (see `ConnectOptions.offline`): the next page begins with it, `stale`, and
   * pays for the changes since only.
   */
  persist?: boolean;
}

/**
 * How far a view is: `loading` until it has all of its range, `stale` while there is no connection or
 * changes are on their way, then `fresh`.
 */
export type Freshness = "loading" | "stale" | "fresh";

/** An entry as a view shows it. */
export interface ViewEntry extends Entry {
  /** Whether a mutation shows that has not settled; `revision` is that of the entry beneath it. */
  readonly optimistic: boolean;
}

/** What a view shows at one moment. It never changes. */
export interface ViewSnapshot extends Iterable<ViewEntry> {
  /** All entries, in key order. */
  readonly entries: readonly ViewEntry[];
  /** How many there are. */
  readonly size: number;
  /** How far the view is. */
  readonly freshness: Freshness;
  /** Of how many keys a mutation shows that has not settled, those it removes included. */
  readonly optimistic: number;
  /** The entry of a key; undefined when there is none. */
  get(key: Bytes): ViewEntry | undefined;
  /** Of one key: `optimistic` when a mutation of it shows, else as the view. */
  freshnessOf(key: Bytes): Freshness | "optimistic";
}

/**
 * A range that is kept here, live: reading it asks nobody. Mutations of `Client.queue` show in it at
 * once. As an async iterable it gives what it shows now and then what it shows after changes; a
 * reader that is slow skips what is between.
 */
export interface View extends ViewSnapshot, AsyncIterable<ViewSnapshot> {
  /** What it shows now: the same object until something changes. */
  readonly snapshot: ViewSnapshot;
  /** Why it has ended, if not by `close`: `too-large`, for one. */
  readonly error: TidekeepError | undefined;
  /** Resolves when it has all of its range, be it stale; rejects when it ends before. */
  ready(): Promise<View>;
  /** Calls `listener` after every change, until the function that is returned is called. */
  subscribe(listener: () => void): () => void;
  /** Ends it; it shows what it showed last. */
  close(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What waits in the queue. */
export interface QueueInfo {
  /** Mutations that have not settled. */
  readonly waiting: number;
  /** The bytes they take. */
  readonly bytes: number;
  /**
   * The server has another store than the one they were made for, or no memory of writes: nothing is
   * sent, new mutations are refused. `discard` empties the queue.
   */
  readonly held: boolean;
  /** What has to be stored cannot be; it is tried again. */
  readonly failing: boolean;
  /** Whether mutations outlive the page. */
  readonly durable: boolean;
}

/** A mutation that has not settled. */
export interface PendingMutation {
  /** Grows; not used again. */
  readonly id: number;
  readonly op: "put" | "delete" | "increment";
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** What a `put` sets. */
  readonly value: Uint8Array | undefined;
}

/** A mutation that was made here. */
export interface Mutation<T> {
  readonly keyBytes: Uint8Array;
  /** Resolves when it is stored: it will be applied, once, whatever becomes of this page. */
  readonly stored: Promise<void>;
  /** Its end: applied, or a `TidekeepError`, such as `conflict` with the `current` entry. */
  readonly settled: Promise<T>;
}

/** A mutation's end. */
export interface SettledMutation {
  readonly mutation: PendingMutation;
  /** What it did; undefined when it failed. */
  readonly result: Written | Deleted | Incremented | undefined;
  readonly error: TidekeepError | undefined;
  /** Whether it was made by this client, rather than by another tab or an earlier page. */
  readonly local: boolean;
}

/** What `MutationQueue.on` listens to. */
export interface QueueEvents {
  /** The counts have changed. */
  change: (info: QueueInfo) => void;
  /** A mutation has settled: of this page, of another tab, or of an earlier page. */
  settled: (end: SettledMutation) => void;
  /** One of them with `conflict`: views show the server's entry again, which `error` bears. */
  conflict: (end: Omit<SettledMutation, "result" | "error"> & { error: TidekeepError }) => void;
}

/**
 * Writes that wait for a connection as long as it takes. Each shows at once in every view of its key,
 * is applied once, in the order in which those of its key were made, and is rolled back in views when
 * it is refused.
 */
export interface MutationQueue {
  /** What waits in it. */
  readonly info: QueueInfo;
  /** Sets a key. */
  put(key: Bytes, value: Bytes, options?: ConditionOptions & ExpiryOptions): Mutation<Written>;
  /** Removes a key. */
  delete(key: Bytes, options?: ConditionOptions): Mutation<Deleted>;
  /** Adds to a number. */
  increment(key: Bytes, by?: number, options?: ExpiryOptions): Mutation<Incremented>;
  /** What has not settled, oldest first, of all tabs. */
  list(): Promise<PendingMutation[]>;
  /** Takes a mutation back that was surely not sent; whether it could be. */
  discard(id: number): Promise<boolean>;
  /** Calls `listener` at every such event, until the function that is returned is called. */
  on<K extends keyof QueueEvents>(event: K, listener: QueueEvents[K]): () => void;
}

/**
 * Keeps what has to outlive the page: `indexedDb()` of the entry `tidekeep/offline`, `file()` of
 * `tidekeep/file`, or your own. What the bytes mean is in docs/design-client.md.
 */
export interface OfflineStorage {
  /**
   * Opens the place of one store and identity, which no other client may have open. With `takeOver`
   * whoever has it is known to be gone or frozen, and must not be able to change it any more.
   */
  open(place: string, takeOver: boolean): Promise<OfflinePlace>;
}

/** An open place. */
export interface OfflinePlace {
  /** All rows that are stored, as one batch. */
  rows(): Promise<Uint8Array>;
  /** Makes the rows of a batch durable, all or none. Called again only when that is done. */
  store(batch: Uint8Array): Promise<void>;
  /** The copy of a view that was saved. */
  load(view: Uint8Array): Promise<Uint8Array | undefined>;
  /** Saves a copy of a view; how many are kept is the storage's to say. */
  save(view: Uint8Array, copy: Uint8Array): Promise<void>;
  /** Lets go of it. */
  close(): Promise<void>;
}

/** What outlives the page, and where. */
export interface OfflineOptions {
  /** Where it is kept. */
  storage: OfflineStorage;
  /** Whose it is, such as the user's name: each has a queue and views of their own. Default "". */
  identity?: string;
}
