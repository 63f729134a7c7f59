// Drives one wasm instance: hands requests over, settles promises from what each turn left, and
// gives it a clock, a timer and sockets. A trap ends the instance, not the client: what was under way
// is rejected and the next call starts a fresh one.

import instantiate from "tidekeep-glue";
import type { Instance } from "tidekeep-glue";
import { Reader, Writer } from "./codec.js";
import type { Connection, Kept } from "./connection.js";
import { onAbort } from "./abort.js";
import { TidekeepError } from "./errors.js";
import type { Outcome } from "./errors.js";
import { Listeners } from "./listeners.js";
import { About, Ask, Look, readError, readMutation, readQueue, readServer, STATES, Turn } from "./records.js";
import type {
  CallOptions,
  ConnectionState,
  ConnectOptions,
  OfflinePlace,
  ServerInfo,
  WebSocketConstructor,
} from "./types.js";

/** The subprotocol, as in protocol/src/hello.rs. */
const PROTOCOL = "tidekeep.1";
/** Stands for a timer that stays as it is. */
const UNCHANGED = 0xffffffff;
const TIMEOUT_MS = 10_000;
const QUEUE_MAX = 4096;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 20_000;
/** How long after a trap the module starts again by itself. */
const RESTART_MS = 500;
/** How long after a change a view is saved: most come in crowds. */
const SAVE_MS = 2000;

/**
 * Settles a call: with its reply, or with an error; if the instance was lost, with the second one
 * where it may have changed something.
 */
type Settle = (reply?: Reader, error?: TidekeepError, doubtful?: TidekeepError) => void;

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
  /** Whether nobody else can have what is stored open any more. */
  takeOver?: boolean;
}

export class Engine extends Listeners implements Connection {
  state: ConnectionState = "idle";
  server: ServerInfo | undefined;
  readonly #parts: Parts;
  #opened = 0;
  #instance: Instance | undefined;
  #loading: Promise<Instance> | undefined;
  #calls = new Map<number, Settle>();
  #watches = new Map<number, WatchSink>();
  /** Whom to tell when a lease that is kept alive is lost. */
  #leases = new Map<number, (error: TidekeepError) => void>();
  #WebSocket!: WebSocketConstructor;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever the constructor makes
  #socket: any = {};
  #flushing = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Added to the local clock that never goes back, gives the server's time. */
  #serverClock = Date.now() - performance.now();
  readonly #woke = () => {
    if (globalThis.document?.visibilityState !== "hidden") this.woke();
    else this.#saveViews();
  };
  /** Where what outlives the page is kept, once it is open. */
  #place: OfflinePlace | undefined;
  /** What is being stored. */
  #storing: Promise<unknown> | undefined;
  /** Names of views that are saved, and which of them have changed. */
  readonly #saved = new Map<number, { name: Uint8Array; changed: boolean }>();
  #saving: ReturnType<typeof setTimeout> | undefined;

  constructor(parts: Parts) {
    super();
    this.#parts = parts;
    const { signal } = parts.options;
    // A client that never loads waits for neither; a failure there would end a Node process.
    Promise.all([parts.module, parts.socket]).catch(() => {});
    onAbort(signal, () => void this.close());
    this.#load().catch(() => {});
    globalThis.addEventListener?.("online", this.#woke);
    globalThis.document?.addEventListener("visibilitychange", this.#woke);
  }

  serverTime(): number {
    return performance.now() + this.#serverClock;
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
    if (!this.#instance && !signal?.aborted) await this.#load();
    if (signal?.aborted) throw cancelled(signal.reason);
    const body = write(new Writer()).take();
    return new Promise<T>((resolve, reject) => {
      const id = this.#ask(Ask.call, kind, body, limit);
      if (!id) throw failed();
      const settled = onAbort(signal, () => {
        if (!this.#calls.delete(id)) return;
        this.#ask(Ask.cancel, id);
        reject(cancelled(signal?.reason, writes ? "unknown" : "not-applied"));
      });
      this.#calls.set(id, (reply, error, doubtful) => {
        settled();
        try {
          if (!reply) throw (writes && doubtful) || error;
          const result = read(reply);
          reply.end();
          resolve(result);
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  async watch(
    write: (to: Writer) => Writer,
    sink: WatchSink,
    kept?: Kept,
  ): Promise<Subscription> {
    if (!this.#instance) await this.#load();
    let body = write(new Writer()).take();
    let id: number | undefined;
    if (kept) {
      // What is behind an await may meet another writer.
      const name = body.slice();
      const copy = kept.persist ? await this.#place?.load(name).catch(this.#report) : undefined;
      body = new Writer().raw(name).raw(copy ?? new Uint8Array()).take();
      id = this.#ask(Ask.view, 0, body, name.length);
      if (id && kept.persist) this.#saved.set(id, { name, changed: false });
    } else id = this.#ask(Ask.watch, 0, body);
    if (!id) throw failed();
    this.#watches.set(id, sink);
    const ask = (what: Ask) => {
      if (this.#watches.get(id) === sink) this.#ask(what, id);
    };
    return {
      pause: () => ask(Ask.pause),
      resume: () => ask(Ask.resume),
      end: () => {
        this.#saveViews();
        this.#saved.delete(id);
        ask(Ask.unwatch);
        if (this.#watches.get(id) === sink) this.#watches.delete(id);
      },
    };
  }

  /** Keeps a lease alive, whose time counts from `since`, until it is lost. */
  keep(lease: number, ttlMs: number, since: number, lost: (error: TidekeepError) => void): void {
    if (!this.#instance) return lost(this.state === "closed" ? closed() : failed());
    this.#leases.set(lease, lost);
    this.#ask(Ask.keep, ttlMs, undefined, lease, since);
  }

  /** Keeps a lease no longer. */
  forget(lease: number): void {
    if (this.#leases.delete(lease)) this.#ask(Ask.forget, 0, undefined, lease);
  }

  async enqueue(
    kind: number,
    write: (to: Writer) => Writer,
    made: (id: number) => void,
  ): Promise<void> {
    if (!this.#instance) await this.#load();
    const id = this.#ask(Ask.enqueue, kind, write(new Writer()).take());
    if (!id) throw failed();
    made(id);
  }

  async mutations(): Promise<Uint8Array> {
    await this.#load();
    return this.#look(Look.mutations) ?? new Uint8Array();
  }

  async discard(mutation: number): Promise<boolean> {
    await this.#load();
    return this.#ask(Ask.discard, 0, undefined, mutation) === 1;
  }

  tick(): void {
    this.#turn(Turn.tick);
  }

  woke(): void {
    this.#turn(Turn.woke);
  }

  /** Lets what is under way settle, then ends the connection for good. */
  close(): Promise<void> {
    this.#saveViews();
    const done = new Promise<void>((resolve) => {
      if (this.state === "closed") resolve();
      else this.on("state", (state) => state === "closed" && resolve());
    });
    if (!this.#instance) this.#closed(closed());
    this.#ask(Ask.close);
    this.#turn(Turn.flush);
    return done;
  }

  /** Not async itself: calls made while loading go on in the order in which they were made. */
  #load(): Promise<Instance> {
    if (this.state === "closed") return Promise.reject(closed());
    return (this.#loading ??= this.#start());
  }

  async #start(): Promise<Instance> {
    const { module, socket, options } = this.#parts;
    try {
      this.#WebSocket = await socket;
      const instance = await instantiate(await module);
      const { queue, backoff } = options;
      instance.start(
        Math.random() * 2 ** 32,
        queue?.max ?? QUEUE_MAX,
        backoff?.minMs ?? BACKOFF_MIN_MS,
        backoff?.maxMs ?? BACKOFF_MAX_MS,
      );
      const rows = await this.#rows();
      if (this.state === "closed") {
        void this.#place?.close().catch(() => {});
        throw closed();
      }
      this.#instance = instance;
      if (rows && !this.#ask(Ask.openQueue, 0, rows, Date.now())) {
        this.#report(new Error("what is stored is of another version"));
        this.#place = undefined;
      }
      this.emit("anew");
      return instance;
    } catch (cause) {
      const message = `the client cannot start: ${String(cause)}`;
      const unsupported = new TidekeepError("unsupported", message, { cause });
      const error = cause instanceof TidekeepError ? cause : unsupported;
      this.#closed(error);
      throw error;
    }
  }

  /** What was stored; nothing when it cannot be had, and the queue is in memory. */
  async #rows(): Promise<Uint8Array | undefined> {
    const { offline } = this.#parts.options;
    if (!offline) return undefined;
    const place = JSON.stringify([offline.identity ?? "", this.#parts.urls[0]]);
    try {
      this.#place ??= await offline.storage.open(place, !!this.#parts.takeOver);
      // What a lost instance gave to be stored counts.
      await this.#storing;
      return await this.#place.rows();
    } catch (cause) {
      this.#report(cause);
      return undefined;
    }
  }

  readonly #report = (cause: unknown): undefined => {
    const message = `what should outlive the page cannot be kept: ${String(cause)}`;
    this.emit("storage", new TidekeepError("storage", message, { cause }));
  };

  async #store(batch: Uint8Array): Promise<void> {
    const instance = this.#instance;
    let done = Turn.stored;
    try {
      this.#storing = this.#place?.store(batch);
      await this.#storing;
    } catch (cause) {
      this.#report(cause);
      done = Turn.storeFailed;
    }
    this.#storing = undefined;
    if (instance === this.#instance) this.#turn(done);
  }

  /** Notes that a view has changed, to save it some time later. */
  #changed(view: number): void {
    const saved = this.#saved.get(view);
    if (!saved) return;
    saved.changed = true;
    this.#saving ??= setTimeout(() => this.#saveViews(), SAVE_MS);
  }

  #saveViews(): void {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    for (const [view, saved] of this.#saved) {
      const copy = saved.changed && this.#look(Look.save, view);
      saved.changed = false;
      if (copy && copy.length) void this.#place?.save(saved.name, copy).catch(this.#report);
    }
  }

  /** What the instance shows, copied. */
  #look(what: Look, id = 0): Uint8Array | undefined {
    return this.#run((instance) => {
      const place = instance.look(what, id) >>> 0;
      return new Reader(new Uint8Array(instance.memory.buffer, place)).block().slice();
    });
  }

  /** Asks for something, which goes out with all else that is asked for in this turn. */
  #ask(what: Ask, id = 0, bytes?: Uint8Array, number = 0, since = 0): number | undefined {
    if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(() => {
        this.#flushing = false;
        this.#turn(Turn.flush);
      });
    }
    return this.#run((instance) => instance.ask(performance.now(), what, id, number, since), bytes);
  }

  /** Lets the instance act, and takes what that leaves. */
  #turn(what: Turn, bytes?: Uint8Array): void {
    this.#run((instance) => {
      const place = instance.turn(performance.now(), what) >>> 0;
      const left = new Reader(new Uint8Array(instance.memory.buffer, place));
      // A copy: what is told may ask for more, and the memory with it may move.
      const records = new Reader(left.block().slice());
      const wait = records.fixed(4);
      if (wait < UNCHANGED) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#turn(Turn.tick), wait);
      }
      this.#send();
      while (!records.done && instance === this.#instance) this.#take(new Reader(records.block()));
    }, bytes);
  }

  /** Sends all that there is to send in the socket's state. */
  #send(): void {
    for (let message; (message = this.#look(Look.message, this.#socket.readyState))?.length; ) {
      this.#socket.send(message);
    }
  }

  /** Calls into the instance; a trap there ends it and all that it had under way. */
  #run<T>(call: (instance: Instance) => T, bytes?: Uint8Array): T | undefined {
    const instance = this.#instance;
    if (!instance) return undefined;
    try {
      if (bytes) {
        const place = instance.room(bytes.length) >>> 0;
        new Uint8Array(instance.memory.buffer).set(bytes, place);
      }
      return call(instance);
    } catch (cause) {
      this.#instance = this.#loading = undefined;
      clearTimeout(this.#timer);
      this.#detach();
      this.#settleAll(failed(cause));
      this.emit("disconnect", failed(cause));
      this.#moveTo("idle");
      // For the queue and views, which nobody calls.
      setTimeout(() => void this.#load().catch(() => {}), RESTART_MS);
      return undefined;
    }
  }

  #attach(): void {
    const { urls } = this.#parts;
    try {
      const socket = new this.#WebSocket(urls[this.#opened++ % urls.length]!, PROTOCOL);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => this.#turn(Turn.opened);
      socket.onmessage = ({ data }: MessageEvent) => this.#turn(Turn.message, new Uint8Array(data));
      socket.onclose = () => {
        this.#detach();
        this.#turn(Turn.closed);
      };
      // Every error is followed by a close; `ws` throws what nobody listens to.
      socket.addEventListener("error", () => {});
      this.#socket = socket;
    } catch {
      this.#turn(Turn.refused);
    }
  }

  #detach(): void {
    const socket = this.#socket;
    this.#socket = {};
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close?.();
  }

  #take(record: Reader): void {
    const about = record.byte();
    const id = record.fixed(4);
    if (about === About.reply) take(this.#calls, id)?.(record);
    else if (about === About.failed) take(this.#calls, id)?.(undefined, readError(record));
    else if (about === About.message) this.#watches.get(id)?.message(record);
    else if (about === About.view) {
      this.#changed(id);
      this.#watches.get(id)?.message(record);
    } else if (about === About.store) void this.#store(record.rest().slice());
    else if (about === About.stored) this.emit("stored", record.number());
    else if (about === About.settled) this.emit("end", { ...readMutation(record), reply: record.rest().slice() });
    else if (about === About.unsettled) {
      const [end, error] = [readMutation(record), readError(record)];
      this.emit("end", { ...end, error });
    } else if (about === About.queue) this.emit("change", readQueue(record, !!this.#place));
    else if (about === About.reset) this.#watches.get(id)?.reset();
    else if (about === About.ended) take(this.#watches, id)?.ended(readError(record));
    else if (about === About.state) this.#moveTo(STATES[id]!);
    else if (about === About.welcome) {
      this.#serverClock = record.number();
      this.server = readServer(record);
    }
    else if (about === About.down) this.emit("disconnect", readError(record));
    else if (about === About.lost) take(this.#leases, record.number())?.(readError(record));
    else if (about === About.open) this.#attach();
    else if (about === About.close) this.#detach();
  }

  #settleAll(error: TidekeepError): void {
    const [calls, watches, leases] = [this.#calls, this.#watches, this.#leases];
    this.#calls = new Map();
    this.#watches = new Map();
    this.#leases = new Map();
    this.#saved.clear();
    const { code, message, cause } = error;
    const doubtful = new TidekeepError(code, message, { ...error, cause, outcome: "unknown" });
    for (const settle of calls.values()) settle(undefined, error, doubtful);
    for (const sink of watches.values()) sink.ended(error);
    for (const lost of leases.values()) lost(error);
  }

  #closed(error: TidekeepError): void {
    if (this.state === "closed") return;
    this.emit("disconnect", error);
    this.#moveTo("closed", error);
  }

  #moveTo(state: ConnectionState, error = closed()): void {
    if (state === this.state) return;
    this.state = state;
    this.emit("state", state);
    if (state !== "closed") return;
    clearTimeout(this.#timer);
    this.#instance = undefined;
    // After what is being stored: the next client reads it.
    void Promise.resolve(this.#storing).finally(() => this.#place?.close()).catch(() => {});
    globalThis.removeEventListener?.("online", this.#woke);
    globalThis.document?.removeEventListener("visibilitychange", this.#woke);
    this.#settleAll(error);
  }
}

/** What a map holds for an id, taken out. */
function take<T>(map: Map<number, T>, id: number): T | undefined {
  const held = map.get(id);
  map.delete(id);
  return held;
}

function closed(cause?: unknown): TidekeepError {
  return new TidekeepError("closed", "the client was closed", { cause });
}

function cancelled(cause: unknown, outcome?: Outcome): TidekeepError {
  return new TidekeepError("cancelled", "the call was given up", { outcome, cause });
}

function failed(cause?: unknown): TidekeepError {
  const message = "the client's module failed; the next call starts it afresh";
  return new TidekeepError("internal", message, { retryable: true, cause });
}
