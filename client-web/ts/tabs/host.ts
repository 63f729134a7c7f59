// The leader's side: serves the calls and watches of all tabs with one engine. A tab that is slow in
// taking in what it watches has its watches paused; one that is gone leaves nothing behind.

import type { Reader, Writer } from "../codec.js";
import type { Connection, Kept, Kit } from "../connection.js";
import type { Subscription, WatchSink } from "../engine.js";
import type { TidekeepError } from "../errors.js";
import type { CallOptions, QueueInfo } from "../types.js";
import { Mouth, Own } from "./words.js";
import type { PlainError, Standing, ToLeader, ToTab } from "./words.js";

/** Bytes of watches on their way to one tab: above the first all its watches pause, below the second
 * they go on. Content cannot pause: a watch is ended at the third. */
const PAUSE_BYTES = 1 << 20;
const RESUME_BYTES = PAUSE_BYTES / 2;
const END_BYTES = 64 << 20;
/** Ends of mutations that are told to a tab which joins, for they may be of its own: so many, and so
 * many bytes of replies. */
const SETTLED_MAX = 1000;
const SETTLED_BYTES = 1 << 20;

export class Host {
  readonly engine: Connection;
  readonly #kit: Kit;
  readonly #guests = new Set<Guest>();
  readonly #stop: (() => void)[];
  #queue: QueueInfo = { waiting: 0, bytes: 0, held: false, failing: false, durable: false };
  readonly #settled: { word: ToTab; bytes: number }[] = [];
  #settledBytes = 0;
  #leaving = false;

  constructor(kit: Kit, engine: Connection) {
    this.engine = engine;
    this.#kit = kit;
    this.#stop = [
      engine.on("state", () => this.#tell(["state", this.standing()])),
      engine.on("disconnect", (error) => this.#tell(["disconnect", plain(error)])),
      engine.on("storage", (error) => this.#tell(["storage", plain(error)])),
      engine.on("stored", (mutation) => this.#tell(["stored", mutation])),
      engine.on("anew", () => this.#tell(["anew"])),
      engine.on("change", (info) => {
        this.#queue = info;
        this.#tell(["change", info]);
      }),
      engine.on("end", ({ error, ...end }) => {
        const word: ToTab = ["end", { ...end, error: error && plain(error) }];
        this.#tell(word);
        const bytes = end.key.length + (end.reply?.length ?? 0);
        this.#settled.push({ word, bytes });
        this.#settledBytes += bytes;
        while (this.#settled.length > SETTLED_MAX || this.#settledBytes > SETTLED_BYTES) {
          this.#settledBytes -= this.#settled.shift()!.bytes;
        }
      }),
    ];
  }

  /** Serves a tab, whose words are given to what is returned. */
  admit(send: (words: ToTab[]) => void): Guest {
    const guest = new Guest(this.#kit, this.engine, send, () => this.#guests.delete(guest));
    this.#guests.add(guest);
    guest.say(["hello", this.standing()]);
    for (const { word } of this.#settled) guest.say(word);
    return guest;
  }

  standing(): Standing {
    const { state, server } = this.engine;
    const clock = this.engine.serverTime() - performance.timeOrigin - performance.now();
    return { state, server, clock, queue: this.#queue };
  }

  /** Lets what is under way settle, for every tab, and ends the engine. */
  async leave(): Promise<void> {
    if (this.#leaving) return;
    this.#tell(["leaving"]);
    this.#leaving = true;
    for (const guest of this.#guests) guest.leaving = true;
    await this.engine.close();
  }

  /** Was replaced: nobody listens any more. */
  dismiss(): void {
    for (const guest of this.#guests) guest.gone();
    for (const stop of this.#stop) stop();
    void this.engine.close();
  }

  #tell(word: ToTab): void {
    if (this.#leaving) return;
    for (const guest of this.#guests) guest.say(word);
  }
}

interface Served {
  subscription: Subscription | undefined;
  /** As the tab wants it. */
  paused: boolean;
}

/** One tab, as the leader knows it. */
export class Guest {
  leaving = false;
  readonly #kit: Kit;
  readonly #engine: Connection;
  readonly #mouth: Mouth<ToTab>;
  readonly #forget: () => void;
  readonly #calls = new Map<number, AbortController>();
  readonly #watches = new Map<number, Served>();
  /** Bytes of watches that the tab has not taken in. */
  #underWay = 0;
  /** Whether all watches wait for the tab. */
  #held = false;

  constructor(
    kit: Kit,
    engine: Connection,
    send: (words: ToTab[]) => void,
    forget: () => void,
  ) {
    this.#kit = kit;
    this.#engine = engine;
    this.#mouth = new Mouth(send);
    this.#forget = forget;
  }

  say(word: ToTab): void {
    this.#mouth.say(word);
  }

  hear(words: ToLeader[]): void {
    for (const word of words) this.#hear(word);
  }

  /** The tab is no more: nothing of it stays. */
  gone(): void {
    for (const call of this.#calls.values()) call.abort();
    for (const { subscription } of this.#watches.values()) subscription?.end();
    this.#calls.clear();
    this.#watches.clear();
    this.#forget();
  }

  #hear(word: ToLeader): void {
    switch (word[0]) {
      case "call":
        return this.#call(...word);
      case "cancel":
        return this.#calls.get(word[1])?.abort();
      case "watch":
        return void this.#watch(word[1], word[2], word[3]);
      case "unwatch":
        this.#watches.get(word[1])?.subscription?.end();
        return void this.#watches.delete(word[1]);
      case "pause":
      case "resume":
        return this.#pause(word[1], word[0] === "pause");
      case "taken":
        return this.#taken(word[1]);
      case "woke":
        return this.#engine.woke();
      case "ask":
        this.#engine.tick();
        this.say(["here"]);
    }
  }

  #call(
    _: "call",
    id: number,
    kind: number,
    body: Uint8Array,
    timeoutMs: number,
    writes: boolean,
  ): void {
    // Told before it leaves, and sent by the tab to the next leader.
    if (this.leaving) return;
    const abort = new AbortController();
    this.#calls.set(id, abort);
    const options: CallOptions = { timeoutMs, signal: abort.signal };
    const done = (word: ToTab) => this.#calls.delete(id) && this.say(word);
    this.#ask(kind, body, options, writes).then(
      (reply) => done(["reply", id, reply]),
      (error: TidekeepError) => done(["failed", id, plain(error)]),
    );
  }

  /** Asks the server, or for what the engine answers itself. */
  async #ask(
    kind: number,
    body: Uint8Array,
    options: CallOptions,
    writes: boolean,
  ): Promise<Uint8Array> {
    if (kind === Own.mutations) return this.#engine.mutations();
    if (kind === Own.discard) {
      const mutation = new this.#kit.Reader(body).number();
      return this.#engine.discard(mutation).then((done) => this.#number(done ? 1 : 0));
    }
    if (kind < Own.enqueue) return this.#engine.call(kind, asIs(body), rest, options, writes);
    return new Promise((resolve, reject) => {
      const made = (mutation: number) => resolve(this.#number(mutation));
      this.#engine.enqueue(kind - Own.enqueue, asIs(body), made).catch(reject);
    });
  }

  #number(value: number): Uint8Array {
    return new this.#kit.Writer().number(value).take().slice();
  }

  async #watch(id: number, body: Uint8Array, kept: Kept | undefined): Promise<void> {
    if (this.leaving) return;
    const served: Served = { subscription: undefined, paused: false };
    this.#watches.set(id, served);
    const serves = () => this.#watches.get(id) === served;
    const ended = (error: TidekeepError) => {
      if (this.leaving || !serves()) return;
      this.#watches.delete(id);
      this.say(["ended", id, plain(error)]);
    };
    const sink: WatchSink = {
      message: (reader) => {
        if (!serves()) return;
        const message = rest(reader);
        this.say(["message", id, message]);
        this.#underWay += message.length;
        if (this.#underWay > PAUSE_BYTES) this.#hold(true);
        if (this.#underWay <= END_BYTES) return;
        this.#watches.delete(id);
        served.subscription?.end();
        this.say(["ended", id, SLOW]);
      },
      reset: () => serves() && this.say(["reset", id]),
      ended,
    };
    try {
      served.subscription = await this.#engine.watch(asIs(body), sink, kept);
    } catch (error) {
      return ended(error as TidekeepError);
    }
    if (!serves()) served.subscription.end();
    else if (served.paused || this.#held) served.subscription.pause();
  }

  #pause(id: number, paused: boolean): void {
    const served = this.#watches.get(id);
    if (!served) return;
    served.paused = paused;
    this.#adjust(served);
  }

  #taken(bytes: number): void {
    this.#underWay -= bytes;
    if (this.#underWay < RESUME_BYTES) this.#hold(false);
  }

  #hold(held: boolean): void {
    if (held === this.#held) return;
    this.#held = held;
    for (const served of this.#watches.values()) this.#adjust(served);
  }

  #adjust({ subscription, paused }: Served): void {
    if (paused || this.#held) subscription?.pause();
    else subscription?.resume();
  }
}

const SLOW: PlainError = {
  code: "slow-reader",
  message: "the tab does not take in what it watches",
  retryable: true,
  outcome: "not-applied",
  retryAfterMs: undefined,
};

/** A body that is there already. */
function asIs(body: Uint8Array): (to: Writer) => Writer {
  return (to) => to.raw(body);
}

function rest(reader: Reader): Uint8Array {
  return reader.rest().slice();
}

/** What of an error can go to another page. */
export function plain(error: TidekeepError): PlainError {
  const { code, message, retryable, outcome, retryAfterMs } = error;
  return { code, message, retryable, outcome, retryAfterMs };
}
