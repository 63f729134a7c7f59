// One connection of `tidekeep/testing`, as the server sees it: frames in, frames out, and what watches
// are told.

import { Kind, Reader, Writer } from "../codec.js";
import type { Bounds } from "../range.js";
import { answer, readRange, WRITES, writeStored } from "./requests.js";
import { nameOf, Refused } from "./store.js";
import type { Change, Kept, Step, Store } from "./store.js";

const HEADER_BYTES = 12;
const PREFACE_BYTES = 8;
const REPLY = 0x80;
const Frame = { hello: 1, welcome: 2, ping: 3, pong: 4, cancel: 6, error: 7 } as const;
const Tag = { session: 2, number: 3 } as const;
const Code = { cancelled: 15, cursorTooOld: 17, protocol: 6, internal: 20 } as const;
const PAGE = 1000;
const INCARNATION = 1;
/** The limits of a welcome, in their order: 64 MiB where it is about bytes, so that nothing is cut. */
const BYTES = 64 << 20;
const LIMITS = [1024, 1 << 20, BYTES, BYTES, 64 << 10, BYTES, 4096, 1024, 10_000, 512];

/** Answers to numbered writes, by their number. */
export type Session = Map<number, { kind: number; body: Uint8Array }>;

/** What links have in common. */
export interface Shared {
  readonly store: Store;
  readonly ids: { server: Uint8Array; store: Uint8Array };
  readonly sessions: Map<string, Session>;
  now(): number;
}

interface Watched {
  id: number;
  range: Bounds;
  previous: boolean;
}

export class Link {
  readonly #shared: Shared;
  readonly #out: (message: Uint8Array) => void;
  readonly #watches = new Map<number, Watched>();
  #first = true;
  #session: Session | undefined;

  constructor(shared: Shared, out: (message: Uint8Array) => void) {
    this.#shared = shared;
    this.#out = out;
  }

  /** Takes a message of the client. */
  take(message: Uint8Array): void {
    let rest = message.subarray(this.#first ? PREFACE_BYTES : 0);
    this.#first = false;
    while (rest.length > 0) {
      const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength);
      const end = 4 + view.getUint32(0, true);
      const behind = HEADER_BYTES + view.getUint16(6, true);
      const extensions = readExtensions(rest.subarray(HEADER_BYTES, behind));
      this.#frame(rest[4]!, view.getUint32(8, true), rest.slice(behind, end), extensions);
      rest = rest.subarray(end);
    }
  }

  /** Tells the watches what a revision changed. */
  step(step: Step): void {
    for (const watched of this.#watches.values()) this.#tell(watched, step);
  }

  #frame(kind: number, id: number, body: Uint8Array, extensions: Map<number, Uint8Array>): void {
    if (kind === Frame.hello) return this.#greet(extensions.get(Tag.session));
    if (kind === Frame.ping) return this.#send(Frame.pong, id, new Writer());
    if (kind === Frame.pong) return;
    if (kind === Frame.cancel) return this.#cancel(id);
    this.#shared.store.expire();
    try {
      if (kind === Kind.watch) return this.#watch(id, new Reader(body));
      this.#answer(kind, id, body, extensions.get(Tag.number));
    } catch (error) {
      const code = error instanceof Refused ? error.code : Code.internal;
      this.#refuse(id, code, String((error as Error).message));
    }
  }

  #greet(wanted: Uint8Array | undefined): void {
    const { sessions, ids } = this.#shared;
    const known = wanted?.length === 24 && sessions.has(nameOf(wanted.subarray(0, 16)));
    const session = known ? wanted.slice(0, 16) : crypto.getRandomValues(new Uint8Array(16));
    this.#session = sessions.get(nameOf(session)) ?? new Map();
    sessions.set(nameOf(session), this.#session);
    const to = new Writer().number(1).number(0);
    for (const limit of LIMITS) to.number(limit);
    to.raw(ids.server).raw(ids.store).number(INCARNATION).number(10_000);
    to.number(Math.floor(this.#shared.now())).bytes("tidekeep-testing");
    const extension = new Writer().raw(Uint8Array.of(Tag.session, 16, 0)).raw(session).take().slice();
    // The first writer's buffer may have been taken over by the second.
    this.#send(Frame.welcome, 0, to, extension);
  }

  #answer(kind: number, id: number, body: Uint8Array, number: Uint8Array | undefined): void {
    const { store } = this.#shared;
    const numbered = number && WRITES.includes(kind) ? this.#session : undefined;
    const view = number && new DataView(number.buffer, number.byteOffset);
    const sequence = view ? Number(view.getBigUint64(0, true)) : 0;
    const oldest = view ? Number(view.getBigUint64(8, true)) : 0;
    for (const settled of numbered?.keys() ?? []) if (settled < oldest) numbered?.delete(settled);
    const before = numbered?.get(sequence);
    if (before) return this.#sendBytes(before.kind, id, before.body);
    const reply = answer(store, kind, new Reader(body), this.#shared.now()).take().slice();
    numbered?.set(sequence, { kind: kind | REPLY, body: reply });
    this.#sendBytes(kind | REPLY, id, reply);
  }

  #watch(id: number, from: Reader): void {
    const { store } = this.#shared;
    const range = readRange(from);
    const begin = from.variant(3);
    const cursor = begin === 2 ? Number(new Reader(from.bytes()).number()) : store.revision;
    const watched: Watched = { id, range, previous: from.flag() };
    const oldest = (store.steps[0]?.revision ?? 1) - 1;
    if (cursor < oldest || cursor > store.revision) {
      return this.#refuse(id, Code.cursorTooOld, "the server for tests no longer knows that far back");
    }
    this.#watches.set(id, watched);
    const content = begin === 1 ? store.range(range) : [];
    for (let at = 0; at < content.length; at += PAGE) {
      const to = new Writer().number(0);
      to.list(content.slice(at, at + PAGE), (entry) => writeStored(to.bytes(entry.key), entry));
      this.#send(Kind.watch | REPLY, id, to);
    }
    for (const step of store.steps) if (step.revision > cursor) this.#tell(watched, step);
    this.#send(Kind.watch | REPLY, id, this.#position(1, store.revision));
  }

  #tell({ id, range, previous }: Watched, { revision, changes }: Step): void {
    const [start, end] = [nameOf(range.start), range.end && nameOf(range.end)];
    const inside = changes.filter(({ key }) => {
      const name = nameOf(key);
      return name >= start && (end === undefined || name < end);
    });
    if (inside.length === 0) return;
    const to = this.#position(2, revision);
    to.list(inside, (change) => writeEvent(to, change, previous ? change.previous : undefined));
    this.#send(Kind.watch | REPLY, id, to);
  }

  /** A message's variant, its revision and its cursor, which is the revision again. */
  #position(variant: number, revision: number): Writer {
    const cursor = new Writer().number(revision).take().slice();
    return new Writer().number(variant).number(revision).bytes(cursor);
  }

  #cancel(id: number): void {
    if (this.#watches.delete(id)) this.#refuse(id, Code.cancelled, "cancelled");
  }

  #refuse(id: number, code: number, message: string): void {
    this.#send(Frame.error, id, new Writer().number(code).flag(false).number(0).number(0).bytes(message));
  }

  #send(kind: number, id: number, to: Writer, extension?: Uint8Array): void {
    this.#sendBytes(kind, id, to.take(), extension);
  }

  #sendBytes(kind: number, id: number, body: Uint8Array, extension: Uint8Array = new Uint8Array()): void {
    const frame = new Uint8Array(HEADER_BYTES + extension.length + body.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, frame.length - 4, true);
    frame[4] = kind;
    view.setUint16(6, extension.length, true);
    view.setUint32(8, id, true);
    frame.set(extension, HEADER_BYTES);
    frame.set(body, HEADER_BYTES + extension.length);
    this.#out(frame);
  }
}

function writeEvent(to: Writer, change: Change, previous: Kept | undefined): void {
  to.number(change.what).bytes(change.key);
  if (change.entry) writeStored(to, change.entry);
  if (previous) writeStored(to.number(1), previous);
  else to.number(0);
}

function readExtensions(bytes: Uint8Array): Map<number, Uint8Array> {
  const all = new Map<number, Uint8Array>();
  for (let at = 0; at + 3 <= bytes.length; ) {
    const length = bytes[at + 1]! | (bytes[at + 2]! << 8);
    // Without the bit that says that it must be understood.
    const tag = bytes[at]! & 0x7f;
    if (!all.has(tag)) all.set(tag, bytes.slice(at + 3, at + 3 + length));
    at += 3 + length;
  }
  return all;
}
