/// <reference lib="esnext.disposable" preserve="true" />
// The public surface, written by hand: what a user of the package reads first. Nothing here runs.

import type { Connection, Kit } from "./connection.js";
import type { TidekeepError } from "./errors.js";
import type { MutationQueue, OfflineOptions, View, ViewOptions } from "./live.js";

export type * from "./live.js";

/** Bytes as they are, or text that is sent as UTF-8. */
export type Bytes = Uint8Array | string;

/**
 * A run of keys in byte order: those that begin with a prefix, a single one, or those from `start`
 * (included) to `end` (left out). `{}` means every key.
 */
export type Range =
  | { prefix: Bytes }
  | { key: Bytes }
  | { start?: Bytes; end?: Bytes };

/** A key with its value and what the store knows about it. */
export interface Entry {
  /** The key as text. A key that is no UTF-8 shows U+FFFD where it is not; see `keyBytes`. */
  readonly key: string;
  /** The key's bytes. */
  readonly keyBytes: Uint8Array;
  /** The value's bytes; empty when only keys were asked for. */
  readonly value: Uint8Array;
  /** The value as UTF-8 text. */
  text(): string;
  /** The value parsed as JSON; throws a `SyntaxError` when it is none. */
  json<T = unknown>(): T;
  /** Revision of the last write to the key. Revisions only grow and stay below 2^53. */
  readonly revision: number;
  /** Revision of the write that made the key appear. */
  readonly created: number;
  /** How many writes the key has had since it appeared; 1 when it is new. */
  readonly version: number;
  /** When the key ends, in milliseconds since the Unix epoch by the server's clock. */
  readonly expiresAt: number | undefined;
  /** The lease that the key goes with; such a key has no end of its own. */
  readonly lease: number | undefined;
}

/** A `WebSocket` class: the platform's own, or one such as that of the package `ws`. */
export interface WebSocketConstructor {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- implementations differ in detail
  new (url: string, protocols?: string): any;
}

/** How tabs share a connection: `tabs()` of the entry `tidekeep/tabs` makes one. */
export interface TabSharing {
  /** @internal */
  share(kit: Kit): Connection;
}

/** How a client behaves; every part has a default. */
export interface ConnectOptions {
  /**
   * The class to connect with. Default: the platform's `WebSocket`, else that of the package `ws`
   * if it is installed (Node before 22).
   */
  WebSocket?: WebSocketConstructor;
  /** How long a call may take before it fails with `timeout`, in milliseconds. Default 10,000. */
  timeoutMs?: number;
  /** Closes the client when it fires. */
  signal?: AbortSignal;
  /** Keeps the queue, and views with `persist`, over reloads and restarts. Default: in memory. */
  offline?: OfflineOptions;
  /** Shares one connection among all tabs: `tabs()` of the entry `tidekeep/tabs`. */
  tabs?: TabSharing;
  /** How long keys put with `session` outlive a client that vanishes, in ms. Default 10,000. */
  sessionTtlMs?: number;
  /** Calls that wait for a connection or for their reply. */
  queue?: {
    /** Most of them at once; more fail with `resource-exhausted`. Default 4,096. */
    max?: number;
  };
  /** How long to wait before connecting again: a random part of a time that doubles. */
  backoff?: {
    /** The first time, in milliseconds. Default 100. */
    minMs?: number;
    /** The longest, in milliseconds. Default 20,000. */
    maxMs?: number;
  };
}

/** What every call takes. */
export interface CallOptions {
  /** Gives the call up when it fires. */
  signal?: AbortSignal;
  /** How long this call may take, in milliseconds, instead of the client's `timeoutMs`. */
  timeoutMs?: number;
}

/** What must hold of the key for a write to apply; at most one of them. */
export interface ConditionOptions {
  /** The key must not exist. */
  ifAbsent?: boolean;
  /** The key must exist. */
  ifPresent?: boolean;
  /** The key's last write must be this revision. */
  ifRevision?: number;
  /** The key's value must be exactly this. */
  ifValue?: Bytes;
}

/** When the key ends; at most one of them. With none, it does not end by itself. */
export interface ExpiryOptions {
  /** After this many milliseconds. */
  ttlMs?: number;
  /** At this time, in milliseconds since the Unix epoch by the server's clock. */
  expiresAt?: number | Date;
  /** As it was before; a new key does not end. */
  keepTtl?: boolean;
  /** With this lease. Fails with `not-found` when there is no such lease. */
  lease?: number;
}

/** How to put. */
export interface PutOptions extends CallOptions, ConditionOptions, ExpiryOptions {
  /**
   * The key is there for as long as this client is: it goes with the client's own lease, at once
   * when the client is closed, and 10 s (see `sessionTtlMs`) after it has vanished. A page that is
   * loaded again and puts the key again meanwhile keeps it, without an event that it was gone.
   */
  session?: boolean;
  /** Whether the entry that was replaced is returned. */
  previous?: boolean;
}

/** How to delete. */
export interface DeleteOptions extends CallOptions, ConditionOptions {
  /** Whether the entry that was removed is returned. */
  previous?: boolean;
}

/** How to touch. */
export interface TouchOptions extends CallOptions, ConditionOptions, ExpiryOptions {}

/** How to increment. */
export interface IncrementOptions extends CallOptions, ExpiryOptions {}

/** A write that applied. */
export interface Written {
  /** The write's revision. */
  readonly revision: number;
  /** The entry that was replaced, if it was asked for and there was one. */
  readonly previous: Entry | undefined;
}

/** What a delete did. */
export interface Deleted {
  /** Whether there was something to delete. */
  readonly deleted: boolean;
  /** The write's revision, or the store's if nothing was deleted. */
  readonly revision: number;
  /** The entry that was removed, if it was asked for and there was one. */
  readonly previous: Entry | undefined;
}

/** What a touch did. */
export interface Touched {
  /** The write's revision. */
  readonly revision: number;
  /** The key's new end, in milliseconds since the Unix epoch. */
  readonly expiresAt: number | undefined;
}

/** A number after an increment. */
export interface Incremented {
  /** The write's revision. */
  readonly revision: number;
  /** The number; rounded beyond 2^53, where the entry's text still has every digit. */
  readonly value: number;
}

/** What a range delete did. */
export interface RangeDeleted {
  /** How many keys were removed. */
  readonly deleted: number;
  /** The last write's revision, or the store's if nothing was deleted. */
  readonly revision: number;
}

/** A lease: kept alive until it is revoked, its client is closed, or it is lost. */
export interface Lease {
  /** Its number: give it as `lease` to writes whose keys shall go with it. Numbers grow. */
  readonly id: number;
  /** How long it lives when it is no longer kept alive. */
  readonly ttlMs: number;
  /**
   * Fires when the lease is lost: the server says that it is over, or there was no word from it for
   * the lease's whole time. The reason is a `TidekeepError`.
   */
  readonly signal: AbortSignal;
  /** Ends it now and removes its keys, all at one revision. */
  revoke(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One of the leases there are. */
export interface ListedLease {
  readonly lease: number;
  readonly ttlMs: number;
  /** When it ends unless it is kept alive, in milliseconds since the Unix epoch. */
  readonly expiresAt: number;
  /** How many keys go with it. */
  readonly keys: number;
}

/** How to wait for a lock and hold it. */
export interface LockOptions {
  /** How long the lock stays held after its holder has vanished, in ms. Default 10,000. */
  ttlMs?: number;
  /** What others see as the key's value, such as the holder's name. Default: nothing. */
  value?: Bytes;
  /** Gives up waiting when it fires. */
  signal?: AbortSignal;
}

/** A lock that is held. */
export interface Lock {
  /**
   * Greater than that of every holder before. Give it along with whatever the lock protects: what
   * bears a smaller one than was seen before comes from somebody who has lost the lock.
   */
  readonly fencing: number;
  /** Fires when the lock is lost; see `Lease.signal`. Stop what you do under it. */
  readonly signal: AbortSignal;
  /** Gives it to the next. */
  release(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** How to scan. */
export interface ScanOptions extends CallOptions {
  /** Most entries in all. Default: no limit. */
  limit?: number;
  /** Largest key first. */
  reverse?: boolean;
  /** Leave values out. */
  keysOnly?: boolean;
  /** Most entries fetched at once. Default: what the server likes. */
  pageSize?: number;
}

/** How to list children. */
export interface ChildrenOptions extends CallOptions {
  /** Most names in all. Default: no limit. */
  limit?: number;
  /** Most names fetched at once. Default: what the server likes. */
  pageSize?: number;
}

/** A name directly below a prefix: a key, or all keys that go on behind the next delimiter. */
export interface Child {
  /** The name without the prefix, as text; a branch's ends with the delimiter. */
  readonly name: string;
  /** The name's bytes. */
  readonly nameBytes: Uint8Array;
  /** The whole key, or the whole prefix of a branch. */
  readonly keyBytes: Uint8Array;
  /** Whether keys lie below this name, rather than it being a key. */
  readonly branch: boolean;
}

/** A part of a longer list, read at one revision; `A` names places in the list. */
export interface Page<T, A = Uint8Array> {
  /** What the page holds, in order. */
  readonly items: T[];
  /** The store's revision when it was read. */
  readonly revision: number;
  /** Where the next page begins: give it to `page`. Undefined behind the last page. */
  readonly after: A | undefined;
}

/** A list that is read page by page, as far as it is asked for. */
export interface Pages<T, A = Uint8Array> extends AsyncIterable<T> {
  /** Reads one page: the first, or the one behind an earlier page's `after`. */
  page(after?: A): Promise<Page<T, A>>;
  /** Reads everything; fails with `too-large` when there are more than `max`. */
  toArray(max: number): Promise<T[]>;
}

/** How to watch. */
export interface WatchOptions {
  /** Ends the watch when it fires; the iteration then ends too, without an error. */
  signal?: AbortSignal;
  /** Whether what the range holds comes first, as `entry` events. */
  content?: boolean;
  /** Whether changes bear the entry as it was before. */
  previous?: boolean;
  /**
   * Whether a reader that is behind gets the last change of each key only: what it has not had yet is
   * merged, whole transactions at a time. For values that are shown and soon replaced.
   */
  latest?: boolean;
  /**
   * Goes on behind an earlier watch, from its `cursor`. One of no bytes stands before all changes that the
   * server still remembers: with the range of one key and `previous`, the watch tells its history.
   */
  cursor?: Uint8Array;
  /**
   * How many changes may wait to be read. When there are more, the watch stops asking for them and
   * goes on from the same place once they are read. Default 10,000.
   */
  buffer?: number;
}

/** What a watch yields. */
export type WatchEvent =
  | ContentEvent
  | CaughtUpEvent
  | PutEvent
  | RemoveEvent
  | ResetEvent;

/**
 * One entry of what the range holds, in key order. After a gap that the server cannot fill, one that
 * is new or changed; keys that are gone come as `delete`, all with the revision of `caught-up`.
 */
export interface ContentEvent {
  readonly type: "entry";
  readonly entry: Entry;
}

/** The content, or the changes since the cursor, are complete; what follows is live. */
export interface CaughtUpEvent {
  readonly type: "caught-up";
  /** Everything up to this revision was seen. */
  readonly revision: number;
}

/** A key was set, touched or incremented. */
export interface PutEvent {
  readonly type: "put";
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** The revision of the write; changes made by one transaction share it. */
  readonly revision: number;
  /** The entry as it is now. */
  readonly entry: Entry;
  /** The entry as it was, if it was asked for and there was one. */
  readonly previous: Entry | undefined;
}

/**
 * A key was removed by a client (`delete`), its time was over (`expire`), or the server removed it to
 * make room below its memory limit (`evict`).
 */
export interface RemoveEvent {
  readonly type: "delete" | "expire" | "evict";
  readonly key: string;
  readonly keyBytes: Uint8Array;
  readonly revision: number;
  /** The entry as it was, if it was asked for. */
  readonly previous: Entry | undefined;
}

/**
 * The server no longer remembers what happened since the last event, so the whole content follows
 * as `entry` events up to the next `caught-up`. Forget what was known of the range. Watches that
 * began with `content` are told the difference instead, while their keys fit 16 MiB.
 */
export interface ResetEvent {
  readonly type: "reset";
}

/** A running watch. Leaving a `for await` over it ends it. */
export interface Watch extends AsyncIterableIterator<WatchEvent> {
  /**
   * Behind everything that was read so far: a later watch with this cursor misses nothing and
   * repeats nothing. Undefined before the first event that has a position.
   */
  readonly cursor: Uint8Array | undefined;
  /** Ends the watch. */
  close(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * One operation of a transaction. A `deleteRange` removes at most `limit` keys, or as many as the
 * server removes at once; its result says whether there are more.
 */
export type TxnOp =
  | { op: "get"; key: Bytes }
  | ({ op: "put"; key: Bytes; value: Bytes; previous?: boolean } & ConditionOptions & ExpiryOptions)
  | ({ op: "delete"; key: Bytes; previous?: boolean } & ConditionOptions)
  | ({ op: "touch"; key: Bytes } & ConditionOptions & ExpiryOptions)
  | ({ op: "increment"; key: Bytes; by?: number } & ExpiryOptions)
  | { op: "deleteRange"; range: Range; limit?: number };

/** The result of one operation of a transaction. */
export type TxnOpResult =
  | { op: "get"; entry: Entry | undefined }
  | ({ op: "put" } & Written)
  | ({ op: "delete" } & Deleted)
  | { op: "touch"; touched: Touched | undefined }
  | ({ op: "increment" } & Incremented)
  | ({ op: "deleteRange"; more: boolean } & RangeDeleted);

/** What a transaction did. */
export interface TxnResult {
  /** Whether the comparisons held, so that the operations of `then` ran and not those of `else`. */
  readonly succeeded: boolean;
  /** The transaction's revision, or the store's if it changed nothing. */
  readonly revision: number;
  /** One result for each operation that ran, in order. */
  readonly results: TxnOpResult[];
}

/**
 * A transaction: comparisons, then one of two lists of operations, all at one revision or not at
 * all. It is no promise in spite of its `then`: call `commit`.
 */
export interface Txn {
  /** Adds a comparison; all of them must hold. */
  when(key: Bytes, condition: ConditionOptions): Txn;
  /** Adds operations that run if the comparisons hold. */
  then(...ops: TxnOp[]): Txn;
  /** Adds operations that run if they do not. */
  else(...ops: TxnOp[]): Txn;
  /** Sends it. A refused condition or increment among the operations undoes it all and rejects. */
  commit(options?: CallOptions): Promise<TxnResult>;
}

/** What the server said of itself when it was connected to. */
export interface ServerInfo {
  /** Name and version of the server's software. */
  readonly software: string;
  /** The protocol version both speak. */
  readonly protocol: number;
  /** Who the server is, in hex: made when its process starts. */
  readonly serverId: string;
  /** Whose data it serves, in hex: made when the store was. */
  readonly storeId: string;
  /** The connection's bounds, in bytes where the name says so. */
  readonly limits: {
    readonly keyBytes: number;
    readonly valueBytes: number;
    readonly inFlight: number;
    readonly watches: number;
    readonly scanEntries: number;
    readonly txnOperations: number;
  };
}

/** What the server says of itself now. */
export interface ServerStatus {
  /** Name and version of the server's software. */
  readonly software: string;
  /** When an acknowledged write is safe: `always`, `interval` or `none`. */
  readonly durability: string;
  /** Figures by name, such as `keys`, `revision`, `memory_bytes`, `connections`, `uptime_ms`. */
  readonly figures: Readonly<Record<string, number>>;
}

/**
 * Where a client stands: `idle` until it has something to do, `connecting`, `ready`,
 * `reconnecting` after a break, `closed` for good.
 */
export type ConnectionState = "idle" | "connecting" | "ready" | "reconnecting" | "closed";

/** What `on` listens to. */
export interface ClientEvents {
  /** The connection's state changed. */
  state: (state: ConnectionState) => void;
  /** A connection or an attempt to make one ended, and why. */
  disconnect: (error: TidekeepError) => void;
  /** The keys put with `session` are gone: the lease was lost. Put them again. */
  session: (error: TidekeepError) => void;
  /**
   * What should outlive the page cannot be kept: no room, a private window, or another client has it
   * open. The queue goes on in memory if it could not be opened.
   */
  storage: (error: TidekeepError) => void;
}

/** A connection to a store, which mends itself. Any number of calls may be under way at once. */
export interface Client {
  /** Where the connection stands. */
  readonly state: ConnectionState;
  /** What the server said of itself; undefined before the first connection. */
  readonly server: ServerInfo | undefined;
  /** The server's clock now, in milliseconds since the Unix epoch, as far as it is known. */
  serverTime(): number;
  /** Calls `listener` at every such event, until the function that is returned is called. */
  on<K extends keyof ClientEvents>(event: K, listener: ClientEvents[K]): () => void;

  /** The entry of a key; undefined when there is none. */
  get(key: Bytes, options?: CallOptions): Promise<Entry | undefined>;
  /** Sets a key. Fails with `conflict`, bearing the current entry, when a condition is not met. */
  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<Written>;
  /** Removes a key. Fails with `conflict` when a condition is not met. */
  delete(key: Bytes, options?: DeleteOptions): Promise<Deleted>;
  /** Removes every key of a range, page by page; each page is one write. */
  deleteRange(range: Range, options?: CallOptions): Promise<RangeDeleted>;
  /** Moves the time at which a key ends; undefined when there is no such key. */
  touch(key: Bytes, options?: TouchOptions): Promise<Touched | undefined>;
  /** Adds to a number kept as decimal text; an absent key counts from 0. */
  increment(key: Bytes, by?: number, options?: IncrementOptions): Promise<Incremented>;
  /** The entries of a range in key order. */
  scan(range: Range, options?: ScanOptions): Pages<Entry>;
  /** How many keys a range has; with a limit, counting stops there. */
  count(range: Range, options?: CallOptions & { limit?: number }): Promise<number>;
  /** What stands directly below a prefix, as a folder lists its content. */
  children(prefix: Bytes, delimiter?: Bytes, options?: ChildrenOptions): Pages<Child>;
  /** Every change to a range from now on, in order; resumes by itself after a break. */
  watch(range: Range, options?: WatchOptions): Watch;
  /** A range that is kept here, live, with what the queue has not sent yet. */
  view(range: Range, options?: ViewOptions): View;
  /** Writes that need no connection, and outlive the page with `ConnectOptions.offline`. */
  readonly queue: MutationQueue;
  /** Makes a lease of 200 ms to 30 days and keeps it alive. */
  lease(ttlMs: number, options?: CallOptions): Promise<Lease>;
  /** The leases there are, oldest first. */
  leases(options?: CallOptions): Promise<ListedLease[]>;
  /**
   * Ends any lease now, whoever holds it, and removes its keys; gives how many those were. Fails with
   * `not-found` when there is no such lease.
   */
  revokeLease(lease: number, options?: CallOptions): Promise<number>;
  /** Waits until the key `name` is free, and holds it. */
  lock(name: Bytes, options?: LockOptions): Promise<Lock>;
  /**
   * Waits until nobody leads, and leads: `value` is the key's until the leadership is released or
   * lost. To see who leads, watch the key.
   */
  elect(name: Bytes, value: Bytes, options?: LockOptions): Promise<Lock>;
  /** A transaction to fill and commit. */
  txn(): Txn;
  /** The time of a round trip to the server, in milliseconds. */
  ping(options?: CallOptions): Promise<number>;
  /** What the server says of itself now. */
  status(options?: CallOptions): Promise<ServerStatus>;
  /** The whole store at one revision, as the bytes of a backup file, piece by piece. */
  backup(options?: CallOptions): AsyncIterable<Uint8Array>;
  /** Lets calls that are under way settle, for at most 5 s, then ends the connection for good. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
