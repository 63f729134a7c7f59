// What each verb of the console does: from a command to calls of the client, with the JavaScript that
// does the same. The calls that are shown are made of the very arguments that are sent.

import type { Client, Range } from "tidekeep";

import { fromRaw, percentEncode, toRaw } from "../model/bytes.js";
import { History } from "../model/history.js";
import { callText, literal } from "../model/javascript.js";
import { fieldOf } from "../model/record.js";
import { BadWord, quote, split } from "../model/words.js";
import { parseClauses } from "./clauses.js";
import { Failure } from "./failure.js";
import { parse } from "./grammar.js";
import type { Command } from "./grammar.js";
import { helpLines } from "./help.js";
import { holdPlan } from "./hold.js";
import { leasePlan } from "./lease.js";
import { rawOf, Reading } from "./reading.js";
import { backupPlan, clusterPlan, pingPlan, sessionsPlan, statusPlan } from "./server.js";
import { entryJson, escaped, eventText, lifetime, print, txnLines, valueText } from "./show.js";
import type { Format } from "./show.js";
import { ELSEWHERE, VERBS } from "./verbs.js";

/** Where a command prints, and what else it may ask of the console. */
export interface Output {
  /** Ends what runs. */
  readonly signal: AbortSignal;
  readonly format: Format;
  /** Prints a line; false when one command may print no more. */
  line(text: string): boolean;
  /** Says something that is no result. */
  note(text: string): void;
  confirm(question: string): Promise<boolean>;
  download(blob: Blob, name: string): void;
  /** Goes to another view. */
  go(place: string, rest?: string): void;
  clear(): void;
}

/** A command that can be run. */
export interface Plan {
  /** The same in JavaScript; none where a program has nothing like it. */
  readonly js?: string;
  readonly format: Format;
  run(client: Client, out: Output): Promise<void>;
}

type Run = Plan["run"];
type Planned = { js?: string; run: Run };

/** Reads a line; undefined when there is nothing on it. Throws a `Failure`. */
export function read(line: string): Plan | undefined {
  const words = wordsOf(line);
  if (words[0] === "tidekeep") words.shift();
  if (words.length === 0) return undefined;
  if (words[0] === "--help" || words[0] === "-h") words[0] = "help";
  const elsewhere = ELSEWHERE[words[0]!];
  if (elsewhere) throw new Failure("unsupported", `${words[0]} does not run in a page`, elsewhere);
  const command = parse(words, VERBS);
  const format = (command.options.get("output")?.[0] ?? "text") as Format;
  if (command.options.has("help")) return { format, run: async (_, out) => helpLines(command.verb.name).forEach(out.line) };
  return { format, ...plan(command) };
}

function plan(command: Command): Planned {
  const reading = new Reading(command);
  switch (command.verb.name) {
    case "get":
      return get(reading);
    case "put":
      return put(reading);
    case "delete":
      return reading.has("prefix") ? deletePrefix(reading) : deleteKeys(reading);
    case "list":
      return list(reading);
    case "watch":
      return watch(reading);
    case "history":
      return past(reading);
    case "touch":
      return touch(reading);
    case "incr":
      return incr(reading);
    case "txn":
      return txn(reading);
    case "lease":
      return leasePlan(reading);
    case "lock":
    case "elect":
      return holdPlan(reading);
    case "ping":
      return pingPlan(reading);
    case "status":
      return statusPlan();
    case "sessions":
      return sessionsPlan();
    case "backup":
      return backupPlan();
    case "cluster":
      return clusterPlan(reading);
    case "import":
      return { run: async (_, out) => out.go("transfer") };
    case "export":
      return { run: async (_, out) => out.go("transfer", percentEncode(reading.raw(reading.word(0) ?? ""))) };
    case "clear":
      return { run: async (_, out) => out.clear() };
    default:
      return { run: async (_, out) => helpLines(reading.word(0)).forEach(out.line) };
  }
}

function wordsOf(line: string): string[] {
  try {
    return split(line);
  } catch (error) {
    if (error instanceof BadWord) throw new Failure("invalid-input", error.message);
    throw error;
  }
}

function get(reading: Reading): Planned {
  const keys = reading.command.words.map((word) => reading.key(word));
  const run: Run = async (client, out) => {
    const call = reading.call(out.signal);
    // All are asked for before the first one is printed.
    const replies = await Promise.all(keys.map((key) => client.get(key, call)));
    replies.forEach((entry, at) => {
      if (!entry) throw noKey(reading.command.words[at]!);
      print(out, entryJson(entry), valueText(entry.value));
    });
  };
  return { js: keys.map((key) => `await ${callText("get", [key])}`).join("\n"), run };
}

function put(reading: Reading): Planned {
  const [key, value] = [reading.key(reading.word(0)!), reading.value(reading.word(1)!)];
  const previous = reading.has("prev") ? { previous: true } : {};
  const options = { ...reading.condition(), ...reading.end(), ...previous };
  const run: Run = async (client, out) => {
    const { revision, previous } = await conditional(() => client.put(key, value, { ...options, ...reading.call(out.signal) }), key);
    const text = out.format === "text" && !reading.has("prev") ? `revision ${revision}` : undefined;
    print(out, { applied: true, revision, previous: previous && entryJson(previous) }, previous ? valueText(previous.value) : text);
  };
  return { js: `await ${callText("put", [key, value, options])}`, run };
}

function deleteKeys(reading: Reading): Planned {
  const keys = reading.command.words.map((word) => reading.key(word));
  const options = { ...reading.condition(), ...(reading.has("prev") ? { previous: true } : {}) };
  const run: Run = async (client, out) => {
    let deleted = 0;
    let missing: string | undefined;
    for (const key of keys) {
      const done = await conditional(() => client.delete(key, { ...options, ...reading.call(out.signal) }), key);
      if (!done.deleted) {
        missing = rawOf(key);
        continue;
      }
      deleted += 1;
      const { revision, previous } = done;
      print(out, { deleted: 1, revision, previous: previous && entryJson(previous) }, previous && valueText(previous.value));
    }
    if (out.format === "text" && !reading.has("prev")) out.line(`deleted ${deleted}`);
    if (missing !== undefined) throw noKey(missing);
  };
  return { js: keys.map((key) => `await ${callText("delete", [key, options])}`).join("\n"), run };
}

function deletePrefix(reading: Reading): Planned {
  const raw = reading.raw(reading.command.options.get("prefix")![0]!);
  const range = { prefix: reading.key(reading.command.options.get("prefix")![0]!) };
  if (reading.command.words.length > 0) {
    throw new Failure("invalid-input", "keys and --prefix cannot be used together");
  }
  const dry = reading.has("dry-run");
  const told = (out: Output, count: number) => {
    const text = out.format === "text" ? `${dry ? "would delete" : "deleted"} ${count}` : undefined;
    print(out, { deleted: count, dry_run: dry || undefined }, text);
  };
  const run: Run = async (client, out) => {
    const call = reading.call(out.signal);
    if (dry) return told(out, await client.count(range, call));
    if (!reading.has("yes")) {
      const which = raw === "" ? "ALL keys" : `every key that begins with ${quote(raw)}`;
      const count = await client.count(range, call);
      if (!(await out.confirm(`Delete ${which} (${count})? [y/N]`))) return out.note("nothing was deleted");
    }
    told(out, (await client.deleteRange(range, call)).deleted);
  };
  return { js: `await ${callText(dry ? "count" : "deleteRange", [range])}`, run };
}

function list(reading: Reading): Planned {
  const range = reading.range();
  const keysOnly = reading.has("keys-only");
  if (reading.has("count")) {
    const run: Run = async (client, out) => {
      const count = await client.count(range, reading.call(out.signal));
      print(out, { count }, String(count));
    };
    return { js: `await ${callText("count", [range])}`, run };
  }
  if (reading.has("tree")) return tree(reading);
  const options = {
    limit: reading.number("limit"),
    reverse: reading.has("reverse") || undefined,
    keysOnly: keysOnly || undefined,
  };
  const run: Run = async (client, out) => {
    for await (const entry of client.scan(range, { ...options, pageSize: 500, ...reading.call(out.signal) })) {
      const value = keysOnly ? "" : `\t${escaped(entry.value)}`;
      const end = out.format === "text" && entry.expiresAt ? `\t(${lifetime(entry.expiresAt, client.serverTime())})` : "";
      if (!print(out, entryJson(entry, keysOnly), `${escaped(entry.keyBytes)}${value}${end}`)) return out.note("there is more: use --limit, --count, or Import and export for a file");
    }
  };
  const shown = keysOnly ? "entry.key" : "entry.key, entry.text()";
  return { js: `for await (const entry of ${callText("scan", [range, options])}) console.log(${shown});`, run };
}

function tree(reading: Reading): Planned {
  const prefix = reading.key(reading.word(0) ?? "");
  const delimiter = reading.key(reading.command.options.get("delimiter")?.[0] ?? "/");
  if (delimiter.length === 0) throw new Failure("invalid-input", "the delimiter has at least one byte");
  const args = delimiter === "/" ? [prefix] : [prefix, delimiter];
  const run: Run = async (client, out) => {
    for await (const child of client.children(prefix, delimiter, reading.call(out.signal))) {
      const name = escaped(child.nameBytes);
      if (!print(out, { name, branch: child.branch }, name)) return out.note("there is more: list a longer prefix");
    }
  };
  return { js: `for await (const child of ${callText("children", args)}) console.log(child.name);`, run };
}

function watch(reading: Reading): Planned {
  const key = reading.key(reading.word(0) ?? "");
  if (reading.has("exact") && reading.word(0) === undefined) {
    throw new Failure("invalid-input", "--exact needs the key");
  }
  const range: Range = reading.has("exact") ? { key } : reading.word(0) === undefined ? {} : { prefix: key };
  const on = (name: string) => reading.has(name) || undefined;
  const options = { content: on("content"), previous: on("prev"), latest: on("latest") };
  const run: Run = async (client, out) => {
    let left = reading.number("count") ?? Infinity;
    out.note("watching; Stop or Ctrl-C ends it");
    for await (const event of client.watch(range, { ...options, signal: out.signal })) {
      const text = eventText(event, out.format, client.serverTime());
      // Only the newest lines stay, so a watch may print for as long as it runs.
      if (text !== undefined) out.line(text);
      if (event.type !== "entry" && event.type !== "caught-up" && event.type !== "reset" && --left <= 0) return;
    }
  };
  return { js: `for await (const event of ${callText("watch", [range, options])}) console.log(event);`, run };
}

function past(reading: Reading): Planned {
  const key = reading.key(reading.word(0)!);
  // A cursor of no bytes stands before everything that is remembered.
  const args = [{ key }, { cursor: new Uint8Array(), previous: true }] as const;
  const run: Run = async (client, out) => {
    const history = new History();
    for await (const event of client.watch(args[0], { ...args[1], signal: out.signal })) {
      history.take(event);
      if (history.complete) break;
    }
    const versions = history.versions.slice(0, reading.number("limit"));
    if (versions.length === 0) throw new Failure("not-found", `no change of ${quote(rawOf(key))} is remembered`);
    for (const { revision, kind, entry, oldest } of versions) {
      const type = oldest ? "before" : kind;
      const json = { type, revision, ...(entry ? entryJson(entry) : fieldOf("key", fromRaw(rawOf(key)))) };
      const value = entry ? escaped(entry.value) : "";
      print(out, json, out.format === "raw" ? value : `${revision}\t${type}\t${value}`);
    }
  };
  return { js: `for await (const event of ${callText("watch", args)}) console.log(event);`, run };
}

function touch(reading: Reading): Planned {
  const key = reading.key(reading.word(0)!);
  const options = { ...reading.endOrKept(), ...reading.condition() };
  const run: Run = async (client, out) => {
    const touched = await conditional(() => client.touch(key, { ...options, ...reading.call(out.signal) }), key);
    if (!touched) throw noKey(rawOf(key));
    const { revision, expiresAt } = touched;
    print(out, { applied: true, revision, expires_at: expiresAt ?? null }, out.format === "text" ? `revision ${revision}` : undefined);
  };
  return { js: `await ${callText("touch", [key, options])}`, run };
}

function incr(reading: Reading): Planned {
  const key = reading.key(reading.word(0)!);
  const [by, options] = [reading.number("by") ?? 1, reading.endOrKept()];
  const run: Run = async (client, out) => {
    const { value, revision } = await client.increment(key, by, { ...options, ...reading.call(out.signal) });
    print(out, { value, revision }, String(value));
  };
  return { js: `await ${callText("increment", [key, by, options])}`, run };
}

function txn(reading: Reading): Planned {
  const script = parseClauses(reading.command.words.map((word) => reading.raw(word)));
  const run: Run = async (client, out) => {
    const txn = client.txn();
    for (const [key, condition] of script.compares) txn.when(key, condition);
    txn.then(...script.then.map(({ op }) => op)).else(...script.otherwise.map(({ op }) => op));
    const done = await txn.commit(reading.call(out.signal));
    txnLines(script, done, out.format).forEach(out.line);
  };
  const part = (name: string, args: readonly unknown[]) => `\n  .${name}(${args.map(literal).join(", ")})`;
  const parts = [
    ...script.compares.map((args) => part("when", args)),
    ...(script.then.length > 0 ? [part("then", script.then.map(({ op }) => op))] : []),
    ...(script.otherwise.length > 0 ? [part("else", script.otherwise.map(({ op }) => op))] : []),
  ];
  return { js: `await client.txn()${parts.join("")}\n  .commit()`, run };
}

/** A write of which a condition may not hold: then it says what stood in its way. */
async function conditional<T>(write: () => Promise<T>, key: string | Uint8Array): Promise<T> {
  try {
    return await write();
  } catch (error) {
    const { code, current } = error as { code?: string; current?: { revision: number } };
    if (code !== "conflict") throw error;
    const name = quote(rawOf(key));
    if (!current) {
      const hint = "leave the condition out, or create the key with --if-absent";
      throw new Failure(code, `there is no key ${name} to change`, hint);
    }
    const hint = "read the key again with `get -o json` and decide on what it is now";
    throw new Failure(code, `the condition does not hold: ${name} is at revision ${current.revision}`, hint);
  }
}

function noKey(raw: string): Failure {
  return new Failure("not-found", `there is no key ${quote(raw)}`);
}

/** Keys below what is typed, for completion. */
export function keysBelow(client: Client, most: number) {
  return async (typed: string): Promise<{ raw: string; branch: boolean }[]> => {
    const folder = typed.slice(0, typed.lastIndexOf("/") + 1);
    const rest = typed.slice(folder.length);
    // A name that fits may stand behind many that do not: only those from it on are asked for.
    const after = rest === "" ? undefined : before(rest);
    const page = await client.children(fromRaw(folder), "/", { pageSize: most }).page(after ? fromRaw(after) : undefined);
    const names = page.items.map(({ keyBytes, branch }) => ({ raw: toRaw(keyBytes), branch }));
    return names.filter(({ raw }) => raw.startsWith(typed));
  };
}

/** A name right before all that begin with this one, in byte order. */
function before(name: string): string {
  const last = name.charCodeAt(name.length - 1);
  const head = name.slice(0, -1);
  return last === 0 ? head : `${head}${String.fromCharCode(last - 1)}${"\xff".repeat(8)}`;
}
