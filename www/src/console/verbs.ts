// The console's verbs: the same words and options as `tidekeep`'s. Help, completion and reading all come
// from here; what each does is in run.ts.

import type { OptionSpec, VerbSpec } from "./grammar.js";

/** An option from how it is typed, as `-n, --limit N`; at most one of a `set` may be given. */
function option(typed: string, about: string, set?: string): OptionSpec {
  const [, short, name = "", values = ""] = /^(?:-(.), )?--(\S+) ?(.*)/.exec(typed) ?? [];
  return { typed, short, name, values: values.split(" ").filter(Boolean), about, set };
}

function verb(typed: string, about: string, examples: string[] = [], options: OptionSpec[] = []): VerbSpec {
  const [name = "", ...words] = typed.split(" ");
  return { name, words, about, examples, options };
}

/** Options that every verb takes. */
export const GLOBAL: readonly OptionSpec[] = [
  { ...option("-o, --output FORMAT", "text for people, json for programs, raw for the bytes alone"), choices: ["text", "json", "raw"] },
  option("--timeout DURATION", "how long a request may take; 10s unless said"),
  option("-e, --escaped", "keys and values have escapes beyond those of the line"),
  option("-h, --help", "what the verb takes"),
];
const CONDITIONS = [
  option("--if-absent", "only if the key does not exist", "condition"),
  option("--if-present", "only if the key exists", "condition"),
  option("--if-revision N", "only if the key was last written at this revision", "condition"),
  option("--if-value VALUE", "only if the key's value is exactly this", "condition"),
];
const ENDS = [
  option("--ttl DURATION", "it ends this long after: 500ms, 30s, 5m, 1h30m, 2d", "end"),
  option("--expires-at TIME", "it ends at 2030-01-31T12:00:00Z, or milliseconds since 1970", "end"),
  option("--lease LEASE", "it goes with this lease", "end"),
];
const PREV = option("--prev", "show the value it had before");
const LIMIT = option("-n, --limit N", "stop after this many");
const HOLDS = [
  option("--ttl DURATION", "how long it outlives this page; 10s unless said"),
  option("--release", "let it go"),
];

export const VERBS: readonly VerbSpec[] = [
  verb("get KEY…", "Print the value of a key and nothing else", ["get name", "get name -o json"]),
  verb(
    "put KEY VALUE",
    "Set the value of a key",
    ['put name "John Doe"', "put session/7 open --ttl 30m", "put lock me --if-absent --ttl 10s"],
    [...CONDITIONS, ...ENDS, option("--keep-ttl", "the key keeps the end it had", "end"), PREV],
  ),
  verb(
    "delete KEY…",
    "Remove keys, or every key that begins with a prefix",
    ["delete name", "delete --prefix app/ --dry-run"],
    [
      ...CONDITIONS,
      PREV,
      option("--prefix PREFIX", 'remove every key that begins with this; "" for all keys', "condition"),
      option("--dry-run", "only say how many keys --prefix would remove"),
      option("-y, --yes", "do not ask before removing by --prefix"),
    ],
  ),
  verb(
    "list [PREFIX]",
    "List keys and values in key order",
    ["list app/", "list app/ --tree", "list log/ --reverse --limit 1"],
    [
      option("--range START END", 'from START up to, but without, END; "" as END goes to the last key'),
      LIMIT,
      option("-r, --reverse", "last key first"),
      option("-k, --keys-only", "only the keys"),
      option("--count", "only how many there are", "what"),
      option("-t, --tree", "the names directly below the prefix, as a folder", "what"),
      option("--delimiter TEXT", "what parts names, for --tree; / unless said"),
    ],
  ),
  verb(
    "watch [PREFIX]",
    "Print every change of a prefix, a key or everything",
    ["watch app/ --content", "watch name --exact -n 1"],
    [
      option("-x, --exact", "only the key PREFIX itself"),
      option("-c, --content", "first print what is there"),
      option("--prev", "print the value before each change too"),
      option("--latest", "when behind, only the last change of each key"),
      option("-n, --count N", "end after this many changes"),
    ],
  ),
  verb("history KEY", "Print what a key was before, newest first", ["history name"], [LIMIT]),
  verb(
    "touch KEY",
    "Change when a key ends, not its value",
    ["touch session/7 --ttl 30m", "touch session/7 --persist"],
    [...ENDS, option("--persist", "the key does not end by itself any more", "end"), ...CONDITIONS],
  ),
  verb("incr KEY", "Add to a number", ["incr visits", "incr stock --by -3"], [option("-b, --by N", "what to add; 1 unless said"), ...ENDS]),
  verb("txn CLAUSE…", "Run several operations at once or not at all", [
    "txn 'if lock absent' 'then put lock me --ttl 10s' 'else get lock'",
    "txn 'incr from --by -5' 'incr to --by 5'",
  ]),
  verb("lease grant|revoke|list [DURATION|LEASE]", "Grant, revoke and list leases", ["lease grant 30s", "put nodes/a up --lease 54", "lease revoke 54", "lease list"]),
  verb("lock NAME", "Hold a lock until the page is closed", ["lock deploy", "lock deploy --release"], [option("--value TEXT", "what others see"), ...HOLDS]),
  verb("elect NAME [VALUE]", "Lead until the page is closed", ["elect leader me"], HOLDS),
  verb("ping", "Measure the round trip to the server", ["ping -c 20"], [option("-c, --count N", "how many round trips; 5 unless said")]),
  verb("status", "Show the server's figures", ["status"]),
  verb("sessions", "Show who is connected"),
  verb("cluster status", "Look at a cluster", ["cluster status"]),
  verb("import", "Load keys and values from JSON lines", ["import"]),
  verb("export [PREFIX]", "Write keys and values as JSON lines", ["export app/"]),
  verb("backup", "Download the whole store"),
  verb("clear", "Take what was printed away"),
  verb("help [VERB]", "List the verbs, or what one takes", ["help put"]),
];

/** Verbs that need a terminal, and why. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  test: "it tries every promise of a server: tidekeep test",
  bench: "it measures a server: tidekeep bench",
  shell: "this is one already",
  completions: "it makes a script for a shell: tidekeep completions",
};
