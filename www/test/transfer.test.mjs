// Files in and out, and the live feed's memory: records, lines, the dry run, what is written of it.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import { Server } from "./harness.mjs";
import { load } from "./models.mjs";

const model = await load("model/record", "model/lines", "model/importing", "model/feed", "transfer");
const { BadRecord, Feed, Lines, Survey } = model;

const bytes = (text) => new TextEncoder().encode(text);
const record = (line) => model.parseRecord(bytes(line));

test("text and base64 are both read, and what export adds is borne", () => {
  const { key, value, expiresAt, revision } = record('{"key":"a\\u0000b","value":"v","expires_at":5,"revision":7,"lease":3}');
  assert.deepEqual([[...key], [...value], expiresAt, revision], [[97, 0, 98], [118], 5, 7]);
  const binary = record('{"value_base64":"/wA=","key_base64":"/w=="}');
  assert.deepEqual([[...binary.key], [...binary.value], binary.expiresAt], [[255], [255, 0], undefined]);
});

test("what is wrong with a line is said exactly", () => {
  const wrong = (line) => {
    try {
      model.parseRecord(typeof line === "string" ? bytes(line) : line);
    } catch (error) {
      assert.ok(error instanceof BadRecord);
      return error.message;
    }
    throw new Error("it is a record");
  };
  assert.equal(wrong('{"key":"a"}'), "neither value nor value_base64 is there");
  assert.equal(wrong('{"key":"a","key_base64":"YQ==","value":""}'), "key and key_base64 are both there");
  assert.equal(wrong('{"key_base64":"!","value":""}'), "key_base64 is no base64");
  assert.equal(wrong('{"key":"a","value":"b","ttl":5}'), 'unknown field "ttl"');
  assert.equal(wrong('{"key":"a","value":{}}'), "value is no text");
  assert.equal(wrong('{"key":"a","value":"\\ud800"}'), "value has half of a surrogate pair");
  assert.equal(wrong('{"key":"a","value":"","expires_at":-1}'), "expires_at is no whole number");
  assert.match(wrong(Uint8Array.of(0x22, 0xff, 0x22)), /^not UTF-8/);
  assert.equal(wrong("[1]"), 'not an object; a line is {"key": …, "value": …}');
  assert.ok(!wrong('{"a\nb').includes("\n"));
});

test("lines are numbered as an editor does, however the file is cut", () => {
  const text = bytes('\ufeff{"a":1}\r\n\n  \nlonger than ten\nlast');
  const all = (step) => {
    const lines = new Lines(12);
    const found = [];
    for (let at = 0; at < text.length; at += step) found.push(...lines.push(text.subarray(at, at + step)));
    found.push(...lines.end());
    return found.map(({ number, bytes }) => [number, bytes && new TextDecoder().decode(bytes)]);
  };
  for (const step of [1, 2, 7, 1000]) {
    assert.deepEqual(all(step), [[1, '{"a":1}'], [4, undefined], [5, "last"]], `in pieces of ${step}`);
  }
});

const entry = (value, revision, more) => ({ value: bytes(value), revision, expiresAt: undefined, lease: undefined, ...more });

test("a line is judged by what is there", () => {
  const judge = (line, there) => model.judge(record(line), there, 1000);
  assert.equal(judge('{"key":"a","value":"x"}', undefined), "new");
  assert.equal(judge('{"key":"a","value":"x"}', entry("x", 4)), "same");
  assert.equal(judge('{"key":"a","value":"x"}', entry("y", 4)), "changed");
  assert.equal(judge('{"key":"a","value":"x","revision":4}', entry("y", 4)), "changed");
  assert.equal(judge('{"key":"a","value":"x","revision":3}', entry("y", 4)), "conflict");
  assert.equal(judge('{"key":"a","value":"x","revision":3}', entry("x", 4)), "same");
  assert.equal(judge('{"key":"a","value":"x","expires_at":2000}', entry("x", 4)), "changed");
  assert.equal(judge('{"key":"a","value":"x"}', entry("x", 4, { lease: 2 })), "changed");
  assert.equal(judge('{"key":"a","value":"x","expires_at":999}', undefined), "over");
});

test("of lines with one key the last one counts", () => {
  const survey = new Survey();
  survey.add(1, record('{"key":"a","value":"1"}'), undefined, 0);
  survey.add(2, record('{"key":"b","value":"1"}'), undefined, 0);
  survey.add(3, record('{"key":"a","value":"2"}'), undefined, 0);
  assert.deepEqual([survey.counts.new, survey.doubled, survey.records], [2, 1, 3]);
  assert.deepEqual([0, 1, 2].map((place) => survey.verdict(place)), [undefined, "new", "new"]);
});

test("batches are bounded in number and in bytes", () => {
  const batches = new model.Batches(3, 100);
  const wanted = (length) => ({ line: 1, seen: 0, record: { key: new Uint8Array(1), value: new Uint8Array(length) } });
  const sizes = [9, 9, 9, 9, 200, 50, 60].map((length) => batches.add(wanted(length))?.length);
  assert.deepEqual(sizes, [undefined, undefined, undefined, 3, 1, 1, 1]);
  assert.equal(batches.take().length, 1);
});

const change = (key, revision, type = "put") => ({ type, keyBytes: bytes(key), revision, entry: entry("v", revision) });

test("the feed keeps what passes, counts it by the second, and holds what comes while it is read", () => {
  const feed = new Feed();
  feed.choose("app/", "");
  for (let at = 0; at < 5; at++) feed.add(change(`app/${at}`, at + 1), 10_000 + at * 500);
  feed.add(change("other", 9), 12_000);
  assert.equal(feed.seen, 5);
  assert.deepEqual(feed.newest(2).map(({ key }) => key), ["app/4", "app/3"]);
  assert.deepEqual(feed.rates(13_000).slice(-4), [2, 2, 1, 0]);
  feed.hold();
  feed.add(change("app/5", 10, "delete"), 13_000);
  assert.deepEqual([feed.newest(1)[0].key, feed.waiting], ["app/4", 1]);
  feed.release();
  assert.deepEqual([feed.newest(1)[0].key, feed.newest(1)[0].type, feed.waiting], ["app/5", "delete", 0]);
  feed.choose("app/", "3");
  assert.deepEqual(feed.newest(9).map(({ key }) => key), ["app/3"]);
});

test("the feed's memory is bounded, held or not", () => {
  const feed = new Feed();
  feed.hold();
  for (let at = 0; at < 10 * model.LINES_MAX; at++) feed.add(change("k", at), at);
  assert.ok(feed.lost >= 8 * model.LINES_MAX);
  assert.equal(feed.waiting, 10 * model.LINES_MAX);
  feed.release();
  assert.ok(feed.newest(1e6).length <= 1.25 * model.LINES_MAX);
  assert.equal(feed.newest(1)[0].revision, 10 * model.LINES_MAX - 1);
});

describe("on a server", () => {
  let server, client;
  const never = new AbortController().signal;
  const usual = new Set(model.USUAL);
  const quiet = () => {};
  const done = () => ({ written: 0, left: [], leftCount: 0 });

  before(async () => {
    server = new Server();
    await server.start();
    client = server.client();
  });
  after(async () => {
    await client.close();
    await server.remove();
  });
  beforeEach(() => client.deleteRange({}));

  const file = (...lines) => new Blob([lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n")]);

  test("what was exported is imported the same, whatever its bytes", async () => {
    await client.put("text", 'say "hi"\n');
    await client.put(Uint8Array.of(0xff, 0), Uint8Array.of(1, 0xfe));
    await client.put("ends", "x", { ttlMs: 3_600_000 });
    const told = [];
    const blob = await model.exportLines(client, {}, never, (...args) => told.push(args));
    assert.deepEqual(told.at(-1), [3, 3]);
    const before = await client.scan({}).toArray(10);
    await client.deleteRange({});
    const survey = await model.dryRun(client, blob, never, quiet);
    assert.deepEqual(survey.counts, { new: 3, changed: 0, same: 0, conflict: 0, over: 0 });
    await model.applyImport(client, blob, survey, usual, never, quiet, done());
    const after = await client.scan({}).toArray(10);
    const parts = ({ keyBytes, value, expiresAt }) => [[...keyBytes], [...value], expiresAt];
    assert.deepEqual(after.map(parts), before.map(parts));
    assert.deepEqual((await model.dryRun(client, blob, never, quiet)).counts.same, 3);
  });

  test("a dry run writes nothing and says what every line would do", async () => {
    await client.put("same", "1");
    await client.put("changed", "1");
    const { revision } = await client.put("newer", "mine");
    const blob = file(
      { key: "same", value: "1" }, { key: "changed", value: "2" }, { key: "new", value: "1" },
      { key: "newer", value: "old", revision: revision - 1 }, { key: "over", value: "", expires_at: 5 }, "nonsense", "",
    );
    const before = (await client.status()).figures.revision;
    const survey = await model.dryRun(client, blob, never, quiet);
    assert.deepEqual(survey.counts, { new: 1, changed: 1, same: 1, conflict: 1, over: 1 });
    assert.deepEqual(survey.problems.map(({ line }) => line), [6]);
    assert.deepEqual(survey.listed.map(({ line, verdict }) => [line, verdict]), [[2, "changed"], [3, "new"], [4, "conflict"], [5, "over"]]);
    assert.equal((await client.status()).figures.revision, before);
    const result = done();
    await model.applyImport(client, blob, survey, usual, never, quiet, result);
    assert.deepEqual(result, { written: 2, left: [], leftCount: 0 });
    assert.equal((await client.get("newer")).text(), "mine");
  });

  test("what changed after the dry run is left alone and named, the rest is written", async () => {
    await client.put("a", "1");
    const blob = file({ key: "a", value: "file" }, { key: "b", value: "file" }, { key: "c", value: "file" });
    const survey = await model.dryRun(client, blob, never, quiet);
    await client.put("a", "theirs");
    await client.put("c", "theirs");
    const result = done();
    await model.applyImport(client, blob, survey, usual, never, quiet, result);
    assert.equal(result.written, 1);
    assert.deepEqual(result.left.sort(), [1, 3]);
    assert.deepEqual((await Promise.all(["a", "b", "c"].map((key) => client.get(key)))).map((entry) => entry.text()), ["theirs", "file", "theirs"]);
  });

  test("five thousand lines go in by bounded transactions, and stop when they are told to", async () => {
    const lines = Array.from({ length: 5000 }, (_, at) => ({ key: `many/${at}`, value: "x".repeat(50) }));
    const blob = file(...lines);
    const survey = await model.dryRun(client, blob, never, quiet);
    assert.equal(survey.counts.new, 5000);
    const stop = new AbortController();
    const half = done();
    const stopped = model.applyImport(client, blob, survey, usual, stop.signal, () => half.written > 1000 && stop.abort(), half);
    await assert.rejects(stopped, { name: "AbortError" });
    assert.ok(half.written > 1000 && half.written < 5000, String(half.written));
    assert.equal(await client.count({}), half.written);
    const again = await model.dryRun(client, blob, never, quiet);
    assert.equal(again.counts.same, half.written);
    const rest = done();
    await model.applyImport(client, blob, again, usual, never, quiet, rest);
    assert.equal(rest.written, 5000 - half.written);
    const steps = [];
    assert.equal(await model.removeRange(client, { prefix: "many/" }, never, (count) => steps.push(count)), 5000);
    assert.deepEqual(steps, [1000, 2000, 3000, 4000, 5000]);
  });
});
