// The client as users hold it: one method an operation, each a request written and a reply read.

import { onAbort } from "./abort.js";
import { Kind, Reader, Writer } from "./codec.js";
import type { Connection } from "./connection.js";
import { Engine } from "./engine.js";
import type { Parts } from "./engine.js";
import { toBytes } from "./entry.js";
import { TidekeepError } from "./errors.js";
import { grant, held, isGone, revoke } from "./lease.js";
import type { HeldLease } from "./lease.js";
import * as operations from "./operations.js";
import type { Asked, Operation } from "./operations.js";
import { paged } from "./pages.js";
import { OfflineQueue } from "./queue.js";
import { bounds, successor } from "./range.js";
import * as replies from "./replies.js";
import * as requests from "./requests.js";
import { Projection } from "./requests.js";
import { TxnBuilder } from "./txn.js";
import type {
  Bytes,
  CallOptions,
  Child,
  ChildrenOptions,
  Client,
  ClientEvents,
  ConnectionState,
  Deleted,
  DeleteOptions,
  Entry,
  Incremented,
  IncrementOptions,
  ListedLease,
  Lock,
  LockOptions,
  Pages,
  PutOptions,
  Range,
  RangeDeleted,
  ScanOptions,
  ServerInfo,
  ServerStatus,
  Touched,
  TouchOptions,
  Txn,
  View,
  ViewOptions,
  Watch,
  WatchOptions,
  Written,
} from "./types.js";
import { LiveView } from "./view.js";
import { QueuedWatch } from "./watch.js";

/** How long a key outlives a holder that vanishes. */
const SESSION_TTL_MS = 10_000;

export class EngineClient implements Client {
  readonly queue: OfflineQueue;
  readonly #engine: Connection;
  readonly #sessionTtlMs: number;
  /** The lease of keys put with `session`, once one was. */
  #session: Promise<HeldLease> | undefined;
  #begun: HeldLease | undefined;

  constructor(parts: Parts) {
    const { tabs } = parts.options;
    const kit = { parts, Engine, Reader, Writer, TidekeepError };
    this.#engine = tabs ? tabs.share(kit) : new Engine(parts);
    this.queue = new OfflineQueue(this.#engine);
    this.#sessionTtlMs = parts.options.sessionTtlMs ?? SESSION_TTL_MS;
  }

  get state(): ConnectionState {
    return this.#engine.state;
  }

  get server(): ServerInfo | undefined {
    return this.#engine.server;
  }

  serverTime(): number {
    return this.#engine.serverTime();
  }

  on<K extends keyof ClientEvents>(event: K, listener: ClientEvents[K]): () => void {
    return this.#engine.on<keyof ClientEvents>(event, listener);
  }

  get(key: Bytes, options?: CallOptions): Promise<Entry | undefined> {
    return this.#do(operations.get, { ...options, key }, false);
  }

  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<Written> {
    if (options.session) return this.#putHere(key, value, { ...options, session: false });
    return this.#do(operations.put, { ...options, key, value });
  }

  delete(key: Bytes, options?: DeleteOptions): Promise<Deleted> {
    return this.#do(operations.remove, { ...options, key });
  }

  async deleteRange(range: Range, options?: CallOptions): Promise<RangeDeleted> {
    for (let deleted = 0; ; ) {
      const page = await this.#do(operations.deleteRange, { ...options, range });
      deleted += page.deleted;
      if (!page.more) return { deleted, revision: page.revision };
    }
  }

  async lease(ttlMs: number, options?: CallOptions): Promise<HeldLease> {
    return grant(this.#engine, ttlMs, options);
  }

  leases(options: CallOptions = {}): Promise<ListedLease[]> {
    const fetch = (after = 0) => {
      const write = (to: Writer) => to.number(after).number(0);
      return this.#engine.call(Kind.leases, write, replies.leases, options);
    };
    return paged<ListedLease, number>(fetch, {}).toArray(Infinity);
  }

  revokeLease(lease: number, options?: CallOptions): Promise<number> {
    return revoke(this.#engine, lease, options);
  }

  async lock(name: Bytes, options: LockOptions = {}): Promise<Lock> {
    const { ttlMs = SESSION_TTL_MS, value = "", signal } = options;
    const lease = await this.lease(ttlMs, { signal });
    try {
      for (;;) {
        try {
          const put = { ifAbsent: true, lease: lease.id, signal };
          const { revision } = await this.put(name, value, put);
          return held(revision, lease);
        } catch (error) {
          if ((error as TidekeepError).code !== "conflict") throw error;
        }
        await this.#gone(name, [lease.signal, signal]);
      }
    } catch (error) {
      // The reason to fail is the first one.
      lease.revoke().catch(() => {});
      throw error;
    }
  }

  elect(name: Bytes, value: Bytes, options?: LockOptions): Promise<Lock> {
    return this.lock(name, { ...options, value });
  }

  /** Puts a key that goes with this client, if need be with a new lease after one was lost. */
  async #putHere(key: Bytes, value: Bytes, options: PutOptions): Promise<Written> {
    for (let again = true; ; again = false) {
      const lease = await (this.#session ??= this.#begin());
      try {
        return await this.put(key, value, { ...options, lease: lease.id });
      } catch (error) {
        if (!again || !isGone(error)) throw error;
        lease.lose(error);
      }
    }
  }

  /** The lease of keys put with `session`. */
  async #begin(): Promise<HeldLease> {
    try {
      const lease = await this.lease(this.#sessionTtlMs);
      lease.signal.throwIfAborted();
      lease.signal.addEventListener("abort", () => {
        this.#session = undefined;
        this.#engine.emit("session", lease.signal.reason);
      });
      return (this.#begun = lease);
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
  }

  /** Waits until there is no such key. */
  async #gone(key: Bytes, signals: (AbortSignal | undefined)[]): Promise<void> {
    const watch = this.watch({ key }, { content: true });
    const stops = signals.map((signal) => onAbort(signal, () => watch.close()));
    try {
      let there = false;
      for await (const { type } of watch) {
        if (type === "reset") there = false;
        else if (type !== "caught-up") there = type === "entry" || type === "put";
        if (!there && type !== "reset") return;
      }
      for (const signal of signals) signal?.throwIfAborted();
    } finally {
      for (const stop of stops) stop();
    }
  }

  touch(key: Bytes, options?: TouchOptions): Promise<Touched | undefined> {
    return this.#do(operations.touch, { ...options, key });
  }

  increment(key: Bytes, by = 1, options?: IncrementOptions): Promise<Incremented> {
    return this.#do(operations.increment, { ...options, key, by });
  }

  /** Asks for an operation on a key or a range; `asked` holds all it is told. */
  #do<T>(
    { kind, writeRequest, readReply }: Operation<T>,
    asked: Asked,
    writes = true,
  ): Promise<T> {
    const key = toBytes(asked.key ?? "");
    const read = (reply: Reader) => readReply(reply, key);
    return this.#engine.call(kind, (to) => writeRequest(to, asked), read, asked, writes);
  }

  scan(range: Range, options: ScanOptions = {}): Pages<Entry> {
    const { reverse, keysOnly } = options;
    const projection = keysOnly ? Projection.keys : Projection.full;
    const whole = bounds(range);
    return paged((after, limit) => {
      const start = after && !reverse ? successor(after) : whole.start;
      const end = after && reverse ? after : whole.end;
      const write = (to: Writer) => requests.scan(to, { start, end }, limit, reverse, projection);
      return this.#engine.call(Kind.scan, write, replies.scanned, options);
    }, options);
  }

  async count(range: Range, options: CallOptions & { limit?: number } = {}): Promise<number> {
    const whole = bounds(range);
    const write = (to: Writer) =>
      requests.scan(to, whole, options.limit ?? 0, false, Projection.count);
    return (await this.#engine.call(Kind.scan, write, replies.scanned, options)).count;
  }

  children(prefix: Bytes, delimiter: Bytes = "/", options: ChildrenOptions = {}): Pages<Child> {
    const above = toBytes(prefix);
    return paged((after, limit) => {
      const write = (to: Writer) => requests.children(to, above, delimiter, after, limit);
      const read = (reply: Reader) => replies.children(reply, above);
      return this.#engine.call(Kind.children, write, read, options);
    }, options);
  }

  watch(range: Range, options: WatchOptions = {}): Watch {
    return new QueuedWatch(this.#engine, range, options);
  }

  view(range: Range, options: ViewOptions = {}): View {
    return new LiveView(this.#engine, range, options);
  }

  txn(): Txn {
    return new TxnBuilder(this.#engine);
  }

  async ping(options?: CallOptions): Promise<number> {
    const start = performance.now();
    await this.#engine.call(Kind.ping, (to) => to, () => undefined, options);
    return performance.now() - start;
  }

  status(options?: CallOptions): Promise<ServerStatus> {
    return this.#engine.call(Kind.status, (to) => to, replies.status, options);
  }

  async *backup(options?: CallOptions): AsyncGenerator<Uint8Array, void, undefined> {
    for (let offset = 0, done = false; !done; ) {
      const write = (to: Writer) => to.number(offset);
      const piece = await this.#engine.call(Kind.backup, write, replies.backup, options);
      ({ done } = piece);
      offset += piece.bytes.length;
      yield piece.bytes;
    }
  }

  close(): Promise<void> {
    // On its way before the client closes; who waits for that waits for the reply too.
    this.#begun?.revoke().catch(() => {});
    return this.#engine.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
