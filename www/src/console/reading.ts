// What the words of a line mean: keys and values as bytes, conditions, ends, ranges, as the client takes
// them. Pure.

import type { CallOptions, ConditionOptions, ExpiryOptions, Range } from "tidekeep";

import { given, rawOfText, toRaw } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { sumOf } from "../model/time.js";
import { unescape } from "../model/words.js";
import { Failure } from "./failure.js";
import type { Command } from "./grammar.js";

/** Bytes as the client takes them: text where they are text, so that what is shown reads well. */
export type Given = string | Uint8Array;

/** Reads a command's words and options. */
export class Reading {
  readonly #escaped: boolean;

  constructor(readonly command: Command) {
    this.#escaped = command.options.has("escaped");
  }

  has(option: string): boolean {
    return this.command.options.has(option);
  }

  word(at: number): Raw | undefined {
    return this.command.words[at];
  }

  /** The bytes of a key or a part of one. */
  raw(word: Raw): Raw {
    return this.#escaped ? unescape(word) : word;
  }

  key(word: Raw): Given {
    return given(this.raw(word));
  }

  /** The bytes of a value; one that begins with @ would be a file's. */
  value(word: Raw): Given {
    if (word === "-" || (word.startsWith("@") && !word.startsWith("@@"))) {
      throw new Failure(
        "invalid-input",
        "a value from a file or from standard input needs a terminal",
        "write @@ for the sign @ itself, and \\x2d for a single -; files come in by Import and export",
      );
    }
    return given(this.raw(word.startsWith("@@") ? word.slice(1) : word));
  }

  /** What must hold of the key before; nothing if nothing was said. */
  condition(): ConditionOptions {
    if (this.has("if-absent")) return { ifAbsent: true };
    if (this.has("if-present")) return { ifPresent: true };
    const [revision] = this.command.options.get("if-revision") ?? [];
    if (revision !== undefined) return { ifRevision: whole(revision, "--if-revision") };
    const [value] = this.command.options.get("if-value") ?? [];
    return value === undefined ? {} : { ifValue: this.value(value) };
  }

  /** When the key ends; nothing if nothing was said. */
  end(): ExpiryOptions {
    const option = (name: string) => this.command.options.get(name)?.[0];
    const [ttl, at, lease] = [option("ttl"), option("expires-at"), option("lease")];
    if (ttl !== undefined) return { ttlMs: duration(ttl) };
    if (at !== undefined) return { expiresAt: moment(at) };
    if (lease !== undefined) return { lease: whole(lease, "--lease") };
    return this.has("keep-ttl") ? { keepTtl: true } : {};
  }

  /** The same where a key without a word about its end keeps the one that it has. */
  endOrKept(): ExpiryOptions {
    const end = this.end();
    return Object.keys(end).length > 0 || this.has("persist") ? end : { keepTtl: true };
  }

  /** A prefix, or a range; every key if nothing was said. */
  range(): Range {
    const [start, end] = this.command.options.get("range") ?? [];
    const [prefix] = this.command.words;
    if (start === undefined || end === undefined) return prefix === undefined ? {} : { prefix: this.key(prefix) };
    if (prefix !== undefined) throw new Failure("invalid-input", "PREFIX and --range cannot be used together");
    const [from, to] = [this.raw(start), this.raw(end)];
    if (to === "") return { start: given(from) };
    if (to <= from) {
      const hint = "keys are ordered by their bytes; END is the first key left out";
      throw new Failure("invalid-input", "the range ends before it begins", hint);
    }
    return { start: given(from), end: given(to) };
  }

  number(option: string): number | undefined {
    const [text] = this.command.options.get(option) ?? [];
    return text === undefined ? undefined : whole(text, `--${option}`);
  }

  /** What every call takes. */
  call(signal: AbortSignal): CallOptions {
    const [timeout] = this.command.options.get("timeout") ?? [];
    return { signal, ...(timeout === undefined ? {} : { timeoutMs: duration(timeout) }) };
  }
}

/** Bytes or text as bytes with one char each. */
export function rawOf(bytes: Given): Raw {
  return typeof bytes === "string" ? rawOfText(bytes) : toRaw(bytes);
}

/** `500ms`, `10s`, `1h30m`; a number needs its unit. */
export function duration(text: string): number {
  const ms = /^(\s*\d+\s*[a-z]+)+\s*$/i.test(text) ? sumOf(text) : NaN;
  if (ms >= 0) return ms;
  const hint = "write a number with its unit, such as 500ms, 30s, 5m, 1h30m, 2d";
  throw new Failure("invalid-input", `"${text}" is no duration`, hint);
}

/** A moment in UTC, or milliseconds since 1970. */
export function moment(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d(?:\.\d+)?)Z?)?$/.exec(text);
  const ms = iso ? Date.parse(`${iso[1]}T${iso[2] ?? "00:00:00"}Z`) : NaN;
  if (ms >= 0) return ms;
  const hint = "write a moment in UTC such as 2030-01-31T12:00:00Z, or milliseconds since 1970";
  throw new Failure("invalid-input", `"${text}" is no moment`, hint);
}

/** A whole number that a double holds exactly. */
export function whole(text: string, what: string): number {
  const number = Number(text);
  if (/^-?\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new Failure("invalid-input", `${what} is a whole number, not "${text}"`);
}
