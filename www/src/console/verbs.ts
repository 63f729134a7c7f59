// The console's verbs: the same words and options as `tidekeep`'s. Help, completion and reading all come
// from here; what each does is in run.ts.

import type { OptionSpec, VerbSpec } from "./grammar.js";

const flag = (name: string, about: string, more: Partial<OptionSpec> = {}): OptionSpec => ({ name, about, ...more });
const valued = (name: string, value: string, about: string, more: Partial<OptionSpec> = {}): OptionSpec => ({
  name,
  about,
  values: [value],
  ...more,
});

const CONDITIONS: OptionSpec[] = [
  flag("if-absent", "only if the key does not exist", { set: "condition" }),
  flag("if-present", "only if the key exists", { set: "condition" }),
  valued("if-revision", "N", "only if the key was last written at this revision", { set: "condition" }),
  valued("if-value", "VALUE", "only if the key's value is exactly this", { set: "condition" }),
];
const ENDS: OptionSpec[] = [
  valued("ttl", "DURATION", "it ends this long after: 500ms, 10s, 5m, 2h, 1d", { set: "end" }),
  valued("expires-at", "TIME", "it ends at 2030-01-31T12:00:00Z, or milliseconds since 1970", { set: "end" }),
  valued("lease", "LEASE", "it goes with this lease", { set: "end" }),
];
const PREV = flag("prev", "show the value it had before");
const RANGE: OptionSpec = {
  name: "range",
  values: ["START", "END"],
  about: 'from START up to, but without, END; "" as END goes to the last key',
};

const LIMIT = valued("limit", "N", "stop after this many", { short: "n" });
const HOLDS: OptionSpec[] = [
  valued("ttl", "DURATION", "how long it outlives this page; 10s unless said"),
  flag("release", "let it go"),
];

export const VERBS: readonly VerbSpec[] = [
  {
    name: "get",
    about: "Print the value of a key and nothing else",
    words: ["KEY…"],
    keys: "all",
    options: [],
    examples: ["get name", "get name -o json"],
  },
  {
    name: "put",
    about: "Set the value of a key",
    words: ["KEY", "VALUE"],
    keys: "first",
    options: [...CONDITIONS, ...ENDS, flag("keep-ttl", "the key keeps the end it had", { set: "end" }), PREV],
    examples: ['put name "John Doe"', "put session/7 open --ttl 30m", "put lock me --if-absent --ttl 10s"],
  },
  {
    name: "delete",
    about: "Remove keys, or every key that begins with a prefix",
    words: ["KEY…"],
    keys: "all",
    options: [
      ...CONDITIONS,
      PREV,
      valued("prefix", "PREFIX", 'remove every key that begins with this; "" for all keys', { set: "condition" }),
      flag("dry-run", "only say how many keys --prefix would remove"),
      flag("yes", "do not ask before removing by --prefix", { short: "y" }),
    ],
    examples: ["delete name", "delete --prefix app/ --dry-run"],
  },
  {
    name: "list",
    about: "List keys and values in key order",
    words: ["[PREFIX]"],
    keys: "first",
    options: [
      RANGE,
      LIMIT,
      flag("reverse", "last key first", { short: "r" }),
      flag("keys-only", "only the keys", { short: "k" }),
      flag("count", "only how many there are", { set: "what" }),
      flag("tree", "the names directly below the prefix, as a folder", { short: "t", set: "what" }),
      valued("delimiter", "TEXT", "what parts names, for --tree; / unless said"),
    ],
    examples: ["list app/", "list app/ --tree", "list log/ --reverse --limit 1"],
  },
  {
    name: "watch",
    about: "Print every change of a prefix, a key or everything",
    words: ["[PREFIX]"],
    keys: "first",
    options: [
      flag("exact", "only the key PREFIX itself", { short: "x" }),
      flag("content", "first print what is there", { short: "c" }),
      flag("prev", "print the value before each change too"),
      flag("latest", "when behind, only the last change of each key"),
      valued("count", "N", "end after this many changes", { short: "n" }),
    ],
    examples: ["watch app/ --content", "watch name --exact -n 1"],
  },
  {
    name: "history",
    about: "Print what a key was before, newest first",
    words: ["KEY"],
    keys: "first",
    options: [LIMIT],
    examples: ["history name"],
  },
  {
    name: "touch",
    about: "Change when a key ends, not its value",
    words: ["KEY"],
    keys: "first",
    options: [...ENDS, flag("persist", "the key does not end by itself any more", { set: "end" }), ...CONDITIONS],
    examples: ["touch session/7 --ttl 30m", "touch session/7 --persist"],
  },
  {
    name: "incr",
    about: "Add to a number",
    words: ["KEY"],
    keys: "first",
    options: [valued("by", "N", "what to add; 1 unless said", { short: "b" }), ...ENDS],
    examples: ["incr visits", "incr stock --by -3"],
  },
  {
    name: "txn",
    about: "Run several operations at once or not at all",
    words: ["CLAUSE…"],
    options: [],
    examples: [
      "txn 'if lock absent' 'then put lock me --ttl 10s' 'else get lock'",
      "txn 'incr from --by -5' 'incr to --by 5'",
    ],
  },
  {
    name: "lease",
    about: "Grant, revoke and list leases",
    words: ["grant|revoke|list", "[DURATION|LEASE]"],
    choices: ["grant", "revoke", "list"],
    options: [],
    examples: ["lease grant 30s", "put nodes/a up --lease 54", "lease revoke 54", "lease list"],
  },
  {
    name: "lock",
    about: "Hold a lock until the page is closed",
    words: ["NAME"],
    keys: "first",
    options: [valued("value", "TEXT", "what others see"), ...HOLDS],
    examples: ["lock deploy", "lock deploy --release"],
  },
  {
    name: "elect",
    about: "Lead until the page is closed",
    words: ["NAME", "[VALUE]"],
    keys: "first",
    options: HOLDS,
    examples: ["elect leader me"],
  },
  {
    name: "ping",
    about: "Measure the round trip to the server",
    words: [],
    options: [valued("count", "N", "how many round trips; 5 unless said", { short: "c" })],
    examples: ["ping -c 20"],
  },
  { name: "status", about: "Show the server's figures", words: [], options: [], examples: ["status"] },
  { name: "sessions", about: "Show who is connected", words: [], options: [], examples: [] },
  {
    name: "cluster",
    about: "Look at a cluster",
    words: ["status"],
    choices: ["status"],
    options: [],
    examples: ["cluster status"],
  },
  { name: "import", about: "Load keys and values from JSON lines", words: [], options: [], examples: ["import"] },
  {
    name: "export",
    about: "Write keys and values as JSON lines",
    words: ["[PREFIX]"],
    keys: "first",
    options: [],
    examples: ["export app/"],
  },
  { name: "backup", about: "Download the whole store", words: [], options: [], examples: [] },
  { name: "clear", about: "Take what was printed away", words: [], options: [], examples: [] },
  { name: "help", about: "List the verbs, or what one takes", words: ["[VERB]"], options: [], examples: ["help put"] },
];

/** Verbs that need a terminal, and why. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  test: "it tries every promise of a server: tidekeep test",
  bench: "it measures a server: tidekeep bench",
  shell: "this is one already",
  completions: "it makes a script for a shell: tidekeep completions",
};
