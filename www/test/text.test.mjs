// The models of what is read and written: differences, merges, history, commands, shortcuts.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { entry, load, put, removal } from "./models.mjs";

const model = await load(
  "model/diff",
  "model/merge",
  "model/history",
  "model/equivalents",
  "actions",
  "address",
);
const bytes = (text) => new TextEncoder().encode(text);

test("a difference is the shortest one, and makes either text again", () => {
  let state = 11;
  const random = (below) => (state = (state * 1103515245 + 12345) % 2147483648) % below;
  for (let round = 0; round < 300; round++) {
    const text = () => Array.from({ length: random(30) }, () => "abcde"[random(5)]);
    const [before, after] = [text(), text()];
    const pieces = model.diff(before, after);
    const side = (left) => pieces.filter(({ kind }) => kind !== left).map((piece) => piece.text);
    assert.deepEqual(side("new"), before);
    assert.deepEqual(side("gone"), after);
    assert.equal(pieces.filter(({ kind }) => kind === "same").length, common(before, after));
  }
});

/** Length of the longest common subsequence, by the plain table. */
function common(a, b) {
  let row = new Array(b.length + 1).fill(0);
  for (const one of a) {
    const next = [0];
    b.forEach((other, at) => next.push(one === other ? row[at] + 1 : Math.max(row[at + 1], next[at])));
    row = next;
  }
  return row.at(-1);
}

test("JSON in one line is compared part by part, and other lines word by word", () => {
  const json = model.diffValues(bytes('{"a":1,"b":2}'), bytes('{"a":1,"b":3}'));
  assert.deepEqual([json.lines, json.gone, json.came], [true, 1, 1]);
  const text = model.diffValues(bytes("John Doe"), bytes("Jane Doe"));
  assert.deepEqual(text.pieces, [
    { kind: "gone", text: "John" },
    { kind: "new", text: "Jane" },
    { kind: "same", text: " " },
    { kind: "same", text: "Doe" },
  ]);
  // Formatting would change the number: it is compared as it is written.
  const long = model.diffValues(bytes('{"n":12345678901234567890}'), bytes('{"n":12345678901234567891}'));
  assert.ok(long.pieces.some(({ kind, text }) => kind === "new" && text === "12345678901234567891"));
});

test("two edits are brought together where they touch different lines", () => {
  const base = "one\ntwo\nthree\nfour\nfive";
  assert.equal(model.merge(base, base.replace("one", "1"), base.replace("five", "5")), "1\ntwo\nthree\nfour\n5");
  assert.equal(model.merge(base, base.replace("two", "2"), base.replace("two", "zwei")), undefined);
  assert.equal(model.merge(base, base.replace("two", "2"), base.replace("two", "2")), base.replace("two", "2"));
  assert.equal(model.merge(base, base, "theirs"), "theirs");
  assert.equal(model.merge(base, `zero\n${base}`, `${base}\nsix`), `zero\n${base}\nsix`);
});

test("a history is what the changes say, newest first, with what was there before them", () => {
  const history = new model.History();
  const previous = entry("k", 3, { value: "old" });
  history.take({ ...put("k", 5, { value: "new", version: 2 }), previous });
  history.take(removal("k", 6));
  history.take({ type: "caught-up", revision: 9 });
  assert.deepEqual(
    history.versions.map(({ revision, kind, oldest }) => [revision, kind, oldest]),
    [
      [6, "delete", false],
      [5, "put", false],
      [3, "put", true],
    ],
  );
  assert.equal(history.complete, true);
  assert.equal(history.before(history.versions[1]).revision, 3);
  for (let revision = 10; revision < 1000; revision++) history.take(put("k", revision));
  assert.ok(history.versions.length <= 500 && history.cut);
});

test("commands say what a shell reads, whatever is in a key", () => {
  for (const word of ["plain", "it's", "a b", "$HOME `x` \"q\"", "-x", "ä", "line\nbreak"]) {
    const printed = execFileSync("/bin/sh", ["-c", `printf %s ${model.shellWord(word)}`]).toString();
    assert.equal(printed, word);
  }
  assert.equal(model.putWords("name", bytes("John Doe"), { ifRevision: 4, keepTtl: true }).cli,
    "tidekeep put --if-revision 4 --keep-ttl name 'John Doe'");
  assert.equal(model.putWords("name", bytes("@x"), { ifAbsent: true }).cli, "tidekeep put --if-absent name @@x");
  assert.equal(model.getWords("\xff\x00A").cli, "tidekeep get --escaped '\\xff\\x00A'");
  assert.equal(model.getWords("\xff").js, "const entry = await client.get(Uint8Array.of(0xff));");
});

test("one list of actions serves the palette and the keyboard", () => {
  const done = [];
  const actions = new model.Actions();
  const action = (title, keys, more) => ({ group: "Test", title, keys, run: () => done.push(title), ...more });
  actions.add(action("Help", "?"), action("Metrics", "g m"), action("Save", "Ctrl-S", { whileTyping: true }), action("Never", "n", { ready: () => false }));
  const stroke = (key, typing, now, more) =>
    actions.stroke({ key, ctrlKey: false, metaKey: false, altKey: false, ...more }, typing, now)?.title;
  assert.equal(stroke("?", false, 0), "Help");
  assert.equal(stroke("?", true, 0), undefined);
  assert.equal(stroke("s", true, 0, { ctrlKey: true }), "Save");
  assert.equal(stroke("n", false, 0), undefined);
  assert.equal(stroke("g", false, 0), undefined);
  assert.equal(stroke("m", false, 1000), "Metrics");
  stroke("g", false, 2000);
  assert.equal(stroke("m", false, 9000), undefined, "the first key is forgotten");
  actions.singleKeys = false;
  assert.equal(stroke("?", false, 0), undefined);
  assert.equal(stroke("s", true, 0, { ctrlKey: true }), "Save");
  assert.deepEqual(model.search(actions.now(), "met").map(({ title }) => title), ["Metrics"]);
});

test("an address says which view, and what in it", () => {
  const { place, rest, query } = model.readAddress("#/k/a%2fb/c?rev=7");
  assert.deepEqual([place, rest, query.get("rev")], ["k", "a%2fb/c", "7"]);
  assert.equal(model.writeAddress("k", "a/b", { rev: "7" }), "#/k/a/b?rev=7");
  assert.equal(model.readAddress("").place, "");
});
