// Entries and text: what arrives as bytes, shown as the types promise.

import type { Bytes, Entry } from "./types.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Text as UTF-8; bytes as they are. */
export function toBytes(bytes: Bytes): Uint8Array {
  return typeof bytes === "string" ? encoder.encode(bytes) : bytes;
}

/** UTF-8 as text, with U+FFFD where it is none. */
export function toText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** An entry whose texts are made when they are asked for. */
export class StoredEntry implements Entry {
  constructor(
    readonly keyBytes: Uint8Array,
    readonly value: Uint8Array,
    readonly created: number,
    readonly revision: number,
    readonly version: number,
    readonly expiresAt: number | undefined,
  ) {}

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
