// The console's help, made of the table of verbs. Pure.

import { escapeKey } from "../model/bytes.js";
import { Failure } from "./failure.js";
import { usage } from "./grammar.js";
import { ELSEWHERE, GLOBAL, VERBS } from "./verbs.js";

/** What a verb takes, or the list of verbs. */
export function helpLines(name: string | undefined): string[] {
  if (name === undefined) return overview();
  const verb = VERBS.find((verb) => verb.name === name);
  if (!verb) {
    const why = ELSEWHERE[name];
    throw new Failure("not-found", `there is no verb "${escapeKey(name)}" here`, why ?? "`help` lists the verbs");
  }
  const options = [...verb.options, ...GLOBAL].map((option) => [option.typed, option.about] as const);
  const examples = verb.examples.length > 0 ? ["", "Examples:", ...verb.examples.map((line) => `  ${line}`)] : [];
  return [verb.about, "", usage(verb), "", ...columns(options), ...examples];
}

function overview(): string[] {
  return [
    "The verbs and options of `tidekeep`, on this page's server:",
    "",
    ...columns(VERBS.map(({ name, about }) => [name, about])),
    "",
    "`help VERB` shows what one takes. Tab completes verbs, options and keys; Escape, then Tab leaves the line.",
    "The arrows up and down go through what was typed before. Ctrl-C ends what runs.",
    '"Double quotes" read \\n \\t \\xNN, \'single quotes\' take everything as it stands, # begins a comment.',
    `In a terminal alone: ${Object.keys(ELSEWHERE).join(", ")}.`,
  ];
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
