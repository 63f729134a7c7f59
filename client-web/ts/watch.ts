// A watch as an async iterator: a queue between the connection and whoever reads. When the reader
// falls behind, the stream is paused on the server and goes on from the same place later, so that
// a slow reader costs bounded memory and still misses nothing.

import { toText } from "./entry.js";
import type { TidekeepError } from "./errors.js";
import type { Engine, Subscription, WatchSink } from "./engine.js";
import { Op } from "./packed.js";
import type { Packer, Reader } from "./packed.js";
import { bounds } from "./range.js";
import type { Range, Watch, WatchEvent, WatchOptions } from "./types.js";

/** What a message of a watch is about, as src/packed.rs draws it. */
const Message = { content: 0, caughtUp: 1, events: 2, reset: 4 } as const;
const BUFFER = 10_000;

/** An event that waits to be read, or a position that is reached when all before it was read. */
type Queued = WatchEvent | { type: "position"; cursor: Uint8Array };
type Result = IteratorResult<WatchEvent, undefined>;
const END: Result = { done: true, value: undefined };

export class QueuedWatch implements Watch, WatchSink {
  readonly #signal: AbortSignal | undefined;
  readonly #buffer: number;
  #queue: Queued[] = [];
  /** Where in the queue reading goes on. */
  #head = 0;
  #readers: { resolve(result: Result): void; reject(error: unknown): void }[] = [];
  #error: TidekeepError | undefined;
  #ended = false;
  #subscription: Subscription | undefined;
  #paused = false;
  #cursor: Uint8Array | undefined;
  readonly #abort = () => this.close();

  constructor(engine: Engine, range: Range, options: WatchOptions) {
    const { content, previous, cursor, signal, buffer } = options;
    const whole = bounds(range);
    this.#signal = signal;
    this.#buffer = buffer ?? BUFFER;
    this.#cursor = cursor;
    if (signal?.aborted) {
      this.#ended = true;
      return;
    }
    signal?.addEventListener("abort", this.#abort, { once: true });
    const pack = (packer: Packer) =>
      packer.u8(Op.watch).range(whole).flag(content).flag(previous).optional(cursor);
    engine.watch(pack, this).then(
      (subscription) => {
        if (this.#ended) subscription.end();
        else this.#subscription = subscription;
      },
      (error: TidekeepError) => this.ended(error),
    );
  }

  get cursor(): Uint8Array | undefined {
    return this.#cursor;
  }

  next(): Promise<Result> {
    const event = this.#shift();
    if (event) return Promise.resolve({ done: false, value: event });
    if (this.#error) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve(END);
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  return(): Promise<Result> {
    this.close();
    return Promise.resolve(END);
  }

  close(): void {
    if (this.#ended) return;
    this.#subscription?.end();
    this.#queue = [];
    this.#head = 0;
    this.#finish();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  message(reader: Reader): void {
    const what = reader.u8();
    if (what === Message.content) {
      reader.list(() => this.#push({ type: "entry", entry: reader.entry() }));
    } else if (what === Message.reset) {
      this.#push({ type: "reset" });
    } else {
      const revision = reader.number();
      const cursor = reader.bytes();
      if (what === Message.events) reader.list(() => this.#push(readEvent(reader, revision)));
      this.#reach(cursor);
      if (what === Message.caughtUp) this.#push({ type: "caught-up", revision });
    }
    if (!this.#paused && this.#queue.length - this.#head > this.#buffer) {
      this.#paused = true;
      this.#subscription?.pause();
    }
  }

  ended(error: TidekeepError): void {
    if (this.#ended) return;
    const reader = this.#readers.shift();
    if (reader) reader.reject(error);
    else this.#error = error;
    this.#finish();
  }

  #finish(): void {
    this.#ended = true;
    this.#subscription = undefined;
    this.#signal?.removeEventListener("abort", this.#abort);
    for (const reader of this.#readers.splice(0)) reader.resolve(END);
  }

  #push(event: WatchEvent): void {
    const reader = this.#readers.shift();
    if (reader) reader.resolve({ done: false, value: event });
    else this.#queue.push(event);
  }

  #reach(cursor: Uint8Array): void {
    if (this.#head === this.#queue.length) this.#cursor = cursor;
    else this.#queue.push({ type: "position", cursor });
  }

  /** The next event. Positions right behind it count as reached, so none is ever in front. */
  #shift(): WatchEvent | undefined {
    if (this.#head === this.#queue.length) return undefined;
    const event = this.#queue[this.#head++] as WatchEvent;
    for (let next = this.#queue[this.#head]; next?.type === "position"; ) {
      this.#cursor = next.cursor;
      next = this.#queue[++this.#head];
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
      if (this.#paused) {
        this.#paused = false;
        this.#subscription?.resume();
      }
    }
    return event;
  }
}

function readEvent(reader: Reader, revision: number): WatchEvent {
  const what = reader.u8();
  const keyBytes = reader.bytes();
  const key = toText(keyBytes);
  if (what === 0) {
    const entry = reader.stored(keyBytes);
    const previous = reader.optionalStored(keyBytes);
    return { type: "put", key, keyBytes, revision, entry, previous };
  }
  const previous = reader.optionalStored(keyBytes);
  return { type: what === 1 ? "delete" : "expire", key, keyBytes, revision, previous };
}
