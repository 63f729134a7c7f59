// Entries and text: what arrives as bytes, shown as the types promise.

import type { Reader } from "./codec.js";
import type { Bytes, Entry } from "./types.js";

const encoder = new TextEncoder();
/** Values may begin with what looks like a byte order mark. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

const NOTHING = new Uint8Array();

/** Text as UTF-8; bytes as they are. */
export function toBytes(bytes: Bytes): Uint8Array {
  return typeof bytes === "string" ? encoder.encode(bytes) : bytes;
}

/** UTF-8 as text, with U+FFFD where it is none. */
export function toText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** An entry whose texts are made when they are asked for. Reads its metadata; the value is empty. */
export class StoredEntry implements Entry {
  readonly created: number;
  readonly revision: number;
  readonly version: number;
  readonly expiresAt: number | undefined;
  readonly lease: number | undefined;
  value: Uint8Array = NOTHING;

  constructor(
    readonly keyBytes: Uint8Array,
    from: Reader,
  ) {
    const number = () => from.number();
    this.created = number();
    this.revision = number();
    this.version = number();
    this.expiresAt = from.optional(number);
    this.lease = from.optional(number);
  }

  get key(): string {
    return toText(this.keyBytes);
  }

  text(): string {
    return toText(this.value);
  }

  json<T>(): T {
    return JSON.parse(this.text()) as T;
  }
}
