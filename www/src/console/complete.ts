// How the word at the caret may go on: a verb, an option of the verb, one of the option's values, or a key
// of the server. Knows the keys only by a function that lists what is below a prefix.

import { quote, typing } from "../model/words.js";
import type { Raw } from "../model/bytes.js";
import type { OptionSpec, VerbSpec } from "./grammar.js";
import { GLOBAL, VERBS } from "./verbs.js";

/** What may stand in place of the word at the caret. */
export interface Candidate {
  readonly shown: string;
  /** What is put there, a space behind it if the word is complete. */
  readonly text: string;
}

export interface Completion {
  /** Where the word begins in the line. */
  readonly start: number;
  readonly candidates: readonly Candidate[];
}

/** Keys that begin with something, and folders of keys. */
export type ListKeys = (prefix: Raw) => Promise<readonly { raw: Raw; branch: boolean }[]>;

/** Completes the end of a line. */
export async function complete(line: string, keys: ListKeys): Promise<Completion> {
  const { before, start, typed } = typing(line);
  const [name, ...rest] = before;
  if (name === undefined) return { start, candidates: beginning(VERBS.map(({ name }) => name), typed) };
  const verb = VERBS.find((verb) => verb.name === name);
  if (!verb) return { start, candidates: [] };
  const options = [...verb.options, ...GLOBAL];
  const values = optionAt(options, rest);
  if (values?.choices) return { start, candidates: beginning(values.choices, typed) };
  if (values?.name === "lease") return { start, candidates: [] };
  if (!values && typed.startsWith("-")) {
    return { start, candidates: beginning(options.map(({ name }) => `--${name}`).sort(), typed) };
  }
  if (!values && rest.length === 0 && /^[a-z]/.test(verb.words[0] ?? "")) {
    return { start, candidates: beginning(verb.words[0]!.split("|"), typed) };
  }
  if (verb.name === "help" && rest.length === 0) {
    return { start, candidates: beginning(VERBS.map(({ name }) => name), typed) };
  }
  if (!(values ? values.name === "prefix" : takesKey(verb, rest, options))) return { start, candidates: [] };
  const found = await keys(typed);
  return { start, candidates: found.map(({ raw, branch }) => keyCandidate(raw, branch)) };
}

/** What all candidates begin with: typed in one stroke. */
export function common(candidates: readonly Candidate[]): string {
  const [first, ...rest] = candidates.map(({ text }) => text);
  let shared = first ?? "";
  for (const text of rest) while (!text.startsWith(shared)) shared = shared.slice(0, -1);
  return shared;
}

/** The option whose value the next word is, if it is one. */
function optionAt(options: readonly OptionSpec[], before: readonly Raw[]): OptionSpec | undefined {
  const last = before.at(-1) ?? "";
  return options.find(({ name, short, values }) => values.length > 0 && (last === `--${name}` || last === `-${short}`));
}

function takesKey(verb: VerbSpec, before: readonly Raw[], options: readonly OptionSpec[]): boolean {
  const [first = ""] = verb.words;
  const positional = before.filter((word, at) => !word.startsWith("-") && !optionAt(options, before.slice(0, at)));
  return /KEY|PREFIX|NAME/.test(first) && (first.endsWith("…") || positional.length === 0);
}

function beginning(names: readonly string[], typed: Raw): Candidate[] {
  const fits = names.filter((name) => name.startsWith(typed));
  return fits.map((name) => ({ shown: name, text: `${name} ` }));
}

function keyCandidate(raw: Raw, branch: boolean): Candidate {
  const shown = quote(raw);
  // A folder's quote stays open, so that the next Tab goes on inside it.
  const open = branch && shown.startsWith('"') ? shown.slice(0, -1) : shown;
  return { shown, text: branch ? open : `${shown} ` };
}
