// The console without its elements: words, options, transactions, completion, and every verb against a
// real server, with the lines that a person reads.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Server } from "./harness.mjs";
import { load } from "./models.mjs";

const model = await load(
  "model/words", "model/bytes", "console/grammar", "console/verbs", "console/clauses", "console/complete",
  "console/reading", "console/run", "console/history", "console/failure", "model/javascript",
);
const { BadWord, Failure, VERBS, parse, read, split, typing } = model;

/** What a call fails with, as a person reads it. */
function wrong(act) {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof Failure || error instanceof BadWord, String(error.stack));
    return error.hint === undefined ? error.message : `${error.message}; ${error.hint}`;
  }
  throw new Error("it did not fail");
}

test("spaces part words and quotes hold them together, as in the shell", () => {
  assert.deepEqual(split('put  name\t"John Doe"'), ["put", "name", "John Doe"]);
  assert.deepEqual(split("put 'a\\n' b' 'c"), ["put", "a\\n", "b c"]);
  assert.deepEqual(split("  # only a comment"), []);
  assert.deepEqual(split("get a#b # not this"), ["get", "a#b"]);
  assert.deepEqual(split('put k ""'), ["put", "k", ""]);
  assert.deepEqual(split('get a\\xff\\ b "\\x00\\""'), ["get", "a\xff b", '\0"']);
  assert.deepEqual(split("get größe"), ["get", model.toRaw(new TextEncoder().encode("größe"))]);
});

test("what is wrong with a word is told with its column", () => {
  assert.equal(wrong(() => split('get "abc')), "column 5: the quote is not closed");
  assert.match(wrong(() => split("get ab\\q")), /^column 7: \\q means nothing/);
  assert.match(wrong(() => split("get \\xg0")), /two hexadecimal digits/);
});

test("a quoted word reads back as itself", () => {
  for (const word of ["plain", "", "a b", '"q"', "it's", "#", "\xff\0\\", "a\nb"]) {
    assert.deepEqual(split(model.quote(word)), [word]);
  }
});

test("the word at the caret is found while it is typed", () => {
  const at = (line) => {
    const { before, start, typed } = typing(line);
    return [before.length, start, typed];
  };
  assert.deepEqual(at(""), [0, 0, ""]);
  assert.deepEqual(at("ge"), [0, 0, "ge"]);
  assert.deepEqual(at("get "), [1, 4, ""]);
  assert.deepEqual(at('get "a b'), [1, 4, "a b"]);
});

const sorted = (line) => {
  const { verb, words, options } = parse(split(line), VERBS);
  return [verb.name, [...words], Object.fromEntries(options)];
};

test("options are taken in every way that the command line takes them", () => {
  assert.deepEqual(sorted("put k v --ttl 30s --if-absent"), ["put", ["k", "v"], { ttl: ["30s"], "if-absent": [] }]);
  assert.deepEqual(sorted("put k v --ttl=30s"), ["put", ["k", "v"], { ttl: ["30s"] }]);
  assert.deepEqual(sorted("list -rkn5 app/"), ["list", ["app/"], { reverse: [], "keys-only": [], limit: ["5"] }]);
  assert.deepEqual(sorted("list --range a ''"), ["list", [], { range: ["a", ""] }]);
  assert.deepEqual(sorted("incr k --by -3"), ["incr", ["k"], { by: ["-3"] }]);
  assert.deepEqual(sorted("put k -5"), ["put", ["k", "-5"], {}]);
  assert.deepEqual(sorted("get -- --odd"), ["get", ["--odd"], {}]);
  assert.deepEqual(sorted("delete --prefix app/ -y"), ["delete", [], { prefix: ["app/"], yes: [] }]);
});

test("what cannot be is refused with what to type instead", () => {
  assert.equal(wrong(() => sorted("putt a b")), 'there is no verb "putt"; did you mean put?');
  assert.equal(wrong(() => sorted("put a b --tll 3s")), "put has no option --tll; did you mean --ttl?");
  assert.match(wrong(() => sorted("put a")), /^VALUE is missing; it is typed so: put KEY VALUE/);
  assert.match(wrong(() => sorted("put a b c")), /^"c" is one word too many/);
  assert.equal(wrong(() => sorted("put a b --ttl")), "--ttl DURATION needs a value");
  assert.equal(wrong(() => sorted("put a b --ttl 3s --lease 4")), "--ttl and --lease cannot be used together");
  assert.equal(wrong(() => sorted("get a -o yaml")), "--output is one of text, json, raw");
  assert.match(wrong(() => sorted("get a --server x")), /another one needs a terminal/);
  assert.match(wrong(() => read("put a b --ttl 10")), /"10" is no duration; write a number with its unit/);
  assert.match(wrong(() => read("put a @file")), /needs a terminal; write @@/);
  assert.match(wrong(() => read("list --range d b")), /ends before it begins/);
  assert.match(wrong(() => read("bench")), /^bench does not run in a page/);
});

test("durations and moments are read as the command line reads them", () => {
  assert.deepEqual(["500ms", "10s", "1h30m", "1d", "2 weeks"].map(model.duration), [500, 10_000, 5_400_000, 86_400_000, 1_209_600_000]);
  for (const text of ["10", "", "ten", "-1s", "10 lightyears", "1.5s"]) assert.match(wrong(() => model.duration(text)), /unit/);
  assert.equal(model.moment("2030-01-01T00:00:00Z"), 1_893_456_000_000);
  assert.equal(model.moment("2030-01-01 00:00:00.123"), 1_893_456_000_123);
  assert.equal(model.moment("1000"), 1000);
  assert.match(wrong(() => model.moment("tomorrow")), /UTC/);
});

test("clauses of a transaction are sorted, and a wrong one is named", () => {
  const script = model.parseClauses(["if lock absent", 'if owner value "John Doe"', "then put lock me --ttl 10s", "incr claims --by -2", "else get lock"]);
  assert.deepEqual(script.compares, [["lock", { ifAbsent: true }], ["owner", { ifValue: "John Doe" }]]);
  assert.deepEqual(script.then.map(({ op }) => op), [
    { op: "put", key: "lock", value: "me", ttlMs: 10_000 },
    { op: "increment", key: "claims", by: -2, keepTtl: true },
  ]);
  assert.deepEqual(script.otherwise.map(({ name }) => name), ["get lock"]);
  assert.match(wrong(() => model.parseClauses(["get a", "if a"])), /^clause 2: an if is: if KEY absent/);
  assert.match(wrong(() => model.parseClauses(["fetch b"])), /"fetch" is no step; a step is:/);
  assert.match(wrong(() => model.parseClauses(["else get a"])), /never runs/);
  assert.match(wrong(() => model.parseClauses(["get a b"])), /takes one key/);
});

test("each line has its JavaScript, made of the same arguments", () => {
  const js = (line) => read(line).js;
  assert.equal(js('put name "John Doe" --ttl 30s'), 'await client.put("name", "John Doe", { ttlMs: 30000 })');
  assert.equal(js("get \\xff"), "await client.get(Uint8Array.of(0xff))");
  assert.equal(js("delete a b"), 'await client.delete("a")\nawait client.delete("b")');
  assert.equal(js("list app/ -n 5"), 'for await (const entry of client.scan({ prefix: "app/" }, { limit: 5 })) console.log(entry.key, entry.text());');
  assert.equal(js("history a"), 'for await (const event of client.watch({ key: "a" }, { cursor: new Uint8Array(), previous: true })) console.log(event);');
  assert.equal(js("touch a --persist"), 'await client.touch("a")');
  assert.equal(js("touch a"), 'await client.touch("a", { keepTtl: true })');
  assert.equal(js("txn 'if a absent' 'put a 1'"), 'await client.txn()\n  .when("a", { ifAbsent: true })\n  .then({ op: "put", key: "a", value: "1" })\n  .commit()');
});

test("completion offers verbs, options, choices and keys", async () => {
  const keys = async (typed) =>
    [["app/", true], ["app name", false], ["with space/", true]]
      .map(([raw, branch]) => ({ raw, branch }))
      .filter(({ raw }) => raw.startsWith(typed));
  const texts = async (line) => {
    const { start, candidates } = await model.complete(line, keys);
    return [start, ...candidates.map(({ text }) => text)];
  };
  assert.deepEqual(await texts("p"), [0, "put ", "ping "]);
  assert.deepEqual(await texts("  wat"), [2, "watch "]);
  assert.deepEqual(await texts("nonsense "), [9]);
  assert.deepEqual(await texts("put k v --if-a"), [8, "--if-absent "]);
  assert.deepEqual(await texts("get k --output "), [15, "text ", "json ", "raw "]);
  assert.deepEqual(await texts("get app"), [4, "app/", '"app name" ']);
  assert.deepEqual(await texts("put app/x "), [10]);
  assert.deepEqual(await texts("list --limit 5 wi"), [15, '"with space/']);
  assert.deepEqual(await texts("delete --prefix ap"), [16, "app/", '"app name" ']);
  const { candidates } = await model.complete("put k v --if-", keys);
  assert.equal(model.common(candidates), "--if-");
});

test("what was typed is kept, but not what begins with a space", () => {
  const stored = new Map();
  const store = { getItem: (name) => stored.get(name) ?? null, setItem: (name, value) => stored.set(name, value) };
  const lines = new model.TypedLines(store);
  for (const line of ["get a", " put secret x", "get b", "get b"]) lines.add(line);
  assert.deepEqual([lines.back("dra"), lines.back(""), lines.back("")], ["get b", "get a", undefined]);
  assert.deepEqual([lines.on(), lines.on(), lines.on()], ["get b", "dra", undefined]);
  assert.equal(new model.TypedLines(store).back(""), "get b");
  const broken = new model.TypedLines({ getItem: () => "{", setItem: () => { throw new Error("full"); } });
  broken.add("get a");
  assert.equal(broken.back(""), "get a");
});

describe("on a server", () => {
  let server, client;
  before(async () => {
    server = new Server();
    await server.start();
    client = server.client();
  });
  after(async () => {
    await client.close();
    await server.remove();
  });

  /** Runs a line and gives what it printed; a failure is its last line. */
  async function run(line, { answer = false, stop } = {}) {
    const printed = [];
    const abort = new AbortController();
    const out = {
      signal: abort.signal,
      line: (text) => printed.push(text) < 1000,
      note: (text) => printed.push(`note: ${text}`),
      confirm: async (question) => (printed.push(question), answer),
      go: (...to) => printed.push(`go: ${to.filter(Boolean).join(" ")}`),
      clear: () => printed.push("cleared"),
    };
    try {
      const plan = read(line);
      stop?.then(() => abort.abort());
      await plan.run(client, { ...out, format: plan.format });
    } catch (error) {
      const { code, message, hint } = model.failureOf(error);
      printed.push(`error: ${message} (${code})${hint ? `; ${hint}` : ""}`);
    }
    return printed;
  }

  test("keys are put, read, counted, listed and deleted", async () => {
    assert.match((await run('put app/name "John Doe"'))[0], /^revision \d+$/);
    await run("put app/more 2 --ttl 1h");
    assert.deepEqual(await run("get app/name"), ["John Doe"]);
    assert.deepEqual(await run("get app/none"), ["error: there is no key app/none (not-found)"]);
    assert.deepEqual(await run("list app/ --count"), ["2"]);
    assert.match((await run("list app/")).join("\n"), /^app\/more\t2\t\(expires in 59m 5\ds|1h 00m\)\napp\/name\tJohn Doe$/);
    assert.deepEqual(await run("list --tree"), ["app/"]);
    assert.deepEqual(await run("list app/ -k -r -n 1"), ["app/name"]);
    const [json] = await run("get app/name -o json");
    assert.deepEqual(Object.keys(JSON.parse(json)), ["key", "value", "created", "modified", "version"]);
    assert.deepEqual(await run("put app/name Jane --prev"), ["John Doe"]);
    assert.match((await run("put app/name x --if-absent"))[0], /^error: the condition does not hold: app\/name is at revision \d+ \(conflict\); read the key/);
    assert.match((await run("put app/gone x --if-present"))[0], /there is no key app\/gone to change \(conflict\)/);
    assert.deepEqual(await run("delete app/name --prev"), ["Jane"]);
    assert.deepEqual(await run("delete app/more app/none"), ["deleted 1", "error: there is no key app/none (not-found)"]);
  });

  test("numbers are added to, ends moved, transactions run", async () => {
    assert.deepEqual(await run("incr n"), ["1"]);
    assert.deepEqual(await run("incr n --by -3"), ["-2"]);
    assert.match((await run("touch n --ttl 1h"))[0], /^revision/);
    await run("incr n");
    assert.ok((await client.get("n")).expiresAt > 0, "incr leaves the end alone");
    await run("touch n --persist");
    assert.equal((await client.get("n")).expiresAt, undefined);
    const done = await run("txn 'if lock absent' 'then put lock me' 'then incr n --by 2' 'else get lock'");
    assert.deepEqual(done.slice(0, 2), ["put lock\tset", "incr n\t1"]);
    const refused = await run("txn 'if lock absent' 'then put lock me' 'else get lock'");
    assert.match(refused.join("\n"), /^get lock\tme\nthe condition does not hold, revision \d+$/);
  });

  test("a prefix goes after a question, or by --yes, or only counted", async () => {
    for (const key of ["p/a", "p/b"]) await client.put(key, "");
    assert.deepEqual(await run("delete --prefix p/ --dry-run"), ["would delete 2"]);
    assert.deepEqual(await run("delete --prefix p/"), ["Delete every key that begins with p/ (2)? [y/N]", "note: nothing was deleted"]);
    assert.deepEqual(await run("delete --prefix p/", { answer: true }), ["Delete every key that begins with p/ (2)? [y/N]", "deleted 2"]);
    await client.put("p/c", "");
    assert.deepEqual(await run("delete --prefix p/ --yes"), ["deleted 1"]);
  });

  test("a watch prints changes until enough came, or it is stopped", async () => {
    await client.put("w/a", "0");
    const watching = run("watch w/ --content --prev -n 2");
    for (let changed = 0; changed < 2; changed++) await client.put("w/a", String(changed + 1));
    const printed = (await watching).map((line) => line.replace(/^\d+\t/, ""));
    // The changes may come before the watch begins: then they are its content.
    assert.ok(printed.some((line) => /^content\tw\/a\t/.test(line)), printed.join("\n"));
    let stop;
    const stopped = run("watch w/", { stop: new Promise((resolve) => (stop = resolve)) });
    stop();
    assert.deepEqual((await stopped).filter((line) => !line.startsWith("note")), []);
  });

  test("leases are granted, listed, revoked with their keys", async () => {
    const [id] = await run("lease grant 30s");
    await run(`put held x --lease ${id}`);
    assert.match((await run("lease list"))[0], new RegExp(`^${id}\t1 key\tof 30,000 ms, expires in`));
    assert.deepEqual(await run(`lease revoke ${id}`), ["1 key"]);
    assert.equal(await client.get("held"), undefined);
    assert.match((await run(`lease revoke ${id}`))[0], /there is no lease \d+ \(not-found\); its time is over/);
  });

  test("a key's history is told, newest first, as long as it is remembered", async () => {
    for (const value of ["one", "two"]) await run(`put past ${value}`);
    await run("delete past");
    const lines = (await run("history past")).map((line) => line.replace(/^\d+\t/, ""));
    assert.deepEqual(lines, ["delete\t", "put\ttwo", "put\tone"]);
    const [json] = await run("history past -n 1 -o json");
    assert.deepEqual(Object.keys(JSON.parse(json)), ["type", "revision", "key"]);
    assert.match((await run("history nothing"))[0], /no change of nothing is remembered \(not-found\)/);
  });

  test("a lock and a leadership are held until they are let go", async () => {
    assert.match((await run("lock job --value me")).join("\n"), /^fencing \d+\nnote: held until the page is closed or `lock job --release`$/);
    assert.equal((await client.get("job")).text(), "me");
    assert.match((await run("lock job"))[0], /this page holds job already \(conflict\)/);
    assert.deepEqual(await run("lock job --release"), ["note: job is let go"]);
    assert.equal(await client.get("job"), undefined);
    assert.match((await run("lock job --release"))[0], /does not hold job \(not-found\)/);
    await run("elect leader node-1 --ttl 5s");
    assert.equal((await client.get("leader")).text(), "node-1");
    await run("elect leader --release");
    assert.match((await run("elect leader"))[0], /needs a VALUE \(invalid-input\); `watch NAME/);
  });

  test("the server's figures and round trip are shown, help tells each verb", async () => {
    assert.ok((await run("status")).some((line) => /^memory +[\d.]+ (B|KiB|MiB)$/.test(line)));
    assert.match((await run("ping -c 2")).at(-1), /^min .+, avg .+, max .+$/);
    assert.ok((await run("help")).some((line) => line.includes("watch")));
    for (const { name } of VERBS) assert.ok((await run(`${name} --help`)).length > 2, name);
    assert.deepEqual(await run("export app/"), ["go: transfer app/"]);
  });

  test("keys are completed from the server, also behind many that do not fit", async () => {
    await Promise.all(Array.from({ length: 60 }, (_, at) => client.put(`many/a${at}`, "")));
    await client.put("many/zebra", "");
    const below = model.keysBelow(client, 20);
    assert.deepEqual((await below("many/ze")).map(({ raw }) => raw), ["many/zebra"]);
    assert.deepEqual((await below("man")).map(({ raw, branch }) => [raw, branch]), [["many/", true]]);
  });
});
