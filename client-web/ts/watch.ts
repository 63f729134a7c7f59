// A watch as an async iterator: a queue between the connection and whoever reads. When the reader
// falls behind, the stream is paused on the server and goes on from the same place later, so that
// a slow reader costs bounded memory and still misses nothing.

import { onAbort } from "./abort.js";
import type { Reader, Writer } from "./codec.js";
import type { Connection } from "./connection.js";
import type { Subscription, WatchSink } from "./engine.js";
import type { TidekeepError } from "./errors.js";
import { bounds } from "./range.js";
import { watched } from "./replies.js";
import * as requests from "./requests.js";
import type { Range, Watch, WatchEvent, WatchOptions } from "./types.js";

const BUFFER = 10_000;

/** An event that waits to be read, and the position that is reached with it, if it is the last. */
interface Queued {
  event: WatchEvent;
  cursor?: Uint8Array;
}
type Result = IteratorResult<WatchEvent, undefined>;
const END: Result = { done: true, value: undefined };

export class QueuedWatch implements Watch, WatchSink {
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
  /** Waits no longer for the signal. */
  readonly #stop: () => void;

  constructor(engine: Connection, range: Range, options: WatchOptions) {
    const { cursor, signal, buffer } = options;
    const whole = bounds(range);
    this.#buffer = buffer ?? BUFFER;
    this.#cursor = cursor;
    this.#stop = onAbort(signal, () => this.close());
    if (this.#ended) return;
    const write = (to: Writer) => requests.watch(to, whole, options);
    engine.watch(write, this).then(
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
    const { events, cursor } = watched(reader);
    for (const event of events) this.#push(event);
    if (cursor) this.#reach(cursor);
    if (!this.#paused && this.#queue.length - this.#head > this.#buffer) {
      this.#paused = true;
      this.#subscription?.pause();
    }
  }

  reset(): void {
    this.#push({ type: "reset" });
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
    this.#stop?.();
    for (const reader of this.#readers.splice(0)) reader.resolve(END);
  }

  #push(event: WatchEvent): void {
    const reader = this.#readers.shift();
    if (reader) reader.resolve({ done: false, value: event });
    else this.#queue.push({ event });
  }

  #reach(cursor: Uint8Array): void {
    const last = this.#queue.at(-1);
    if (last) last.cursor = cursor;
    else this.#cursor = cursor;
  }

  #shift(): WatchEvent | undefined {
    const next = this.#queue[this.#head];
    if (!next) return undefined;
    this.#head++;
    this.#cursor = next.cursor ?? this.#cursor;
    if (this.#head === this.#queue.length) this.#drained();
    return next.event;
  }

  /** Everything was read: the stream may go on. */
  #drained(): void {
    this.#queue = [];
    this.#head = 0;
    if (!this.#paused) return;
    this.#paused = false;
    this.#subscription?.resume();
  }
}
