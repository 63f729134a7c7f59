// What an action of the page is in a terminal and in a program: the command and the call that do the same.
// Pure.

import { escapeKey, fromRaw, given, strictText, toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";
import { callText, literal } from "./javascript.js";

/** One action, told in the two other ways. */
export interface Equivalent {
  readonly what: string;
  readonly cli: string;
  readonly js: string;
}

/** What a put bears beside key and value. */
export interface PutWords {
  ifAbsent?: boolean;
  ifRevision?: number;
  keepTtl?: boolean;
  ttlMs?: number;
}

/** Bytes of a value that are written out; of a longer one, its file is spoken of. */
const VALUE_MAX = 2000;

export function getWords(raw: Raw): Equivalent {
  return { what: "Read it", cli: cli("get", [raw]), js: `const entry = await ${callText("get", [given(raw)])};` };
}

export function putWords(raw: Raw, value: Uint8Array, words: PutWords): Equivalent {
  const flags = [
    words.ifAbsent && "--if-absent",
    words.ifRevision !== undefined && `--if-revision ${words.ifRevision}`,
    words.keepTtl && "--keep-ttl",
    words.ttlMs !== undefined && `--ttl ${words.ttlMs}ms`,
  ];
  const long = value.length > VALUE_MAX;
  return {
    what: words.ifAbsent ? "Create it" : "Save it",
    cli: long ? `${cli("put", [raw], flags)} @value.bin` : cli("put", [raw, valueWord(toRaw(value))], flags),
    js: `await client.put(${literal(given(raw))}, ${long ? "value" : literal(given(toRaw(value)))}, ${literal(words)});`,
  };
}

export function deleteWords(raw: Raw, revision: number): Equivalent {
  return {
    what: "Delete it",
    cli: cli("delete", [raw], [`--if-revision ${revision}`]),
    js: `await ${callText("delete", [given(raw), { ifRevision: revision }])};`,
  };
}

export function touchWords(raw: Raw, ttlMs: number | undefined): Equivalent {
  return {
    what: ttlMs === undefined ? "Keep it for ever" : "Set its end",
    cli: cli("touch", [raw], [ttlMs === undefined ? "--persist" : `--ttl ${ttlMs}ms`]),
    js: `await ${callText("touch", [given(raw), { ttlMs }])};`,
  };
}

export function watchWords(raw: Raw): Equivalent {
  return {
    what: "Follow it",
    cli: cli("watch", [raw], ["--exact", "--content"]),
    js: `for await (const event of ${callText("watch", [{ key: given(raw) }, { content: true }])}) console.log(event);`,
  };
}

export function historyWords(raw: Raw): Equivalent {
  return {
    what: "Its history",
    cli: cli("history", [raw]),
    js: `for await (const event of ${callText("watch", [{ key: given(raw) }, { cursor: new Uint8Array(), previous: true }])}) console.log(event);`,
  };
}

export function listWords(prefix: Raw): Equivalent {
  return {
    what: "List them",
    cli: cli("list", prefix === "" ? [] : [prefix]),
    js: `for await (const entry of ${callText("scan", [{ prefix: given(prefix) }])}) console.log(entry.key);`,
  };
}

/** A word that a POSIX shell reads as exactly this text. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A command line. Where a word is no plain text, all of them are escaped, which the command is told. */
function cli(verb: string, words: Raw[], flags: (string | false | undefined)[] = []): string {
  const texts = words.map((word) => strictText(fromRaw(word)));
  // A value that is a dash alone would be read from the input.
  const isPlain = (text?: string) => text !== undefined && text !== "-" && !/[\x00-\x08\x0b-\x1f\x7f]/.test(text);
  const plain = texts.every(isPlain);
  const shown = plain ? (texts as string[]) : words.map((word) => (word === "-" ? "\\x2d" : escapeKey(word)));
  const options = [...flags, !plain && "--escaped"].filter(Boolean) as string[];
  // A word that begins with a dash would be read as a flag.
  const dashes = shown.some((word) => word.startsWith("-")) ? ["--"] : [];
  return ["tidekeep", verb, ...options, ...dashes, ...shown.map(shellWord)].join(" ");
}

/** The command reads a value that is `-` from its input, and one that begins with `@` from a file. */
function valueWord(value: Raw): Raw {
  return value.startsWith("@") ? `@${value}` : value;
}
