// What an action of the page is in a terminal and in a program: the command and the call that do the same.
// Pure.

import { escapeKey, fromRaw, strictText } from "./bytes.js";
import type { Raw } from "./bytes.js";

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
  expiresAt?: number;
}

/** Bytes of a value that are written out; of a longer one, its file is spoken of. */
const VALUE_MAX = 2000;

export function getWords(raw: Raw): Equivalent {
  return { what: "Read it", cli: cli("get", [raw]), js: `const entry = await client.get(${js(raw)});` };
}

export function putWords(raw: Raw, value: Uint8Array, words: PutWords): Equivalent {
  const flags = [
    words.ifAbsent && "--if-absent",
    words.ifRevision !== undefined && `--if-revision ${words.ifRevision}`,
    words.keepTtl && "--keep-ttl",
    words.ttlMs !== undefined && `--ttl ${words.ttlMs}ms`,
    words.expiresAt !== undefined && `--expires-at ${words.expiresAt}`,
  ];
  const given = Object.entries(words).filter(([, word]) => word !== undefined && word !== false);
  const options = given.length > 0 ? `, { ${given.map(([name, word]) => `${name}: ${word}`).join(", ")} }` : "";
  const long = value.length > VALUE_MAX;
  const told = String.fromCharCode(...(long ? [] : value));
  return {
    what: words.ifAbsent ? "Create it" : "Save it",
    cli: long ? `${cli("put", [raw], flags)} @value.bin` : cli("put", [raw, valueWord(told)], flags),
    js: `await client.put(${js(raw)}, ${long ? "value" : js(told)}${options});`,
  };
}

export function deleteWords(raw: Raw, revision: number): Equivalent {
  return {
    what: "Delete it",
    cli: cli("delete", [raw], [`--if-revision ${revision}`]),
    js: `await client.delete(${js(raw)}, { ifRevision: ${revision} });`,
  };
}

export function touchWords(raw: Raw, ttlMs: number | undefined): Equivalent {
  return {
    what: ttlMs === undefined ? "Keep it for ever" : "Set its end",
    cli: cli("touch", [raw], [ttlMs === undefined ? "--persist" : `--ttl ${ttlMs}ms`]),
    js: `await client.touch(${js(raw)}${ttlMs === undefined ? "" : `, { ttlMs: ${ttlMs} }`});`,
  };
}

export function watchWords(raw: Raw): Equivalent {
  return {
    what: "Follow it",
    cli: cli("watch", [raw], ["--exact", "--content"]),
    js: `for await (const event of client.watch({ key: ${js(raw)} }, { content: true })) console.log(event);`,
  };
}

export function historyWords(raw: Raw): Equivalent {
  return {
    what: "Its history",
    cli: cli("history", [raw]),
    js: `client.watch({ key: ${js(raw)} }, { cursor: new Uint8Array(), previous: true });`,
  };
}

export function listWords(prefix: Raw): Equivalent {
  return {
    what: "List them",
    cli: cli("list", prefix === "" ? [] : [prefix]),
    js: `for await (const entry of client.scan({ prefix: ${js(prefix)} })) console.log(entry.key);`,
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

function js(raw: Raw): string {
  const text = strictText(fromRaw(raw));
  if (text !== undefined) return JSON.stringify(text);
  return `Uint8Array.of(${Array.from(fromRaw(raw), (byte) => `0x${byte.toString(16).padStart(2, "0")}`).join(", ")})`;
}
