// The entry `tidekeep/testing`: a server in memory, for tests of programs that use the client. The real
// client speaks the real protocol to it, over a WebSocket class that needs no network.

import { toBytes, toText } from "./entry.js";
import { Link } from "./testing/link.js";
import type { Session, Shared } from "./testing/link.js";
import { Store } from "./testing/store.js";
import type { Bytes, WebSocketConstructor } from "./types.js";

/**
 * A server in memory:
 *
 * ```js
 * const server = new MemoryServer();
 * const client = connect("ws://memory", { WebSocket: server.WebSocket });
 * ```
 *
 * It does all that a client can ask for but backups, with revisions, conditions, transactions, ends,
 * leases, watches that resume, and writes that are applied once over `cut` and `restore`. It is one
 * node without a disk: nothing outlives it, it has no limits on memory or rates, it never cuts slow
 * readers, and watches with `latest` are told of every change. Numbers beyond 2^53 are not exact.
 */
export class MemoryServer {
  /** Give it to `connect`, with any `ws:` address. */
  readonly WebSocket: WebSocketConstructor;
  readonly #shared: Shared;
  readonly #sockets = new Set<MemorySocket>();
  #skewMs = 0;
  #reachable = true;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    const server = this;
    const now = () => Date.now() + this.#skewMs;
    const random = () => crypto.getRandomValues(new Uint8Array(16));
    this.#shared = {
      store: new Store(now, (step) => {
        for (const socket of this.#sockets) socket.link?.step(step);
        queueMicrotask(() => this.#arm());
      }),
      ids: { server: random(), store: random() },
      sessions: new Map<string, Session>(),
      now,
    };
    this.WebSocket = class extends MemorySocket {
      constructor() {
        super((socket) => server.#sockets.delete(socket));
        queueMicrotask(() => server.#accept(this));
      }
    };
  }

  /** The value of a key as text; undefined when there is none. */
  get(key: Bytes): string | undefined {
    this.#shared.store.expire();
    const entry = this.#shared.store.get(toBytes(key));
    return entry && toText(entry.value);
  }

  /** All keys in order. */
  keys(): string[] {
    this.#shared.store.expire();
    const all = this.#shared.store.range({ start: new Uint8Array(), end: undefined });
    return all.map(({ key }) => toText(key));
  }

  /** Sets a key, as another client would. */
  put(key: Bytes, value: Bytes): void {
    const { store } = this.#shared;
    store.write((step) => store.put(step, toBytes(key).slice(), toBytes(value).slice(), { is: 0 }));
  }

  /** Removes a key, as another client would; whether there was one. */
  delete(key: Bytes): boolean {
    const { store } = this.#shared;
    const entry = store.get(toBytes(key));
    if (entry) store.write((step) => store.remove(step, entry));
    return !!entry;
  }

  /** Breaks all connections, and takes none until `restore`. */
  cut(): void {
    this.#reachable = false;
    for (const socket of [...this.#sockets]) socket.break();
  }

  /** Takes connections again. */
  restore(): void {
    this.#reachable = true;
  }

  /** Sets the server's clock forward: what ends by then has ended. */
  advance(ms: number): void {
    this.#skewMs += ms;
    this.#shared.store.expire();
    this.#arm();
  }

  #accept(socket: MemorySocket): void {
    if (!this.#reachable) return socket.break();
    this.#sockets.add(socket);
    socket.accept(new Link(this.#shared, (message) => socket.deliver(message)));
  }

  /** Comes back when something ends. */
  #arm(): void {
    clearTimeout(this.#timer);
    const { store } = this.#shared;
    const wait = store.earliest() - this.#shared.now();
    if (wait === Infinity) return;
    this.#timer = setTimeout(() => {
      store.expire();
      this.#arm();
    }, Math.min(Math.max(wait, 0), 2 ** 31 - 1));
    // It keeps no Node process alive.
    (this.#timer as { unref?(): void }).unref?.();
  }
}

/** A WebSocket whose other end is here. Bytes arrive in a turn of their own, as from a network. */
class MemorySocket {
  static readonly OPEN = 1;
  readyState = 0;
  binaryType = "blob";
  onopen: ((event: object) => void) | null = null;
  onmessage: ((event: object) => void) | null = null;
  onclose: ((event: object) => void) | null = null;
  link: Link | undefined;
  readonly #gone: (socket: MemorySocket) => void;

  constructor(gone: (socket: MemorySocket) => void) {
    this.#gone = gone;
  }

  addEventListener(): void {}

  send(data: Uint8Array): void {
    const message = data.slice();
    queueMicrotask(() => this.readyState === 1 && this.link?.take(message));
  }

  close(): void {
    this.readyState = 3;
    this.#gone(this);
  }

  accept(link: Link): void {
    if (this.readyState !== 0) return;
    this.link = link;
    this.readyState = 1;
    this.onopen?.({});
  }

  deliver(message: Uint8Array): void {
    queueMicrotask(() => this.readyState === 1 && this.onmessage?.({ data: message.buffer }));
  }

  break(): void {
    if (this.readyState === 3) return;
    this.close();
    this.onclose?.({});
  }
}
