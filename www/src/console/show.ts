// Results as lines: text for people as the command line prints it, JSON by the same names. Pure.

import type { Entry, TxnOpResult, TxnResult, WatchEvent } from "tidekeep";

import { escapeKey, strictText, toRaw } from "../model/bytes.js";
import { fieldOf } from "../model/record.js";
import { unitText } from "../model/scale.js";
import { countdown } from "../model/time.js";
import { countText } from "../model/value.js";
import type { Script } from "./clauses.js";

/** Where a result goes. */
interface Paper {
  readonly format: Format;
  line(text: string): boolean;
}

/** How results look. */
export type Format = "text" | "json" | "raw";

/** Prints a result as JSON or as text, if there is one; false when one command may print no more. */
export function print(on: Paper, json: object, text: string | undefined): boolean {
  if (on.format === "json") return on.line(JSON.stringify(json));
  return text === undefined || on.line(text);
}

/** Bytes on one line. */
export function escaped(bytes: Uint8Array): string {
  return escapeKey(toRaw(bytes));
}

/** A whole value: its lines as they are, or escaped when it is no text. */
export function valueText(value: Uint8Array): string {
  const text = strictText(value);
  return text === undefined || /[\x00-\x08\x0b-\x1f\x7f]/.test(text) ? escaped(value) : text;
}

/** An entry by the names of the command line's JSON. */
export function entryJson(entry: Entry, keysOnly = false): object {
  return {
    ...fieldOf("key", entry.keyBytes),
    ...(!keysOnly && fieldOf("value", entry.value)),
    created: entry.created,
    modified: entry.revision,
    version: entry.version,
    expires_at: entry.expiresAt,
    lease: entry.lease,
  };
}

/** `(expires in 9.3 s)` behind an entry that ends. */
export function lifetime(expiresAt: number | undefined, now: number): string {
  return expiresAt === undefined ? "" : `expires in ${countdown(expiresAt - now)}`;
}

/** An event of a watch. */
export function eventText(event: WatchEvent, format: Format, now: number): string | undefined {
  if (event.type === "caught-up") {
    return format === "json" ? JSON.stringify({ type: "caught-up", revision: event.revision }) : undefined;
  }
  if (event.type === "reset") return format === "json" ? '{"type":"reset"}' : "reset";
  const entry = event.type === "entry" || event.type === "put" ? event.entry : undefined;
  const previous = event.type === "entry" ? undefined : event.previous;
  const [key, type] = event.type === "entry" ? [event.entry.keyBytes, "content"] : [event.keyBytes, event.type];
  const revision = event.type === "entry" ? event.entry.revision : event.revision;
  if (format === "json") {
    const what = entry ? entryJson(entry) : fieldOf("key", key);
    const was = previous && entryJson(previous);
    return JSON.stringify({ type, ...what, previous: was, revision: event.type === "entry" ? undefined : revision });
  }
  const value = entry ? `\t${escaped(entry.value)}` : "";
  if (format === "raw") return `${escaped(key)}${value}`;
  const was = previous ? `\t(was ${escaped(previous.value)})` : "";
  const end = entry?.expiresAt === undefined ? "" : `\t(${lifetime(entry.expiresAt, now)})`;
  return `${revision}\t${type}\t${escaped(key)}${value}${was}${end}`;
}

/** What a transaction did, a line each. */
export function txnLines(script: Script, done: TxnResult, format: Format): string[] {
  if (format === "json") {
    const results = done.results.map(resultJson);
    return [JSON.stringify({ succeeded: done.succeeded, revision: done.revision, results })];
  }
  if (format === "raw") {
    return done.results.flatMap((result) => (result.op === "get" && result.entry ? [valueText(result.entry.value)] : []));
  }
  const steps = done.succeeded ? script.then : script.otherwise;
  const lines = done.results.map((result, at) => `${steps[at]?.name}\t${resultText(result)}`);
  const what = done.succeeded ? "done" : "the condition does not hold";
  return [...lines, `${what}, revision ${done.revision}`];
}

/** A figure as people read it: the unit at the end of its name moves to the number. */
export function figureText(name: string, value: number): [name: string, value: string] {
  if (name.endsWith("_bytes")) return [name.slice(0, -6), unitText(value, "bytes")];
  if (name.endsWith("_ms")) return [name.slice(0, -3), value < 10_000 ? `${value} ms` : countdown(value)];
  if (name.endsWith("_us")) return [name.slice(0, -3), unitText(value / 1000, "ms")];
  return [name, countText(value)];
}

function resultText(result: TxnOpResult): string {
  const none = "(no such key)";
  const was = (previous: Entry | undefined) => (previous ? ` (was ${escaped(previous.value)})` : "");
  switch (result.op) {
    case "get":
      return result.entry ? escaped(result.entry.value) : none;
    case "put":
      return `set${was(result.previous)}`;
    case "delete":
      return result.deleted ? `deleted${was(result.previous)}` : none;
    case "touch":
      return result.touched ? "touched" : none;
    case "increment":
      return String(result.value);
    case "deleteRange":
      return `deleted ${result.deleted}${result.more ? ", and there are more" : ""}`;
  }
}

function resultJson(result: TxnOpResult): unknown {
  const was = "previous" in result && result.previous ? entryJson(result.previous) : undefined;
  switch (result.op) {
    case "get":
      return { get: result.entry ? entryJson(result.entry) : null };
    case "put":
      return { put: { applied: true, previous: was } };
    case "delete":
      return { delete: { applied: result.deleted, previous: was } };
    case "touch":
      return { touch: { applied: result.touched !== undefined, expires_at: result.touched?.expiresAt ?? null } };
    case "increment":
      return { incr: { value: result.value } };
    case "deleteRange":
      return { delete_prefix: { deleted: result.deleted, more: result.more } };
  }
}
