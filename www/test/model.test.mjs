// The page's models by themselves: keys as people see them, times, values, the tree, the rows.

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./models.mjs";

const model = await load("model/bytes", "model/cluster", "model/time", "model/tree", "model/value");

test("keys are shown so that each can be typed again, whatever its bytes", () => {
  const shown = new Set();
  for (const raw of ["a/b", "\\", "\\x41", "\xff\x00", "\xc3\xa4", "\xc3", "\xe2\x80\x8b", "\n\t"]) {
    const text = model.escapeKey(raw);
    assert.equal(model.parseKey(text), raw, text);
    assert.equal(model.percentDecode(model.percentEncode(raw)), raw, text);
    shown.add(text);
  }
  assert.equal(shown.size, 8);
  assert.equal(model.escapeKey("\xc3\xa4"), "ä");
  assert.equal(model.escapeKey("\xff"), "\\xff");
  assert.equal(model.parseKey("\\q"), undefined);
  assert.equal(model.percentDecode("%zz"), undefined);
});

test("times to live are read and counted down", () => {
  assert.equal(model.parseDuration("1h 30m"), 5_400_000);
  assert.equal(model.parseDuration("90"), 90_000);
  assert.equal(model.parseDuration("250ms"), 250);
  assert.equal(model.parseDuration("soon"), undefined);
  assert.equal(model.parseDuration("0"), undefined);
  assert.equal(model.countdown(90_000), "1m 30s");
  assert.equal(model.countdown(0), "now");
});

test("a cluster is told in a few words, and what is amiss comes first", () => {
  const node = (id, more) => ({ node: id, state: "active", up: true, client: `h:${id}`, zone: "z", leads: 0, ...more });
  const replica = (id, lag) => ({ node: id, votes: true, lag, stopped: null });
  const group = (leader, ...lags) => ({ leader, replicas: lags.map((lag, at) => replica(at + 1, lag)) });
  const whole = {
    replicas: 3,
    nodes: [node(1, { leads: 1 }), node(2), node(3), node(4, { state: "removed", up: false })],
    meta: group(1, 0, 0, 0),
    groups: [group(1, 0, 1200, 0)],
    waits_for: null,
  };
  const well = model.overview(whole);
  assert.deepEqual([well.well, well.health], [true, "healthy"]);
  assert.deepEqual(well.nodes.map(({ name, notes }) => [name, notes]), [
    ["node 1", "leads"],
    ["node 2", `${model.countText(1200)} behind`],
    ["node 3", ""],
  ]);
  const nodes = [node(1, { leads: 2 }), node(2, { state: "draining" }), node(3, { up: false })];
  const groups = [group(1, 0, 0, null), group(null, 0, 0, null), group(1, 0, 0, 0)];
  const ill = model.overview({ ...whole, nodes, groups, waits_for: "a node is missing" });
  assert.equal(ill.well, false);
  assert.equal(
    ill.health,
    "1 of 3 nodes down; 1 group without a leader; 1 group short of replicas; a node is missing",
  );
  assert.deepEqual(ill.nodes.map(({ notes }) => notes), ["leads 2 of 3", "draining", "down"]);
});

test("values are told apart, and hex goes there and back", () => {
  const bytes = (text) => new TextEncoder().encode(text);
  assert.equal(model.formOf(bytes("plain")), "text");
  assert.equal(model.formOf(bytes('{"a":1}')), "json");
  assert.equal(model.formOf(new Uint8Array([0xff, 0])), "hex");
  const value = Uint8Array.from({ length: 40 }, (_, index) => index * 5);
  assert.deepEqual(model.fromHex(model.toHex(value)), value);
  assert.equal(model.fromHex("abc"), undefined);
  assert.equal(model.survivesPretty('{"n":12345678901234567890}'), false);
});

const page = (raws, revision, after) => ({
  items: raws.map((raw) => ({ raw, branch: raw.endsWith("/") })),
  revision,
  after: after && new TextEncoder().encode(after),
});
const put = (raw, revision) => ({ raw, revision, removed: false });
const removal = (raw, revision) => ({ raw, revision, removed: true });
const children = (tree) => tree.root.children.map(({ raw }) => raw);

test("the tree takes changes over, those amid a load too", () => {
  const tree = new model.Tree("/");
  tree.begin(tree.root);
  tree.apply(put("c", 12));
  tree.apply(removal("a", 13));
  tree.apply(put("old", 9));
  tree.install(tree.root, page(["a", "b/"], 10));
  assert.deepEqual(children(tree), ["b/", "c"]);
  tree.apply(put("d/e", 14));
  assert.deepEqual(children(tree), ["b/", "c", "d/"]);
  assert.deepEqual(tree.apply(removal("b/x", 15)).map(({ raw }) => raw), ["b/"]);
  tree.prune(tree.node("b/"));
  assert.deepEqual(children(tree), ["c", "d/"]);
});

test("a key behind the last page waits for its page", () => {
  const tree = new model.Tree("/");
  tree.begin(tree.root);
  tree.install(tree.root, page(["a", "c"], 10, "c"));
  tree.apply(put("z", 11));
  tree.apply(put("b", 12));
  assert.deepEqual(children(tree), ["a", "b", "c"]);
});

test("a tree finds the line at any place, and the place of any key", () => {
  const tree = new model.Tree("/");
  tree.begin(tree.root);
  tree.install(tree.root, page(["a/", "b", "c/", "d"], 10));
  for (const name of ["a/", "c/"]) {
    const folder = tree.node(name);
    tree.setOpen(folder, true);
    tree.begin(folder);
    tree.install(folder, page([`${name}x/`, `${name}y`], 10));
  }
  tree.setOpen(tree.node("c/x/"), true);
  tree.begin(tree.node("c/x/"));
  tree.install(tree.node("c/x/"), page([], 10));
  const lines = Array.from({ length: tree.length }, (_, index) => tree.line(index));
  const shown = lines.map(({ kind, node, level }) => `${level} ${kind === "node" ? node.raw : kind}`);
  assert.deepEqual(shown, ["1 a/", "2 a/x/", "2 a/y", "1 b", "1 c/", "2 c/x/", "3 empty", "2 c/y", "1 d"]);
  assert.equal(tree.line(tree.length), undefined);
  lines.forEach(({ kind, node }, index) => kind === "node" && assert.equal(tree.indexOf(node.raw), index, node.raw));
  assert.equal(tree.indexOf("a/x/deep"), undefined);
});

test("a tree is parted by whatever text parts keys", () => {
  const tree = new model.Tree("::");
  tree.begin(tree.root);
  tree.install(tree.root, { items: [{ raw: "app::", branch: true }], revision: 1, after: undefined });
  tree.apply(put("app::one", 2));
  tree.apply(put("lib::x::y", 3));
  assert.deepEqual(children(tree), ["app::", "lib::"]);
  assert.equal(tree.parentOf("lib::x::y"), "lib::x::");
  assert.equal(tree.parentOf("lib::"), "");
  assert.deepEqual(tree.wayTo("lib::x::y"), ["lib::", "lib::x::"]);
});

test("values go to every form and back", () => {
  const value = Uint8Array.from({ length: 200 }, (_, index) => index);
  for (const form of ["hex", "base64"]) assert.deepEqual(model.fromForm(model.toForm(value, form), form), value, form);
  assert.equal(typeof model.fromForm("{", "json"), "string");
  assert.equal(typeof model.fromForm("a b!", "base64"), "string");
  assert.match(model.guess(new TextEncoder().encode("0190b5c0-1111-7abc-8def-0123456789ab")), /UUID, version 7/);
});
