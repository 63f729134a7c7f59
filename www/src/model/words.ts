// A line cut into words, by the rules of `tidekeep shell`: bare and "double quoted" words read the
// escapes that keys are shown with, 'single quoted' ones are taken as they stand, # begins a comment.
// Words are bytes (see bytes.ts), since keys are. Pure.

import { charOf, escapeKey, rawOfText } from "./bytes.js";
import type { Raw } from "./bytes.js";

/** A line up to the caret, as completion sees it. */
export interface Typing {
  /** The words before the one at the caret. */
  readonly before: Raw[];
  /** Where that one begins, in chars of the text. */
  readonly start: number;
  /** What is there of it, quotes and escapes resolved. */
  readonly typed: Raw;
}

/** Why a line has no words. */
export class BadWord extends Error {}

const SPACE = /\s/;
const LETTERS: Record<string, string> = { n: "\n", t: "\t", r: "\r", "0": "\0" };

/** Cuts a line into its words; throws a `BadWord` that says where it is wrong. */
export function split(line: string): Raw[] {
  const splitter = new Splitter(line);
  const words: Raw[] = [];
  for (;;) {
    const start = splitter.skipSpace();
    if (start === undefined) return words;
    const { word, open } = splitter.word();
    if (open) throw new BadWord(`column ${start + 1}: the quote is not closed`);
    words.push(word);
  }
}

/** Reads a line as something still being typed; nothing in it is an error. */
export function typing(line: string): Typing {
  const splitter = new Splitter(line);
  const before: Raw[] = [];
  try {
    for (;;) {
      const start = splitter.skipSpace();
      if (start === undefined) break;
      const { word, open } = splitter.word();
      if (open || splitter.at >= line.length) return { before, start, typed: word };
      before.push(word);
    }
  } catch {
    // An escape that is not finished: nothing completes it.
  }
  return { before, start: line.length, typed: "" };
}

/** A word as it can be typed: bare where that is enough, else in double quotes. */
export function quote(word: Raw): string {
  const text = escapeKey(word);
  return text === "" || /[\s"'#]/.test(text) ? `"${text.replaceAll('"', '\\"')}"` : text;
}

/** What an escape stands for: `\n \t \r \0 \xNN`, and any sign that is neither letter nor digit. */
function escaped(text: string, column: number): { char: Raw; used: number } {
  const wrong = (why: string) => new BadWord(`column ${column}: ${why}`);
  const first = text[0];
  if (first === undefined) throw wrong("a single \\ at the end; write \\\\ for a backslash");
  if (first === "x") {
    const digits = /^x([0-9a-f]{2})/i.exec(text)?.[1];
    if (!digits) throw wrong("\\x is followed by two hexadecimal digits, as in \\x0a");
    return { char: charOf(digits), used: 3 };
  }
  const letter = LETTERS[first];
  if (letter !== undefined) return { char: letter, used: 1 };
  if (/[a-z0-9]/i.test(first)) {
    throw wrong(`\\${first} means nothing; known are \\n \\t \\r \\0 \\xNN \\\\`);
  }
  const whole = String.fromCodePoint(text.codePointAt(0)!);
  return { char: rawOfText(whole), used: whole.length };
}

/** Resolves the escapes of a word that was given with `--escaped`. */
export function unescape(raw: Raw): Raw {
  let bytes = "";
  for (let at = 0; at < raw.length; at++) {
    if (raw[at] !== "\\") {
      bytes += raw[at];
      continue;
    }
    // Bytes above ASCII stand for themselves; they are no text here.
    const next = raw[at + 1];
    if (next !== undefined && next > "\x7f") continue;
    const { char, used } = escaped(raw.slice(at + 1), at + 1);
    bytes += char;
    at += used;
  }
  return bytes;
}

class Splitter {
  at = 0;

  constructor(readonly line: string) {}

  /** Moves to the next word; undefined at the end of the line or at a comment. */
  skipSpace(): number | undefined {
    while (this.at < this.line.length && SPACE.test(this.line[this.at]!)) this.at++;
    return this.at < this.line.length && this.line[this.at] !== "#" ? this.at : undefined;
  }

  word(): { word: Raw; open: boolean } {
    let word = "";
    let quoted: string | undefined;
    while (this.at < this.line.length) {
      const char = String.fromCodePoint(this.line.codePointAt(this.at)!);
      if (quoted === undefined && SPACE.test(char)) break;
      if (quoted === undefined && (char === '"' || char === "'")) quoted = char;
      else if (char === quoted) quoted = undefined;
      else if (char === "\\" && quoted !== "'") {
        const { char: byte, used } = escaped(this.line.slice(this.at + 1), this.at + 1);
        word += byte;
        this.at += used;
      } else word += rawOfText(char);
      this.at += char.length;
    }
    return { word, open: quoted !== undefined };
  }
}
