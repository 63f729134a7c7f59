// The window on a long list: its rows, its scroll bar, and how it finds the key of a rank, against a plain
// list of keys that stands for the store.

import assert from "node:assert/strict";
import { test } from "node:test";

import { entry, load, put, removal } from "./models.mjs";

const { Window, ROWS_MAX, Scroll, HEIGHT_MAX, Found, between, seek, prefixEnd } = await load(
  "model/window",
  "model/scroll",
  "model/found",
  "model/seek",
  "model/bytes",
);

const name = (index) => `k/${String(index).padStart(7, "0")}`;

/** Numbers that look random and are the same in every run. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % below;
  };
}

/** What the store would answer: sorted keys, and the revision they are at. */
class Keys {
  revision = 1;
  constructor(keys) {
    this.keys = [...keys].sort();
  }
  put(key) {
    this.revision += 1;
    const isNew = !this.keys.includes(key);
    if (isNew) this.keys.splice(this.keys.findLastIndex((other) => other < key) + 1, 0, key);
    return put(key, this.revision, { version: isNew ? 1 : 2 });
  }
  remove(key) {
    this.revision += 1;
    this.keys.splice(this.keys.indexOf(key), 1);
    return removal(key, this.revision);
  }
  /** A page, as the ask wants it; a seek is answered by the true rank. */
  answer(ask, size) {
    if (ask.kind === "seek") return this.answer({ kind: "forward", after: this.keys[ask.rank - 1], first: ask.rank }, size);
    const after = ask.kind === "forward" && ask.after === undefined ? -1 : this.keys.findLastIndex((key) => key <= ask.after);
    const all =
      ask.kind === "forward" ? this.keys.slice(after + 1) : this.keys.filter((key) => key < ask.before).reverse();
    const items = all.slice(0, size).map((key) => entry(key, 1));
    return { ask, page: { items, revision: this.revision, after: undefined }, more: all.length > items.length };
  }
}

const rows = (window, from, to) => Array.from({ length: to - from }, (_, index) => window.at(from + index)?.raw);

/** Asks until nothing is missing between two ranks. */
function look(window, store, from, to) {
  for (let round = 0; round < 50; round++) {
    const ask = window.want(from, to);
    if (!ask) return;
    window.begin();
    const { ask: asked, page, more } = store.answer(ask, 200);
    window.install(asked, page, more);
    window.trim(from, to);
  }
  assert.fail("it asks for ever");
}

test("shows any part of a long list, and keeps a bounded part of it", () => {
  const store = new Keys(Array.from({ length: 50_000 }, (_, index) => name(index)));
  const window = new Window("k/");
  window.total = 50_000;
  const random = numbers(7);
  for (let round = 0; round < 60; round++) {
    const from = round % 3 === 0 ? random(49_900) : Math.max(0, Math.min(49_900, (window.last ?? 0) + random(400) - 200));
    window.last = from;
    look(window, store, from, from + 100);
    assert.deepEqual(rows(window, from, from + 100), store.keys.slice(from, from + 100), `from ${from}`);
    assert.ok(window.known <= ROWS_MAX);
  }
});

test("stays true to the store while keys come and go, amid its own reads too", () => {
  const random = numbers(23);
  const store = new Keys(Array.from({ length: 4000 }, (_, index) => name(index * 3)));
  const window = new Window("k/");
  window.total = store.keys.length;
  const change = () => {
    const made = random(2) ? store.put(name(random(12_000))) : store.remove(store.keys[random(store.keys.length)]);
    window.apply(made, 0);
  };
  for (let round = 0; round < 400; round++) {
    const from = random(store.keys.length - 60);
    for (let asked = 0; asked < 20; asked++) {
      const ask = window.want(from, from + 50);
      if (!ask) break;
      window.begin();
      const { ask: answered, page, more } = store.answer(ask, 120);
      for (let times = random(3); times > 0; times--) change();
      window.install(answered, page, more);
    }
    for (let times = random(4); times > 0; times--) change();
    const shown = rows(window, 0, window.total).filter(Boolean);
    assert.deepEqual(shown, [...new Set(shown)].sort(), "in order, none twice");
    for (const raw of shown) assert.ok(store.keys.includes(raw), `${raw} is gone`);
    assert.equal(window.total, store.keys.length);
  }
  look(window, store, 1000, 1050);
  assert.deepEqual(rows(window, 1000, 1050), store.keys.slice(1000, 1050));
});

test("a new key appears where it belongs: first, last, amid, and in an empty list", () => {
  const window = new Window("");
  const store = new Keys([]);
  look(window, store, 0, 10);
  for (const key of ["m", "a", "z", "n"]) window.apply(store.put(key), 5);
  assert.deepEqual(rows(window, 0, 4), ["a", "m", "n", "z"]);
  for (const key of ["a", "z", "m", "n"]) window.apply(store.remove(key), 5);
  assert.equal(window.total, 0);
});

test("finds the key of a rank in few questions, however keys are spread", async () => {
  const random = numbers(5);
  const spreads = {
    digits: Array.from({ length: 100_000 }, (_, index) => name(index)),
    words: Array.from({ length: 100_000 }, () => `k/${String.fromCharCode(97 + random(4))}${random(2 ** 31).toString(36)}`),
    lump: Array.from({ length: 100_000 }, (_, index) => (index < 99_000 ? `k/aaaaaaaaaaaa${name(index)}` : name(index))),
  };
  for (const [spread, made] of Object.entries(spreads)) {
    const keys = [...new Set(made)].sort();
    let asked = 0;
    const at = (raw) => {
      let [low, high] = [0, keys.length];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (keys[middle] < raw) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    const store = {
      count: async (start, end) => ((asked += 1), at(end) - at(start)),
      keyFrom: async (raw) => keys[at(raw)],
      keyBefore: async (raw) => keys[at(raw) - 1],
      skip: async (raw, places) => {
        asked += 1;
        const to = Math.min(at(raw) + places, keys.length - 1);
        return { raw: keys[to], places: to - at(raw) };
      },
    };
    for (const rank of [0, 1, 777, 0.3, 0.5, 0.99, 1].map((at) => (at < 1 ? Math.floor(at * keys.length) : at)).concat(keys.length - 1)) {
      asked = 0;
      const end = { rank: keys.length, raw: prefixEnd("k/") };
      const found = await seek(store, rank, { rank: 0, raw: "k/" }, end);
      assert.equal(found.rank, rank, spread);
      if (rank > 0) assert.equal(found.raw, keys[rank], `${spread} ${rank}`);
      assert.ok(asked <= 25, `${spread} ${rank}: ${asked} questions`);
    }
  }
  assert.ok(between("k/a", "k/b", 0.5) > "k/a" && between("k/a", "k/b", 0.5) < "k/b");
});

test("a scroll bar reaches every row of a list that is too high to be drawn", () => {
  const [whole, view] = [26_000_000, 600];
  const scroll = new Scroll();
  scroll.resize(whole, view);
  assert.equal(scroll.height, HEIGHT_MAX);
  const y = (top) => top + scroll.offset;
  // Near moves go pixel by pixel, wherever they begin.
  for (const start of [0, 5_000_000]) {
    let top = scroll.moved(start);
    for (let step = 0; step < 2000; step++) {
      const before = y(top);
      top = scroll.moved(top + 100);
      assert.ok(Math.abs(y(top) - before - 100) < 2, `${y(top) - before}`);
    }
  }
  // The ends are the ends.
  let top = scroll.moved(HEIGHT_MAX - view);
  assert.ok(Math.abs(y(top) - (whole - view)) < 4);
  for (let step = 0; step < 200_000 && top > 0; step++) top = scroll.moved(Math.max(0, top - 500));
  assert.equal(y(scroll.moved(0)), 0);
  // Any row can be put at the top.
  for (const wanted of [0, 26, 1_000_000, 13_000_013, whole - view]) {
    assert.ok(Math.abs(y(scroll.to(wanted)) - wanted) < 4, `${wanted}`);
  }
  top = scroll.to(13_000_000);
  assert.ok(Math.abs(top / (HEIGHT_MAX - view) - 0.5) < 0.01, "the bar shows where it is");
});

test("a filter finds what is there, and what comes while it looks", () => {
  const found = new Found("", "B");
  found.begin();
  found.apply(put("ab2", 12), 0);
  found.apply(put("zb", 13), 0);
  found.install({ items: ["ab", "ac", "b"].map((key) => entry(key, 1)), revision: 10, after: new TextEncoder().encode("b") });
  assert.deepEqual(found.rows.map(({ raw }) => raw), ["ab", "ab2", "b"]);
  found.begin();
  found.apply(removal("ab", 14), 0);
  found.install({ items: [entry("zb", 13)], revision: 14, after: undefined });
  assert.deepEqual(found.rows.map(({ raw }) => raw), ["ab2", "b", "zb"]);
  assert.equal(found.searched, 4);
});
