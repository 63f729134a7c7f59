// What the client's calls, watches and leases stand on: the engine of this page (engine.ts), or that
// of another tab which this one shares (tabs/).

import type { Reader, Writer } from "./codec.js";
import type { Engine, Parts, Subscription, WatchSink } from "./engine.js";
import type { TidekeepError } from "./errors.js";
import type { Settlement } from "./queue.js";
import type { CallOptions, ClientEvents, ConnectionState, QueueEvents, ServerInfo } from "./types.js";

/** What a connection tells: what users of the client and of its queue hear, and what the queue does. */
export interface ConnectionEvents extends ClientEvents, QueueEvents {
  /** A mutation outlives the page from now on. */
  stored: (mutation: number) => void;
  /** A mutation's end as it came. */
  end: (settlement: Settlement) => void;
  /** The core has begun, with what was stored: mutations that it does not have are lost. */
  anew: () => void;
}

/** Of a watch that is kept as a view: its messages are patches. */
export interface Kept {
  /** Whether it is stored, so that the next page begins with it. */
  persist: boolean;
}

/** A way to a store. */
export interface Connection {
  readonly state: ConnectionState;
  readonly server: ServerInfo | undefined;
  serverTime(): number;
  on<K extends keyof ConnectionEvents>(event: K, listener: ConnectionEvents[K]): () => void;
  emit<K extends keyof ConnectionEvents>(
    event: K,
    ...args: Parameters<ConnectionEvents[K]>
  ): void;
  /** Sends a request and reads its reply. `writes` says whether it may change something. */
  call<T>(
    kind: number,
    write: (to: Writer) => Writer,
    read: (reply: Reader) => T,
    options?: CallOptions,
    writes?: boolean,
  ): Promise<T>;
  /** Opens a watch, whose messages go to `sink`. */
  watch(write: (to: Writer) => Writer, sink: WatchSink, kept?: Kept): Promise<Subscription>;
  /** Queues a mutation; `made` gets its id before anything else is told of it. */
  enqueue(
    kind: number,
    write: (to: Writer) => Writer,
    made: (id: number) => void,
  ): Promise<void>;
  /** The rows of all mutations that have not settled. */
  mutations(): Promise<Uint8Array>;
  /** Takes a mutation back that was not sent; whether it could be. */
  discard(mutation: number): Promise<boolean>;
  /** Keeps a lease alive, whose time counts from `since`, until it is lost. */
  keep(lease: number, ttlMs: number, since: number, lost: (error: TidekeepError) => void): void;
  /** Keeps a lease no longer. */
  forget(lease: number): void;
  /** Does what is due: timers may be late where this is called. */
  tick(): void;
  /** The page became visible or the network came back: no need to wait out a pause. */
  woke(): void;
  /** Lets what is under way settle, then ends for good. */
  close(): Promise<void>;
}

/** What the client lends to those who share its connection, so that they need no copy of it. */
export interface Kit {
  parts: Parts;
  Engine: typeof Engine;
  Reader: typeof Reader;
  Writer: typeof Writer;
  TidekeepError: typeof TidekeepError;
}
