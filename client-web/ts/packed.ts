// The boundary's bytes, as seen from JavaScript. What each message holds is drawn in src/packed.rs;
// test/packed.txt has examples that both sides are held to.

import { StoredEntry, toBytes, toText } from "./entry.js";
import { TidekeepError } from "./errors.js";
import type { Bounds } from "./range.js";
import type { Bytes, ConditionOptions, Entry, ExpiryOptions } from "./types.js";

/** Numbers of the operations, as in protocol/src/op.rs. */
export const Op = {
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
} as const;

const SCRATCH_BYTES = 4096;
/** A buffer that one large value has made longer than this is not kept. */
const KEEP_BYTES = 1 << 20;

let scratch = new Uint8Array(SCRATCH_BYTES);

/** Writes one request; its methods are in the order of the drawing. */
export class Packer {
  #bytes = scratch;
  #view = new DataView(scratch.buffer);
  #length = 0;

  /** What was written; valid until the next packer is made. */
  take(): Uint8Array {
    if (this.#bytes.length <= KEEP_BYTES) scratch = this.#bytes;
    return this.#bytes.subarray(0, this.#length);
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
    return this;
  }

  flag(value: boolean | undefined): this {
    return this.u8(value ? 1 : 0);
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  number(value: number): this {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  bytes(value: Bytes): this {
    const bytes = toBytes(value);
    this.u32(bytes.length).#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  optional(value: Bytes | undefined): this {
    return value === undefined ? this.u8(0) : this.u8(1).bytes(value);
  }

  range({ start, end }: Bounds): this {
    return this.bytes(start).optional(end);
  }

  condition(options: ConditionOptions): this {
    const { ifAbsent, ifPresent, ifRevision, ifValue } = options;
    const given = [ifAbsent, ifPresent, ifRevision !== undefined, ifValue !== undefined];
    if (given.filter(Boolean).length > 1) {
      throw new TidekeepError("invalid-input", "a write takes one condition at most");
    }
    if (ifAbsent) return this.u8(1);
    if (ifPresent) return this.u8(2);
    if (ifRevision !== undefined) return this.u8(3).count(ifRevision, "ifRevision");
    if (ifValue !== undefined) return this.u8(4).bytes(ifValue);
    return this.u8(0);
  }

  expiry(options: ExpiryOptions): this {
    const { ttlMs, expiresAt, keepTtl } = options;
    const given = [ttlMs !== undefined, expiresAt !== undefined, keepTtl];
    if (given.filter(Boolean).length > 1) {
      throw new TidekeepError("invalid-input", "a write takes one of ttlMs, expiresAt, keepTtl");
    }
    if (keepTtl) return this.u8(1);
    if (ttlMs !== undefined) return this.u8(2).count(Math.ceil(ttlMs), "ttlMs");
    if (expiresAt !== undefined) return this.u8(3).count(Math.ceil(+expiresAt), "expiresAt");
    return this.u8(0);
  }

  /** A whole number that a JavaScript number holds exactly. */
  integer(value: number, name: string): this {
    if (Number.isSafeInteger(value)) return this.number(value);
    throw new TidekeepError("invalid-input", `${name} must be a whole number`);
  }

  /** A whole number, 0 or more. */
  count(value: number, name: string): this {
    if (value >= 0) return this.integer(value, name);
    throw new TidekeepError("invalid-input", `${name} must not be below 0`);
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const longer = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    longer.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = longer;
    this.#view = new DataView(longer.buffer);
  }
}

/** Reads what one drain left; copies what outlives the buffer. */
export class Reader {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next record, by itself. */
  record(): Reader {
    const length = this.u32();
    this.#at += length;
    return new Reader(this.#bytes.subarray(this.#at - length, this.#at));
  }

  u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  flag(): boolean {
    return this.u8() !== 0;
  }

  u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  number(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  bytes(): Uint8Array {
    const length = this.u32();
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }

  text(): string {
    const length = this.u32();
    this.#at += length;
    return toText(this.#bytes.subarray(this.#at - length, this.#at));
  }

  list<T>(item: () => T): T[] {
    return Array.from({ length: this.u32() }, item);
  }

  /** Metadata and value of the entry with this key. */
  stored(key: Uint8Array): Entry {
    const [created, revision, version] = [this.number(), this.number(), this.number()];
    const expiresAt = this.expiresAt();
    return new StoredEntry(key, this.bytes(), created, revision, version, expiresAt);
  }

  optionalStored(key: Uint8Array): Entry | undefined {
    return this.flag() ? this.stored(key) : undefined;
  }

  entry(): Entry {
    return this.stored(this.bytes());
  }

  expiresAt(): number | undefined {
    const time = this.number();
    return time < 0 ? undefined : time;
  }
}
