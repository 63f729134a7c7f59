// The language of `txn`: a clause a word, with the verbs and options of the console itself.
//
//   clause = "if" KEY test | "then" step | "else" step | step      (a bare step is a then)
//   test   = "absent" | "present" | "revision" N | "value" VALUE
//   step   = get KEY | put KEY VALUE … | delete KEY … | delete --prefix P | touch KEY … | incr KEY …

import type { Bytes, ConditionOptions, TxnOp } from "tidekeep";

import { escapeKey, fromRaw, given, strictText } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { BadWord, split } from "../model/words.js";
import { Failure } from "./failure.js";
import { parse, usage } from "./grammar.js";
import type { Command } from "./grammar.js";
import { Reading, rawOf, whole } from "./reading.js";
import { VERBS } from "./verbs.js";

/** A transaction that remembers what its steps were called. */
export interface Script {
  readonly compares: [key: Bytes, condition: ConditionOptions][];
  readonly then: Step[];
  readonly otherwise: Step[];
}

export interface Step {
  readonly name: string;
  readonly op: TxnOp;
}

const STEPS = VERBS.filter(({ name }) => ["get", "put", "delete", "touch", "incr"].includes(name));
const STEP = `a step is: ${STEPS.map(usage).join(" | ")}`;
const IF = "an if is: if KEY absent | present | revision N | value V";

/** Reads clauses; a failure names the one that is wrong. */
export function parseClauses(clauses: readonly Raw[]): Script {
  const script: Script = { compares: [], then: [], otherwise: [] };
  clauses.forEach((clause, at) => {
    try {
      read(clause, script);
    } catch (error) {
      const { code, message, hint } = asFailure(error);
      throw new Failure(code, `clause ${at + 1}: ${message}`, hint);
    }
  });
  if (script.compares.length === 0 && script.otherwise.length > 0) {
    throw new Failure("invalid-input", "an else without an if never runs", "add a clause such as: 'if KEY absent'");
  }
  return script;
}

function read(clause: Raw, script: Script): void {
  const text = strictText(fromRaw(clause));
  if (text === undefined) throw new Failure("invalid-input", "it is no text; write such bytes as \\xNN");
  const words = split(text);
  const [first, ...rest] = words;
  if (first === undefined) return;
  if (first === "if") script.compares.push(compare(rest));
  else if (first === "then") script.then.push(step(rest));
  else if (first === "else") script.otherwise.push(step(rest));
  else script.then.push(step(words));
}

function compare([key, test, value, ...more]: readonly Raw[]): [Bytes, ConditionOptions] {
  const bare = value === undefined;
  if (key !== undefined && more.length === 0) {
    if (test === "absent" && bare) return [given(key), { ifAbsent: true }];
    if (test === "present" && bare) return [given(key), { ifPresent: true }];
    if (test === "revision" && !bare) return [given(key), { ifRevision: whole(value, "a revision") }];
    if ((test === "value" || test === "=") && !bare) return [given(key), { ifValue: given(value) }];
  }
  throw new Failure("invalid-input", IF, 'quote what has spaces: \'if "my key" value "my value"\'');
}

function step(words: readonly Raw[]): Step {
  if (!STEPS.some(({ name }) => name === words[0])) {
    throw new Failure("invalid-input", `"${escapeKey(words[0] ?? "")}" is no step`, STEP);
  }
  const command = parse(words, STEPS);
  if (command.words.length > 1 && command.verb.name !== "put") {
    throw new Failure("invalid-input", `a step of ${command.verb.name} takes one key`, STEP);
  }
  return { name: nameOf(command), op: opOf(command) };
}

function opOf(command: Command): TxnOp {
  const reading = new Reading(command);
  const [first = ""] = command.words;
  const key = reading.key(first);
  const previous = reading.has("prev") ? { previous: true } : {};
  switch (command.verb.name) {
    case "put":
      return { op: "put", key, value: reading.value(command.words[1]!), ...reading.condition(), ...reading.end(), ...previous };
    case "delete": {
      const [prefix] = command.options.get("prefix") ?? [];
      if (prefix !== undefined) return { op: "deleteRange", range: { prefix: reading.key(prefix) } };
      return { op: "delete", key, ...reading.condition(), ...previous };
    }
    case "touch":
      return { op: "touch", key, ...reading.endOrKept(), ...reading.condition() };
    case "incr":
      return { op: "increment", key, by: reading.number("by") ?? 1, ...reading.endOrKept() };
    default:
      return { op: "get", key };
  }
}

function nameOf({ verb, words, options }: Command): string {
  const [prefix] = options.get("prefix") ?? [];
  return prefix === undefined
    ? `${verb.name} ${escapeKey(words[0] ?? "")}`
    : `delete --prefix ${escapeKey(rawOf(given(prefix)))}`;
}

function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof BadWord) return new Failure("invalid-input", error.message);
  throw error;
}
