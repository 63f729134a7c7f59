// The format of `tidekeep import` and `export`: a JSON object a line, with `key` or `key_base64`,
// `value` or `value_base64`, and optionally `expires_at`. Pure: lines and entries go in.

import type { Entry } from "tidekeep";

import { escapeKey, fromRaw, rawOfText, strictText, toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";

/** One line of an import. */
export interface ImportRecord {
  readonly raw: Raw;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly expiresAt: number | undefined;
  /** The revision that the entry had where it was exported, if the line says so. */
  readonly revision: number | undefined;
}

/** What export adds beyond what is needed is accepted, and but for the revision ignored. */
const FIELDS = [
  "key", "key_base64", "value", "value_base64", "expires_at",
  "lease", "revision", "created", "modified", "version",
];
/** UTF-16 that is no text: it has no bytes. */
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** Why a line is no record, in a sentence. */
export class BadRecord extends Error {}

/** Reads a line; throws a `BadRecord`. */
export function parseRecord(line: Uint8Array): ImportRecord {
  const text = strictText(line);
  if (text === undefined) {
    throw new BadRecord("not UTF-8; write such bytes as key_base64 and value_base64");
  }
  const fields = parseObject(text);
  for (const name of Object.keys(fields)) {
    if (!FIELDS.includes(name)) throw new BadRecord(`unknown field ${JSON.stringify(name)}`);
  }
  const key = bytesOf(fields, "key");
  return {
    key,
    raw: toRaw(key),
    value: bytesOf(fields, "value"),
    expiresAt: wholeNumber(fields, "expires_at"),
    revision: wholeNumber(fields, "revision") ?? wholeNumber(fields, "modified"),
  };
}

/** An entry as a line, its end included. */
export function formatRecord(entry: Entry): string {
  const line = {
    ...fieldOf("key", entry.keyBytes),
    ...fieldOf("value", entry.value),
    expires_at: entry.expiresAt,
    revision: entry.revision,
  };
  return `${JSON.stringify(line)}\n`;
}

/** Bytes under a name: as text if they are UTF-8, else in base64 under the name for that. */
export function fieldOf(name: string, bytes: Uint8Array): Record<string, string> {
  const text = strictText(bytes);
  return text === undefined ? { [`${name}_base64`]: btoa(toRaw(bytes)) } : { [name]: text };
}

function parseObject(text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    // It may quote the line, and must stay one line itself.
    throw new BadRecord(escapeKey(rawOfText((error as Error).message)));
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new BadRecord("not an object; a line is {\"key\": …, \"value\": …}");
  }
  return parsed as Record<string, unknown>;
}

function bytesOf(fields: Record<string, unknown>, name: string): Uint8Array {
  const base64 = `${name}_base64`;
  const [text, encoded] = [fields[name] ?? undefined, fields[base64] ?? undefined];
  if (text === undefined && encoded === undefined) {
    throw new BadRecord(`neither ${name} nor ${base64} is there`);
  }
  if (text !== undefined && encoded !== undefined) {
    throw new BadRecord(`${name} and ${base64} are both there`);
  }
  if (typeof (text ?? encoded) !== "string") {
    throw new BadRecord(`${text === undefined ? base64 : name} is no text`);
  }
  if (text !== undefined) {
    if (LONE.test(text as string)) throw new BadRecord(`${name} has half of a surrogate pair`);
    return fromRaw(rawOfText(text as string));
  }
  return fromBase64(encoded as string) ?? fail(`${base64} is no base64`);
}

function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return fromRaw(atob(text));
}

function wholeNumber(fields: Record<string, unknown>, name: string): number | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new BadRecord(`${name} is no whole number`);
}

function fail(why: string): never {
  throw new BadRecord(why);
}
