// Drives one wasm instance: hands requests over, settles promises from what each drain left, and
// lends it the clock, the timer and the socket's constructor. A trap ends the instance, not the
// client: what was under way is rejected and the next call starts a fresh one.

import makeGlue from "tidekeep-glue";
import type { Glue } from "tidekeep-glue";
import { Reader, Writer } from "./codec.js";
import { codeOf, TidekeepError } from "./errors.js";
import type { ErrorDetails, Outcome } from "./errors.js";
import type {
  CallOptions,
  ClientEvents,
  ConnectionState,
  ConnectOptions,
  ServerInfo,
  WebSocketConstructor,
} from "./types.js";

/** What a record of a drain is about, as src/packed.rs draws it. */
const About = {
  reply: 1,
  failed: 2,
  message: 3,
  reset: 4,
  ended: 5,
  state: 6,
  welcome: 7,
  lost: 9,
} as const;
const STATES: ConnectionState[] = ["idle", "connecting", "ready", "reconnecting", "closed"];
const OUTCOMES: Outcome[] = ["not-applied", "applied", "unknown"];
const TIMEOUT_MS = 10_000;
const QUEUE_MAX = 4096;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 20_000;
/** The longest delay that `setTimeout` understands. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** A call that is under way. */
interface Waiting {
  /** Whether a reply that never came leaves it open what happened. */
  writes: boolean;
  resolve(reply: Reader): void;
  reject(error: TidekeepError): void;
}

/** What a watch gets to hear. */
export interface WatchSink {
  message(reader: Reader): void;
  reset(): void;
  ended(error: TidekeepError): void;
}

/** What a watch can ask for. */
export interface Subscription {
  pause(): void;
  resume(): void;
  end(): void;
}

/** Where an engine finds what it runs on. */
export interface Parts {
  /** Servers with the same store: each connection goes to the next. */
  urls: string[];
  options: ConnectOptions;
  module: Promise<WebAssembly.Module>;
  socket: Promise<WebSocketConstructor>;
}

type Listeners = { [K in keyof ClientEvents]: Set<ClientEvents[K]> };

export class Engine {
  state: ConnectionState = "idle";
  server: ServerInfo | undefined;
  readonly #parts: Parts;
  #opened = 0;
  readonly #listeners: Listeners = {
    state: new Set(),
    disconnect: new Set(),
    session: new Set(),
  };
  #glue: Glue | undefined;
  #loading: Promise<Glue> | undefined;
  #calls = new Map<number, Waiting>();
  #watches = new Map<number, WatchSink>();
  /** Whom to tell when a lease that is kept alive is lost. */
  #leases = new Map<number, (error: TidekeepError) => void>();
  /** The latest one, to close when its instance cannot. */
  #socket: { close(): void } | undefined;
  #flushing = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Added to the local clock that never goes back, gives the server's time. */
  #serverClock = Date.now() - performance.now();
  readonly #woke = () => {
    if (globalThis.document?.visibilityState !== "hidden") this.#run((glue) => glue.woke());
  };

  constructor(parts: Parts) {
    this.#parts = parts;
    const { signal } = parts.options;
    // A client that never loads waits for neither; a failure there would end a Node process.
    Promise.all([parts.module, parts.socket]).catch(() => {});
    if (signal?.aborted) this.#closed(closed(signal.reason));
    else this.#load().catch(() => {});
    signal?.addEventListener("abort", () => void this.close(), { once: true });
    globalThis.addEventListener?.("online", this.#woke);
    globalThis.document?.addEventListener("visibilitychange", this.#woke);
  }

  serverTime(): number {
    return performance.now() + this.#serverClock;
  }

  on<K extends keyof ClientEvents>(event: K, listener: ClientEvents[K]): () => void {
    this.#listeners[event].add(listener);
    return () => this.#listeners[event].delete(listener);
  }

  /** Sends a request and reads its reply. `writes` says whether it may change something. */
  async call<T>(
    kind: number,
    write: (to: Writer) => Writer,
    read: (reply: Reader) => T,
    options: CallOptions = {},
    writes = false,
  ): Promise<T> {
    const { signal } = options;
    const limit = options.timeoutMs ?? this.#parts.options.timeoutMs ?? TIMEOUT_MS;
    if (signal?.aborted) throw cancelled(signal.reason, "not-applied");
    if (!this.#glue) await this.#load();
    if (signal?.aborted) throw cancelled(signal.reason, "not-applied");
    const body = write(new Writer()).take();
    return new Promise<T>((resolve, reject) => {
      const id = this.#run((glue) => glue.call(kind, body, limit));
      if (!id) return reject(failed(undefined, "not-applied"));
      const settled = () => signal?.removeEventListener("abort", abort);
      const abort = () => {
        if (!this.#calls.delete(id)) return;
        this.#run((glue) => glue.cancel(id));
        this.#flushSoon();
        reject(cancelled(signal?.reason, writes ? "unknown" : "not-applied"));
      };
      this.#calls.set(id, {
        writes,
        resolve(reply) {
          settled();
          try {
            const result = read(reply);
            reply.end();
            resolve(result);
          } catch (error) {
            reject(error);
          }
        },
        reject(error) {
          settled();
          reject(error);
        },
      });
      signal?.addEventListener("abort", abort, { once: true });
      this.#flushSoon();
    });
  }

  /** Opens a watch, whose messages go to `sink`. */
  async watch(write: (to: Writer) => Writer, sink: WatchSink): Promise<Subscription> {
    if (!this.#glue) await this.#load();
    const body = write(new Writer()).take();
    const id = this.#run((glue) => glue.watch(body));
    if (!id) throw failed(undefined, "not-applied");
    this.#watches.set(id, sink);
    this.#flushSoon();
    const ask = (what: (glue: Glue) => void) => {
      if (this.#watches.get(id) !== sink) return;
      this.#run(what);
      this.#flushSoon();
    };
    return {
      pause: () => ask((glue) => glue.pause(id)),
      resume: () => ask((glue) => glue.resume(id)),
      end: () => {
        ask((glue) => glue.unwatch(id));
        if (this.#watches.get(id) === sink) this.#watches.delete(id);
      },
    };
  }

  /** Keeps a lease alive, whose time counts from `since`, until it is lost. */
  keep(lease: number, ttlMs: number, since: number, lost: (error: TidekeepError) => void): void {
    const over = this.state === "closed" ? closed : failed;
    if (!this.#glue) return lost(over(undefined, "not-applied"));
    this.#leases.set(lease, lost);
    this.#run((glue) => glue.keep(lease, ttlMs, since));
    this.#flushSoon();
  }

  /** Keeps a lease no longer. */
  forget(lease: number): void {
    if (!this.#leases.delete(lease)) return;
    this.#run((glue) => glue.forget(lease));
    this.#flushSoon();
  }

  /** Lets what is under way settle, then ends the connection for good. */
  close(): Promise<void> {
    if (this.state === "closed") return Promise.resolve();
    const done = new Promise<void>((resolve) => {
      this.on("state", (state) => state === "closed" && resolve());
    });
    if (this.#glue) this.#run((glue) => glue.close());
    else this.#closed(closed(undefined));
    return done;
  }

  /** Not async itself: calls made while loading go on in the order in which they were made. */
  #load(): Promise<Glue> {
    if (this.state === "closed") return Promise.reject(closed(undefined));
    return (this.#loading ??= this.#start());
  }

  async #start(): Promise<Glue> {
    const { module, socket, options } = this.#parts;
    try {
      const [compiled, WebSocket] = await Promise.all([module, socket]);
      const glue = makeGlue();
      await glue.default({ module_or_path: compiled });
      if (this.state === "closed") throw closed(undefined);
      const [seed] = crypto.getRandomValues(new Uint32Array(1));
      const { queue, backoff } = options;
      this.#glue = glue;
      glue.start(
        this.#host(glue, WebSocket),
        seed!,
        queue?.max ?? QUEUE_MAX,
        backoff?.minMs ?? BACKOFF_MIN_MS,
        backoff?.maxMs ?? BACKOFF_MAX_MS,
      );
      return glue;
    } catch (cause) {
      const message = `the client cannot start: ${String(cause)}`;
      const unsupported = new TidekeepError("unsupported", message, { cause });
      const error = cause instanceof TidekeepError ? cause : unsupported;
      this.#closed(error);
      throw error;
    }
  }

  /** What the instance calls. Nothing here throws into it but `open`, which it expects to. */
  #host(glue: Glue, WebSocket: WebSocketConstructor) {
    return {
      now: () => performance.now(),
      open: (protocol: string) => {
        const { urls } = this.#parts;
        const socket = new WebSocket(urls[this.#opened++ % urls.length] as string, protocol);
        // Every error is followed by a close; `ws` throws what nobody listens to.
        socket.addEventListener("error", () => {});
        this.#socket = socket;
        return socket;
      },
      guard: (handler: (event: unknown) => void) => (event: unknown) => {
        if (glue === this.#glue) this.#run(() => handler(event));
      },
      deliver: (bytes: Uint8Array) => this.#deliver(new Reader(bytes)),
      timer: (delayMs: number) => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(
          () => glue === this.#glue && this.#run(() => glue.tick()),
          Math.min(delayMs, TIMER_MAX_MS),
        );
      },
    };
  }

  /** Everything asked for in one turn leaves together, in as few messages as it fits in. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#run((glue) => glue.flush());
    });
  }

  /** Calls into the instance; a trap there ends it and all that it had under way. */
  #run<T>(call: (glue: Glue) => T): T | undefined {
    const glue = this.#glue;
    if (!glue) return undefined;
    try {
      return call(glue);
    } catch (cause) {
      this.#glue = this.#loading = undefined;
      clearTimeout(this.#timer);
      this.#socket?.close();
      this.#settleAll(failed(cause, "not-applied"));
      this.emit("disconnect", failed(cause, "not-applied"));
      this.#moveTo("idle");
      return undefined;
    }
  }

  #deliver(drained: Reader): void {
    while (!drained.done) {
      const record = drained.record();
      const about = record.byte();
      const id = record.u32();
      if (about === About.reply) this.#settle(id)?.resolve(record);
      else if (about === About.failed) this.#settle(id)?.reject(readError(record));
      else if (about === About.message) this.#watches.get(id)?.message(record);
      else if (about === About.reset) this.#watches.get(id)?.reset();
      else if (about === About.ended) this.#endWatch(id, readError(record));
      else if (about === About.state) this.#moveTo(STATES[id]!);
      else if (about === About.welcome) this.#welcome(record);
      else if (about === About.lost) this.#lost(record.number(), readError(record));
      else this.emit("disconnect", readError(record));
    }
  }

  #settle(id: number): Waiting | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }

  #endWatch(id: number, error: TidekeepError): void {
    const sink = this.#watches.get(id);
    this.#watches.delete(id);
    sink?.ended(error);
  }

  #lost(lease: number, error: TidekeepError): void {
    const lost = this.#leases.get(lease);
    this.#leases.delete(lease);
    lost?.(error);
  }

  #settleAll(error: TidekeepError): void {
    const [calls, watches, leases] = [this.#calls, this.#watches, this.#leases];
    this.#calls = new Map();
    this.#watches = new Map();
    this.#leases = new Map();
    const { code, message, retryable, cause } = error;
    const unknown = new TidekeepError(code, message, { retryable, cause, outcome: "unknown" });
    for (const call of calls.values()) call.reject(call.writes ? unknown : error);
    for (const sink of watches.values()) sink.ended(error);
    for (const lost of leases.values()) lost(error);
  }

  #welcome(reader: Reader): void {
    this.#serverClock = reader.number();
    const protocol = reader.number();
    const limits = {
      keyBytes: reader.number(),
      valueBytes: reader.number(),
      inFlight: reader.number(),
      watches: reader.number(),
      scanEntries: reader.number(),
      txnOperations: reader.number(),
    };
    const [serverId, storeId] = [hex(reader.bytes()), hex(reader.bytes())];
    this.server = { protocol, limits, serverId, storeId, software: reader.text() };
  }

  #closed(error: TidekeepError): void {
    if (this.state === "closed") return;
    this.emit("disconnect", error);
    this.#moveTo("closed");
    this.#settleAll(error);
  }

  #moveTo(state: ConnectionState): void {
    if (state === this.state) return;
    this.state = state;
    this.emit("state", state);
    if (state !== "closed") return;
    clearTimeout(this.#timer);
    this.#glue = undefined;
    globalThis.removeEventListener?.("online", this.#woke);
    globalThis.document?.removeEventListener("visibilitychange", this.#woke);
    this.#settleAll(closed(undefined));
  }

  /** Listeners run later: what they throw or call must not meet the instance amid its turn. */
  emit<K extends keyof ClientEvents>(event: K, ...args: Parameters<ClientEvents[K]>): void {
    for (const listener of this.#listeners[event]) {
      queueMicrotask(() => (listener as (...args: unknown[]) => void)(...args));
    }
  }
}

/** An error as src/packed.rs draws it. */
function readError(reader: Reader): TidekeepError {
  const code = codeOf(reader.number());
  const details: ErrorDetails = {
    retryable: reader.flag(),
    outcome: OUTCOMES[reader.number()] ?? "unknown",
    retryAfterMs: reader.number(),
  };
  return new TidekeepError(code, reader.text(), details);
}

function closed(cause: unknown): TidekeepError {
  return new TidekeepError("closed", "the client was closed", { cause });
}

function cancelled(cause: unknown, outcome: Outcome): TidekeepError {
  return new TidekeepError("cancelled", "the call was given up", { outcome, cause });
}

function failed(cause: unknown, outcome: Outcome): TidekeepError {
  const message = "the client's module failed; the next call starts it afresh";
  return new TidekeepError("internal", message, { outcome, retryable: true, cause });
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
