// The console's grammar: a verb with its words and options as `tidekeep` itself takes them. One table
// (verbs.ts) feeds reading, help and completion. Pure.

import { escapeKey } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { Failure } from "./failure.js";
import { GLOBAL } from "./verbs.js";

/** An option of a verb. */
export interface OptionSpec {
  /** As help and errors write it, `-n, --limit N`. */
  readonly typed: string;
  readonly name: string;
  readonly short: string | undefined;
  /** What its values are called; none for a flag. */
  readonly values: readonly string[];
  /** The only values that it takes, for completion. */
  readonly choices?: readonly string[];
  readonly about: string;
  /** At most one option of a set may be given. */
  readonly set: string | undefined;
}

/** A verb. */
export interface VerbSpec {
  readonly name: string;
  readonly about: string;
  /**
   * The words behind it: `KEY`, `[PREFIX]` where it may be left out, `KEY…` for one or more; what is typed as
   * it stands is in small letters, `grant|revoke`.
   */
  readonly words: readonly string[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly string[];
}

/** What was typed, sorted. */
export interface Command {
  readonly verb: VerbSpec;
  readonly words: readonly Raw[];
  readonly options: ReadonlyMap<string, readonly Raw[]>;
}

/** Options that mean nothing here, and why. */
const ELSEWHERE: readonly (readonly [names: string[], why: string])[] = [
  [["server", "s"], "the page speaks to the server that it came from; another one needs a terminal"],
  [["reads"], "the page always reads the newest; older reads need a terminal"],
  [["verbose", "v"], "the connection's state stands at the top of the page"],
  [["null", "0"], "it ends lines for pipes, and there are none here"],
];

/** Sorts the words of a line; throws a `Failure` that says what to type instead. */
export function parse(words: readonly Raw[], verbs: readonly VerbSpec[]): Command {
  const [name = "", ...rest] = words;
  const verb = verbs.find((verb) => verb.name === name);
  if (!verb) throw unknownVerb(name, verbs);
  const positional: Raw[] = [];
  const options = new Map<string, Raw[]>();
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at]!;
    if (word === "--") {
      positional.push(...rest.slice(at + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-" || /^-\d/.test(word) && !takesDigit(verb, word)) {
      positional.push(word);
      continue;
    }
    at = takeOption(verb, rest, at, options);
  }
  const command = { verb, words: positional, options };
  if (!options.has("help")) check(command);
  return command;
}

/** How a verb is typed. */
export function usage({ name, words, options }: VerbSpec): string {
  return [name, ...words, options.length > 0 ? "[OPTIONS]" : ""].filter(Boolean).join(" ");
}

/** Takes the option at `at` with its values; gives the place of the last word that it took. */
function takeOption(verb: VerbSpec, words: Raw[], at: number, into: Map<string, Raw[]>): number {
  const word = words[at]!;
  const long = word.startsWith("--");
  const equals = long ? word.indexOf("=") : -1;
  const name = long ? word.slice(2, equals < 0 ? undefined : equals) : word[1]!;
  const option = optionOf(verb, name, long);
  if (!option) throw unknownOption(verb, word, name);
  const wanted = option.values.length;
  // What follows a short option in the same word is its value, or more flags: `-n5`, `-rk`.
  const joined = equals >= 0 ? word.slice(equals + 1) : long ? "" : word.slice(2);
  if (wanted === 0) {
    into.set(option.name, []);
    if (equals >= 0) throw new Failure("invalid-input", `--${option.name} takes no value`);
    if (joined) words.splice(at + 1, 0, `-${joined}`);
    return at;
  }
  const values = equals >= 0 || joined ? [joined.replace(/^=/, "")] : [];
  values.push(...words.slice(at + 1, at + 1 + wanted - values.length));
  if (values.length < wanted) {
    throw new Failure("invalid-input", `${option.typed} needs ${wanted === 1 ? "a value" : `${wanted} values`}`);
  }
  if (option.choices && !option.choices.includes(values[0]!)) {
    throw new Failure("invalid-input", `--${option.name} is one of ${option.choices.join(", ")}`);
  }
  into.set(option.name, values);
  return at + wanted - (equals >= 0 || joined ? 1 : 0);
}

function optionOf(verb: VerbSpec, name: string, long: boolean): OptionSpec | undefined {
  return [...verb.options, ...GLOBAL].find((option) => (long ? option.name : option.short) === name);
}

function takesDigit(verb: VerbSpec, word: Raw): boolean {
  return optionOf(verb, word[1]!, false) !== undefined;
}

function check({ verb, words, options }: Command): void {
  const least = verb.words.filter((word) => !word.startsWith("[")).length;
  const many = verb.words.some((word) => word.endsWith("…") || word.endsWith("…]"));
  const hint = `it is typed so: ${usage(verb)}`;
  if (words.length < least && !(verb.name === "delete" && options.has("prefix"))) {
    throw new Failure("invalid-input", `${verb.words[words.length]!.replace("…", "")} is missing`, hint);
  }
  if (!many && words.length > verb.words.length) {
    const extra = escapeKey(words[verb.words.length]!);
    throw new Failure("invalid-input", `"${extra}" is one word too many`, `${hint}; quote what has spaces`);
  }
  const taken = new Map<string, string>();
  for (const { name, set } of verb.options) {
    if (set === undefined || !options.has(name)) continue;
    const other = taken.get(set);
    if (other) throw new Failure("invalid-input", `--${other} and --${name} cannot be used together`);
    taken.set(set, name);
  }
}

function unknownVerb(name: Raw, verbs: readonly VerbSpec[]): Failure {
  const near = nearest(name, verbs.map(({ name }) => name));
  const hint = near ? `did you mean ${near}?` : "`help` lists the verbs";
  return new Failure("invalid-input", `there is no verb "${escapeKey(name)}"`, hint);
}

function unknownOption(verb: VerbSpec, word: Raw, name: string): Failure {
  const [, why] = ELSEWHERE.find(([names]) => names.includes(name)) ?? [];
  if (why) return new Failure("unsupported", `${escapeKey(word)} does nothing here`, why);
  const near = nearest(name, [...verb.options, ...GLOBAL].map(({ name }) => name));
  const hint = near && name.length > 1 ? `did you mean --${near}?` : `\`help ${verb.name}\` lists its options; -- ends them`;
  return new Failure("invalid-input", `${verb.name} has no option ${escapeKey(word)}`, hint);
}

/** The name that differs least, if it differs little. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const ranked = names.map((other) => ({ other, far: distance(name, other) })).sort((a, b) => a.far - b.far);
  const [best] = ranked;
  return best && best.far <= Math.max(1, Math.floor(name.length / 3)) ? best.other : undefined;
}

/** How many signs must be set, taken away or changed to make one of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row.at(-1)!;
}
