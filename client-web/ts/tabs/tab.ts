// Every tab's side, the leader's own included: what was asked for and is not settled, kept so that it
// can be asked again of the next leader. Reads are; a write that an earlier leader was given may have
// been applied, and settles as `outcome-unknown`; watches go on behind the last cursor.

import type { Reader, Writer } from "../codec.js";
import { onAbort } from "../abort.js";
import type { Connection, Kept, Kit } from "../connection.js";
import type { Subscription, WatchSink } from "../engine.js";
import type { ErrorCode, Outcome, TidekeepError } from "../errors.js";
import { Listeners } from "../listeners.js";
import type { CallOptions, ConnectionState, ServerInfo } from "../types.js";
import { KeptLeases } from "./leases.js";
import { Mouth, Own } from "./words.js";
import type { PlainError, Standing, ToLeader, ToTab } from "./words.js";

const TIMEOUT_MS = 10_000;
const QUEUE_MAX = 4096;
/** How long after its deadline a call is settled here, when the leader does not. */
const LATE_MS = 1000;
const CLOSE_MS = 5000;
/** Bytes of watches that are taken in before the leader is told. */
const TOLD_BYTES = 64 << 10;
/** The first number of a watch's message when it is content, which has no cursor. */
const CONTENT = 0;
/** Where a watch begins, as in requests.ts. */
const FROM_CURSOR = 2;

/** A call that is not settled. */
interface Asked {
  kind: number;
  body: Uint8Array;
  writes: boolean;
  deadline: number;
  /** Whether a leader was given it. */
  given: boolean;
  resolve(reply: Reader): void;
  reject(error: TidekeepError): void;
}

interface Watched {
  sink: WatchSink;
  body: Uint8Array;
  cursor: Uint8Array | undefined;
  /** Whether something came that has no cursor yet. */
  shown: boolean;
  paused: boolean;
  /** Of a view. */
  kept: Kept | undefined;
}

export class Tab extends Listeners implements Connection {
  state: ConnectionState = "idle";
  server: ServerInfo | undefined;
  readonly #kit: Kit;
  readonly #left: () => Promise<void>;
  readonly #calls = new Map<number, Asked>();
  readonly #watches = new Map<number, Watched>();
  readonly #leases: KeptLeases;
  #lastId = 0;
  /** Words to the leader, while there is one that takes them. */
  #mouth: Mouth<ToLeader> | undefined;
  #clock = Date.now() - performance.timeOrigin - performance.now();
  /** Bytes of watches that the leader was not told of. */
  #taken = 0;
  #settled: (() => void) | undefined;
  #gone: Promise<void> | undefined;

  /** `left` is called when the client is closed. */
  constructor(kit: Kit, left: () => Promise<void>) {
    super();
    this.#kit = kit;
    this.#left = left;
    this.#leases = new KeptLeases(this);
    const { signal } = kit.parts.options;
    if (signal?.aborted) queueMicrotask(() => void this.close());
    signal?.addEventListener("abort", () => void this.close(), { once: true });
  }

  /** Whether there is something to lose: worth asking whether the leader is alive. */
  get waits(): boolean {
    return this.#calls.size + this.#watches.size > 0;
  }

  serverTime(): number {
    return performance.timeOrigin + performance.now() + this.#clock;
  }

  async call<T>(
    kind: number,
    write: (to: Writer) => Writer,
    read: (reply: Reader) => T,
    { signal, timeoutMs }: CallOptions = {},
    writes = false,
  ): Promise<T> {
    const { options } = this.#kit.parts;
    if (this.state === "closed") throw this.#error("closed", "the client was closed");
    if (signal?.aborted) throw this.#cancelled(signal, "not-applied");
    if (this.#calls.size >= (options.queue?.max ?? QUEUE_MAX)) {
      throw this.#error("resource-exhausted", "too many calls wait for their reply");
    }
    const body = write(new this.#kit.Writer()).take().slice();
    const deadline = performance.now() + (timeoutMs ?? options.timeoutMs ?? TIMEOUT_MS);
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      const stop = onAbort(signal, () => {
        if (!this.#calls.delete(id)) return;
        this.#mouth?.say(["cancel", id]);
        call.reject(this.#cancelled(signal, writes && call.given ? "unknown" : "not-applied"));
      });
      const settled = () => {
        stop();
        if (this.#calls.size === 0) this.#settled?.();
      };
      const call: Asked = {
        kind,
        body,
        writes,
        deadline,
        given: false,
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
      };
      this.#calls.set(id, call);
      this.#ask(id, call);
    });
  }

  watch(write: (to: Writer) => Writer, sink: WatchSink, kept?: Kept): Promise<Subscription> {
    if (this.state === "closed") {
      return Promise.reject(this.#error("closed", "the client was closed"));
    }
    const body = write(new this.#kit.Writer()).take().slice();
    const id = ++this.#lastId;
    const cursor = undefined;
    const watched: Watched = { sink, body, cursor, shown: false, paused: false, kept };
    this.#watches.set(id, watched);
    this.#mouth?.say(["watch", id, body, kept]);
    const set = (paused: boolean) => {
      watched.paused = paused;
      if (this.#watches.has(id)) this.#mouth?.say([paused ? "pause" : "resume", id]);
    };
    return Promise.resolve({
      pause: () => set(true),
      resume: () => set(false),
      end: () => {
        if (this.#watches.delete(id)) this.#mouth?.say(["unwatch", id]);
      },
    });
  }

  enqueue(
    kind: number,
    write: (to: Writer) => Writer,
    made: (id: number) => void,
  ): Promise<void> {
    const read = (reply: Reader) => made(reply.number());
    return this.call(Own.enqueue + kind, write, read, { timeoutMs: Infinity }, true);
  }

  mutations(): Promise<Uint8Array> {
    return this.call(Own.mutations, (to) => to, (reply) => reply.rest());
  }

  discard(mutation: number): Promise<boolean> {
    return this.call(Own.discard, (to) => to.number(mutation), (reply) => reply.flag());
  }

  keep(lease: number, ttlMs: number, since: number, lost: (error: TidekeepError) => void): void {
    if (this.state === "closed") lost(this.#error("closed", "the client was closed"));
    else this.#leases.keep(lease, ttlMs, since, lost);
  }

  forget(lease: number): void {
    this.#leases.forget(lease);
  }

  tick(): void {
    this.#mouth?.say(["ask"]);
  }

  woke(): void {
    this.#mouth?.say(["woke"]);
  }

  async close(): Promise<void> {
    if (this.state === "closed") return this.#gone;
    const error = this.#error("closed", "the client was closed");
    this.#leases.end(error);
    if (this.#calls.size && this.#mouth) {
      await new Promise<void>((resolve) => {
        this.#settled = resolve;
        setTimeout(resolve, CLOSE_MS);
      });
    }
    this.#end(error);
    await this.#gone;
  }

  /** There is a leader: everything that is not settled is asked of it. */
  greet(standing: Standing, send: (words: ToLeader[]) => void): void {
    this.#mouth = new Mouth(send);
    this.#taken = 0;
    for (const [id, call] of this.#calls) this.#ask(id, call);
    for (const [id, watched] of this.#watches) this.#watchOn(id, watched);
    this.emit("change", standing.queue);
    this.emit("anew");
    this.#stand(standing);
  }

  /** The leader takes nothing any more, but still settles what it was given. */
  leaving(): void {
    this.#mouth = undefined;
  }

  /** The leader is gone, with all that it was given. */
  orphan(): void {
    this.#mouth = undefined;
    for (const [id, call] of this.#calls) {
      if (!call.given || !call.writes) continue;
      this.#calls.delete(id);
      const message = "the tab that shared its connection is gone: the write may have been applied";
      call.reject(this.#error("outcome-unknown", message, "unknown"));
    }
    if (this.state !== "closed" && this.state !== "idle") this.#moveTo("reconnecting");
  }

  hear(words: ToTab[]): void {
    for (const word of words) this.#hear(word);
    if (this.#taken < TOLD_BYTES) return;
    this.#mouth?.say(["taken", this.#taken]);
    this.#taken = 0;
  }

  /** Settles calls whose leader has not, long after their time. */
  expire(): void {
    const late = performance.now() - LATE_MS;
    for (const [id, call] of this.#calls) {
      if (call.deadline >= late) continue;
      this.#calls.delete(id);
      const outcome = call.writes && call.given ? "unknown" : "not-applied";
      call.reject(this.#error("timeout", "there was no reply in time", outcome));
    }
  }

  #ask(id: number, call: Asked): void {
    if (!this.#mouth) return;
    call.given = true;
    const left = Math.max(1, Math.ceil(call.deadline - performance.now()));
    this.#mouth.say(["call", id, call.kind, call.body, left, call.writes]);
  }

  /** Asks for a watch again, from where it got to. */
  #watchOn(id: number, watched: Watched): void {
    let { body } = watched;
    if (watched.cursor) body = this.#from(body, watched.cursor);
    else if (watched.shown) watched.sink.reset();
    watched.shown = false;
    this.#mouth?.say(["watch", id, body, watched.kept]);
    if (watched.paused) this.#mouth?.say(["pause", id]);
  }

  /** The same watch, but from a cursor. */
  #from(body: Uint8Array, cursor: Uint8Array): Uint8Array {
    const reader = new this.#kit.Reader(body);
    const start = reader.bytes();
    const end = reader.optional(() => reader.bytes());
    if (reader.number() === FROM_CURSOR) reader.bytes();
    const to = new this.#kit.Writer().range({ start, end }).number(FROM_CURSOR).bytes(cursor);
    return to.raw(reader.rest()).take().slice();
  }

  #hear(word: ToTab): void {
    switch (word[0]) {
      case "reply":
        return this.#settle(word[1])?.resolve(new this.#kit.Reader(word[2]));
      case "failed":
        return this.#settle(word[1])?.reject(this.#whole(word[2]));
      case "message":
        return this.#message(word[1], word[2]);
      case "reset":
        return this.#watches.get(word[1])?.sink.reset();
      case "ended":
        return this.#ended(word[1], this.#whole(word[2]));
      case "state":
        return this.#stand(word[1]);
      case "disconnect":
      case "storage":
        return this.emit(word[0], this.#whole(word[1]));
      case "change":
        return this.emit("change", word[1]);
      case "stored":
        return this.emit("stored", word[1]);
      case "end": {
        const { error, ...end } = word[1];
        return this.emit("end", error ? { ...end, error: this.#whole(error) } : end);
      }
      case "anew":
        return this.emit("anew");
      case "leaving":
        return this.leaving();
      case "hello":
      case "here":
    }
  }

  #ended(id: number, error: TidekeepError): void {
    const watched = this.#watches.get(id);
    this.#watches.delete(id);
    watched?.sink.ended(error);
  }

  #settle(id: number): Asked | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }

  #message(id: number, body: Uint8Array): void {
    this.#taken += body.length;
    const watched = this.#watches.get(id);
    if (!watched) return;
    const head = new this.#kit.Reader(body);
    // A view begins anew with each leader.
    if (watched.kept) watched.shown = true;
    else if (head.number() === CONTENT) watched.shown = true;
    else {
      head.number();
      watched.cursor = head.bytes();
    }
    watched.sink.message(new this.#kit.Reader(body));
  }

  #stand({ state, server, clock }: Standing): void {
    this.server = server;
    this.#clock = clock;
    if (state === "closed") this.#end(this.#error("closed", "the client was closed"));
    else this.#moveTo(state);
  }

  #moveTo(state: ConnectionState): void {
    if (state === this.state || this.state === "closed") return;
    this.state = state;
    this.emit("state", state);
  }

  #end(error: TidekeepError): void {
    if (this.state === "closed") return;
    this.#moveTo("closed");
    this.#mouth = undefined;
    this.#leases.end(error);
    for (const call of this.#calls.values()) {
      const unknown = this.#error(error.code, error.message, "unknown");
      call.reject(call.writes && call.given ? unknown : error);
    }
    for (const { sink } of this.#watches.values()) sink.ended(error);
    this.#calls.clear();
    this.#watches.clear();
    this.#gone = this.#left();
  }

  #cancelled(signal: AbortSignal | undefined, outcome: Outcome): TidekeepError {
    const details = { outcome, cause: signal?.reason };
    return new this.#kit.TidekeepError("cancelled", "the call was given up", details);
  }

  #error(code: ErrorCode, message: string, outcome: Outcome = "not-applied"): TidekeepError {
    return new this.#kit.TidekeepError(code, message, { outcome });
  }

  #whole({ code, message, ...details }: PlainError): TidekeepError {
    return new this.#kit.TidekeepError(code, message, details);
  }
}
