// The encoding of bodies (postcard, as docs/protocol.md draws it): requests are written here and
// replies read here. The golden vectors in protocol/vectors hold it to what Rust says.

import { StoredEntry, toBytes } from "./entry.js";
import { TidekeepError } from "./errors.js";
import type { Bounds } from "./range.js";
import type { Bytes, ConditionOptions, Entry, ExpiryOptions } from "./types.js";

/** Numbers of the operations, as in protocol/src/op.rs; and of a ping. */
export const Kind = {
  ping: 0x03,
  get: 0x10,
  put: 0x11,
  delete: 0x12,
  scan: 0x13,
  children: 0x14,
  touch: 0x15,
  increment: 0x16,
  txn: 0x17,
  deleteRange: 0x18,
  watch: 0x19,
  status: 0x1a,
  leaseGrant: 0x1b,
  leaseRevoke: 0x1d,
  leases: 0x1e,
  backup: 0x20,
} as const;

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

  /** A whole number from 0 to 2^53, or the number of an enum's variant. */
  number(value: number): this {
    this.#reserve(8);
    for (; value >= 0x80; value = Math.floor(value / 0x80)) {
      this.#bytes[this.#length++] = (value % 0x80) | 0x80;
    }
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** A number that may be below 0. */
  signed(value: number): this {
    const doubled = BigInt(value) * 2n;
    return this.#big(value < 0 ? -doubled - 1n : doubled);
  }

  flag(value: boolean | undefined): this {
    return this.number(value ? 1 : 0);
  }

  bytes(value: Bytes): this {
    const bytes = toBytes(value);
    this.number(bytes.length).#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  optional(value: Bytes | undefined): this {
    return value === undefined ? this.number(0) : this.number(1).bytes(value);
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
    const { ifAbsent, ifPresent, ifRevision, ifValue } = options;
    const given = [ifAbsent, ifPresent, ifRevision !== undefined, ifValue !== undefined];
    atMostOne(given, "ifAbsent, ifPresent, ifRevision and ifValue");
    if (ifAbsent) return this.number(1);
    if (ifPresent) return this.number(2);
    if (ifRevision !== undefined) return this.number(3).count(ifRevision, "ifRevision");
    if (ifValue !== undefined) return this.number(4).bytes(ifValue);
    return this.number(0);
  }

  expiry(options: ExpiryOptions): this {
    const { ttlMs, expiresAt, keepTtl, lease } = options;
    const given = [keepTtl, ttlMs !== undefined, expiresAt !== undefined, lease !== undefined];
    atMostOne(given, "ttlMs, expiresAt, keepTtl and lease");
    if (keepTtl) return this.number(1);
    if (ttlMs !== undefined) return this.number(2).count(Math.ceil(ttlMs), "ttlMs");
    if (expiresAt !== undefined) return this.number(3).count(Math.ceil(+expiresAt), "expiresAt");
    if (lease !== undefined) return this.number(4).count(lease, "lease");
    return this.number(0);
  }

  /** A number that a caller gave and that has to be whole and not below 0. */
  count(value: number, name: string): this {
    return this.number(whole(value, name, 0));
  }

  #big(value: bigint): this {
    this.#reserve(10);
    for (; value >= 0x80n; value >>= 7n) {
      this.#bytes[this.#length++] = Number(value & 0x7fn) | 0x80;
    }
    this.#bytes[this.#length++] = Number(value);
    return this;
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
    return this.#take(1)[0]!;
  }

  /** Four bytes, lowest first. */
  u32(): number {
    const [a, b, c, d] = this.#take(4);
    return (a! | (b! << 8) | (c! << 16) | (d! << 24)) >>> 0;
  }

  number(): number {
    let sum = 0;
    for (let scale = 1; scale < 2 ** 64; scale *= 0x80) {
      const byte = this.byte();
      sum += (byte & 0x7f) * scale;
      if (byte < 0x80) return sum;
    }
    throw malformed();
  }

  /** A number that may be below 0, rounded where a JavaScript number ends. */
  signed(): number {
    let sum = 0n;
    for (let shift = 0n; shift < 64n; shift += 7n) {
      const byte = this.byte();
      sum |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(sum & 1n ? -(sum >> 1n) - 1n : sum >> 1n);
    }
    throw malformed();
  }

  /** The number of one of so many variants. */
  variant(count: number): number {
    const variant = this.number();
    if (variant >= count) throw malformed();
    return variant;
  }

  flag(): boolean {
    return this.variant(2) === 1;
  }

  /** Nothing may follow. */
  end(): void {
    if (!this.done) throw malformed();
  }

  bytes(): Uint8Array {
    return this.#take(this.number()).slice();
  }

  text(): string {
    const bytes = this.#take(this.number());
    try {
      return strict.decode(bytes);
    } catch {
      throw malformed();
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

  /** The bytes of the next record, by themselves. */
  record(): Reader {
    return new Reader(this.#take(this.u32()));
  }

  entry(): Entry {
    return this.stored(this.bytes());
  }

  /** Metadata and value of the entry with this key. */
  stored(key: Uint8Array): Entry {
    const meta = this.meta();
    return new StoredEntry(key, this.bytes(), meta);
  }

  meta(): Meta {
    return {
      created: this.number(),
      revision: this.number(),
      version: this.number(),
      expiresAt: this.optional(() => this.number()),
      lease: this.optional(() => this.number()),
    };
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw malformed();
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

/** What the store keeps beside a value. */
export type Meta = Pick<Entry, "created" | "revision" | "version" | "expiresAt" | "lease">;

/** The number, if it is whole and not below `least`. */
export function whole(value: number, name: string, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new TidekeepError("invalid-input", `${name} must be a whole number, at least ${least}`);
}

function malformed(): TidekeepError {
  const message = "what the server sent is not what the protocol says";
  return new TidekeepError("protocol", message, { outcome: "unknown" });
}

function atMostOne(given: unknown[], names: string): void {
  if (given.filter(Boolean).length > 1) {
    throw new TidekeepError("invalid-input", `of ${names}, one at most may be given`);
  }
}
