// The encoding of bodies (postcard, as docs/protocol.md draws it): requests are written here and
// replies read here. The golden vectors in protocol/vectors hold it to what Rust says.

import { StoredEntry, toBytes } from "./entry.js";
import { TidekeepError } from "./errors.js";
import type { Bounds } from "./range.js";
import type { Bytes, ConditionOptions, Entry, ExpiryOptions } from "./types.js";

/** Numbers of the operations, as in protocol/src/op.rs; and of a ping. */
export const enum Kind {
  ping = 0x03,
  get = 0x10,
  put = 0x11,
  delete = 0x12,
  scan = 0x13,
  children = 0x14,
  touch = 0x15,
  increment = 0x16,
  txn = 0x17,
  deleteRange = 0x18,
  watch = 0x19,
  status = 0x1a,
  leaseGrant = 0x1b,
  leaseRevoke = 0x1d,
  leases = 0x1e,
  backup = 0x20,
}

/** In the order of the variants on the wire, from 1. */
const CONDITIONS = ["ifAbsent", "ifPresent", "ifRevision", "ifValue"] as const;
const EXPIRIES = ["keepTtl", "ttlMs", "expiresAt", "lease"] as const;

/** A buffer that one large value has made longer than this is not kept. */
const KEPT_BYTES = 1 << 20;

const strict = new TextDecoder("utf-8", { fatal: true });
/** The buffer that the next writer takes over, so that small requests allocate none. */
let spare = new Uint8Array();

/** Writes one body. */
export class Writer {
  #bytes = spare;
  #length = 0;

  constructor() {
    spare = new Uint8Array();
  }

  /** What was written; valid until the next writer is made. */
  take(): Uint8Array {
    if (this.#bytes.length <= KEPT_BYTES) spare = this.#bytes;
    return this.#bytes.subarray(0, this.#length);
  }

  byte(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** A whole number from 0 to 2^53, or the number of an enum's variant. */
  number(value: number): this {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.byte((value % 0x80) | 0x80);
    return this.byte(value);
  }

  /** A whole number that may be below 0: the sign is the lowest bit, so that the first byte has it. */
  signed(value: number): this {
    const rest = value < 0 ? -1 - value : value;
    const first = (rest % 64) * 2 + +(value < 0);
    return rest < 64 ? this.byte(first) : this.byte(first | 0x80).number(Math.floor(rest / 64));
  }

  flag(value: boolean | undefined): this {
    return this.byte(value ? 1 : 0);
  }

  bytes(value: Bytes): this {
    const bytes = toBytes(value);
    return this.number(bytes.length).raw(bytes);
  }

  /** Bytes that are encoded already. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  optional(value: Bytes | undefined): this {
    return value === undefined ? this.byte(0) : this.byte(1).bytes(value);
  }

  list<T>(items: T[], write: (item: T) => void): this {
    this.number(items.length);
    items.forEach(write);
    return this;
  }

  range({ start, end }: Bounds): this {
    return this.bytes(start).optional(end);
  }

  condition(options: ConditionOptions): this {
    const given = this.#one(options, CONDITIONS);
    if (given === "ifRevision") this.count(options[given]!, given);
    if (given === "ifValue") this.bytes(options[given]!);
    return this;
  }

  expiry(options: ExpiryOptions): this {
    const given = this.#one(options, EXPIRIES);
    // A lease's number is not rounded: a part of one means nothing.
    if (given === "lease") this.count(options[given]!, given);
    else if (given && given !== "keepTtl") this.count(Math.ceil(+options[given]!), given);
    return this;
  }

  /** A number that a caller gave and that has to be whole and not below 0. */
  count(value: number, name: string): this {
    return this.number(whole(value, name, 0));
  }

  /** The one option of these that was given, written as its variant. */
  #one<K extends string>(options: { [name in K]?: unknown }, names: readonly K[]): K | undefined {
    const given = names.filter((name) => options[name] !== undefined && options[name] !== false);
    if (given.length > 1) invalid(`of ${names.join(", ")}, one at most may be given`);
    this.byte(names.indexOf(given[0]!) + 1);
    return given[0];
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const longer = new Uint8Array(Math.max(needed, this.#bytes.length * 2, 256));
    longer.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = longer;
  }
}

/** Reads a body; copies what outlives the buffer. Throws where it is not what it should be. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** One byte. */
  byte(): number {
    return this.#bytes[this.#at++] ?? malformed();
  }

  /** A number in so many bytes, lowest first. */
  fixed(bytes: number): number {
    let sum = 0;
    for (let scale = 1; bytes > 0; bytes--, scale *= 0x100) sum += this.byte() * scale;
    return sum;
  }

  number(): number {
    let sum = 0;
    for (let scale = 1; scale < 2 ** 64; scale *= 0x80) {
      const byte = this.byte();
      sum += (byte & 0x7f) * scale;
      if (byte < 0x80) return sum;
    }
    return malformed();
  }

  /** A number that may be below 0, rounded where a JavaScript number ends. */
  signed(): number {
    const first = this.byte();
    const rest = ((first & 0x7f) >> 1) + (first < 0x80 ? 0 : this.number() * 64);
    return first & 1 ? -1 - rest : rest;
  }

  /** The number of one of so many variants. */
  variant(count: number): number {
    const variant = this.number();
    return variant < count ? variant : malformed();
  }

  flag(): boolean {
    return this.variant(2) === 1;
  }

  /** Nothing may follow. */
  end(): void {
    if (!this.done) malformed();
  }

  bytes(): Uint8Array {
    return this.#take(this.number()).slice();
  }

  /** All that is left; only lent. */
  rest(): Uint8Array {
    return this.#take(this.#bytes.length - this.#at);
  }

  text(): string {
    const bytes = this.#take(this.number());
    try {
      return strict.decode(bytes);
    } catch {
      malformed();
    }
  }

  optional<T>(read: () => T): T | undefined {
    return this.flag() ? read() : undefined;
  }

  list<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.number(); left > 0; left--) items.push(read());
    return items;
  }

  /** Bytes behind their length in four bytes; only lent. */
  block(): Uint8Array {
    return this.#take(this.fixed(4));
  }

  entry(): Entry {
    return this.stored(this.bytes());
  }

  /** Metadata and value of the entry with this key. */
  stored(key: Uint8Array): Entry {
    const entry = new StoredEntry(key, this);
    entry.value = this.bytes();
    return entry;
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) malformed();
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

/** The number, if it is whole and not below `least`. */
export function whole(value: number, name: string, least: number): number {
  const fits = Number.isSafeInteger(value) && value >= least;
  return fits ? value : invalid(`${name} must be a whole number, at least ${least}`);
}

/** Throws: what the caller gave makes no sense. */
export function invalid(message: string, cause?: unknown): never {
  throw new TidekeepError("invalid-input", message, { cause });
}

/** Throws: what the server sent makes none. */
export function malformed(): never {
  const message = "what the server sent is not what the protocol says";
  throw new TidekeepError("protocol", message, { outcome: "unknown" });
}
