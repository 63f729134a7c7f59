// The plots' models: the server's text as figures, rates and quantiles between two looks, scales, lines.

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./models.mjs";

const model = await load("model/prometheus", "model/metrics", "model/scale", "model/headline", "model/cluster");
const { Figures, History } = model;

const page = (lines) => new Figures(lines.join("\n"));

test("figures are read by name and label, whatever else stands on the page", () => {
  const figures = page([
    "# HELP tidekeep_requests_total Requests answered.",
    "# TYPE tidekeep_requests_total counter",
    'tidekeep_requests_total{op="get",result="ok"} 7',
    'tidekeep_requests_total{op="put",result="too-large"} 2',
    "tidekeep_uptime_seconds 1.5 1700000000",
    'odd{text="a \\"quoted\\" {brace}, comma\\n"} +Inf',
    "this is no figure",
    "neither{this 3",
    "",
  ]);
  assert.equal(figures.one("tidekeep_uptime_seconds"), 1.5);
  assert.equal(figures.sum("tidekeep_requests_total"), 9);
  assert.equal(figures.sum("tidekeep_requests_total", ({ result }) => result === "ok"), 7);
  assert.deepEqual(figures.all("odd"), [{ labels: { text: 'a "quoted" {brace}, comma\n' }, value: Infinity }]);
  assert.equal(figures.one("this"), undefined);
  assert.equal(figures.sum("nothing"), undefined);
});

const histogram = (counts) =>
  page(["0.001", "0.01", "+Inf"].map((le, at) => `h_bucket{le="${le}"} ${counts[at]}`));

test("a quantile is of what came between two looks, and within its bucket", () => {
  const [before, now] = [histogram([100, 100, 100]), histogram([100, 108, 110])];
  const between = (q) => model.quantile(q, before.buckets("h"), now.buckets("h"));
  assert.equal(between(0.5).toFixed(6), (0.001 + 0.009 * (5 / 8)).toFixed(6));
  assert.equal(between(0.8).toFixed(6), "0.010000");
  assert.equal(between(0.99), 0.01, "beyond the last bound there is nothing to tell");
  assert.equal(model.quantile(0.5, now.buckets("h"), now.buckets("h")), undefined);
});

const look = (uptime, gets, extra = []) =>
  page([`tidekeep_uptime_seconds ${uptime}`, `tidekeep_requests_total{op="get",result="ok"} ${gets}`, ...extra]);
const reads = (history) => history.points.map(({ values }) => values.get(model.PLOTS[0].series[0]));

test("rates are counted a second, begin anew with a restart, and are not joined over a rest", () => {
  const history = new History();
  history.look(0, look(10, 100), 1);
  history.look(2000, look(12, 120), 1);
  history.look(3000, look(13, 120), 1);
  history.look(5000, look(1, 5), 1);
  history.look(6000, look(2, 8), 1);
  assert.deepEqual(reads(history), [10, 0, undefined, 3]);
  history.pause(7000);
  history.look(60_000, look(60, 1000), 1);
  history.look(62_000, look(62, 1010), 1);
  assert.deepEqual(reads(history), [10, 0, undefined, 3, undefined, 5]);
});

test("five minutes are kept and no more, however often one looks", () => {
  const history = new History();
  for (let at = 0; at <= 900_000; at += 2000) history.look(at, look(at / 1000, at), 1);
  assert.equal(history.points[0].at, 600_000);
  for (let at = 900_001; at < 903_000; at++) history.look(at, look(1000 + at, at), 1);
  assert.equal(history.points.length, 600);
});

test("every plot finds its figures on the page of a server", () => {
  const extra = (of) => [
    `tidekeep_store_log_syncs ${of}`,
    `tidekeep_store_log_sync_us ${of * 3000}`,
    `tidekeep_store_log_records ${of * 2}`,
    `tidekeep_store_memory_bytes ${of}`,
    `tidekeep_store_memory_entries_bytes ${of}`,
    `tidekeep_store_memory_history_bytes ${of}`,
    `tidekeep_resp_commands_total{command="get"} ${of}`,
    `tidekeep_connections{transport="tcp"} ${of}`,
    `tidekeep_watches ${of}`,
    `tidekeep_requests_total{op="put",result="ok"} ${of}`,
    ...["received", "sent"].map((way) => `tidekeep_${way}_bytes_total{transport="tcp"} ${of}`),
    ...["batch", "watch_lag"].map((name) => `tidekeep_${name}_seconds_bucket{le="0.001"} ${of}`),
  ];
  const history = new History();
  history.look(0, look(1, 0, extra(0)), 1.5);
  history.look(1000, look(2, 10, extra(10)), 2.5);
  const [{ values }] = history.points;
  const value = (plot, line) => values.get(model.PLOTS.find(({ title }) => title === plot).series.find(({ name }) => name === line));
  assert.equal(value("Log sync", "mean"), 3);
  assert.equal(value("Log writes", "records"), 20);
  assert.equal(value("Time in the server", "p50"), 0.5);
  assert.equal(value("Round trip of this page", "ping"), 2.5);
  assert.deepEqual([...values].filter(([, value]) => value === undefined), []);
});

test("a scale ends at a round number, and a line is broken where a value is missing", () => {
  assert.deepEqual([0, 3, 10, 11, 200, 201].map((value) => model.roundTop([value], 1)), [1, 5, 10, 20, 200, 500]);
  assert.equal(model.roundTop([undefined, 0.013], 0.01), 0.02);
  assert.deepEqual([5, 1024, 5e6].map((value) => model.roundTop([value], 1, "bytes")), [8, 1024, 2 ** 23]);
  const frame = { from: 0, to: 10, top: 4, width: 100, height: 40 };
  const line = [[0, 0], [5, 2], [6, undefined], [10, 8]].map(([at, value]) => ({ at, value }));
  assert.equal(model.path(line, frame), "M0.0 40.0h0L50.0 20.0M100.0 0.0h0");
});

test("numbers are written with their units", () => {
  const text = (value, unit) => model.unitText(value, unit);
  assert.deepEqual([0, 0.0004, 0.25, 1.234, 12.34, 1500].map((ms) => text(ms, "ms")), ["0 ms", "0 µs", "250 µs", "1.23 ms", "12.3 ms", "1.5 s"]);
  assert.deepEqual([0.5, 42, 12_345, 2_500_000].map((rate) => text(rate, "rate")), ["0.5/s", "42/s", "12.3 k/s", "2.5 M/s"]);
  assert.deepEqual([512, 1536, 3 << 20].map((bytes) => text(bytes, "bytes")), ["512 B", "1.5 KiB", "3 MiB"]);
  assert.equal(text(undefined, "bytes"), "–");
});

test("what somebody should look at is said, and nothing on a good day", () => {
  assert.deepEqual(model.concerns(page(["tidekeep_store_state 0", "tidekeep_store_log_stalled_ms 3"])), []);
  const ill = page(["tidekeep_store_state 1", "tidekeep_store_log_stalled_ms 4000", "tidekeep_store_snapshot_failing_ms 700000"]);
  assert.deepEqual(model.concerns(ill).map((text) => text.split(":")[0]), [
    "The disk is full",
    "A write or a sync of the log has not returned for 4 s",
    "No snapshot could be written for 11m 40s",
  ]);
});

test("the map has what each node is to each group, and how far behind", () => {
  const node = (id, more) => ({ node: id, state: "active", up: true, heard_ms_ago: 300, client: "h:1", zone: "z", weight: 100, version: "1", replicas: 1, leads: 0, ...more });
  const replica = (id, more) => ({ node: id, votes: true, lag: 0, stopped: null, ...more });
  const group = (name, leader, replicas, more) => ({ group: name, leader, preferred: leader, term: 2, keys: 9, replicas, ...more });
  const status = {
    cluster: "0f", coordinator: 1, replicas: 3, replicas_wanted: 3,
    nodes: [node(1), node(2), node(3, { state: "removed" }), node(4)],
    meta: group(null, 1, [replica(1), replica(2)]),
    groups: [group(0, 2, [replica(1, { lag: 99 }), replica(2), replica(4, { votes: false, lag: 1e6 })], { preferred: 1 })],
    under_way: [{ group: 0, change: "add_learner", node: 4 }],
    waits_for: "a node is missing",
  };
  const [meta, first] = model.mapRows(status);
  assert.deepEqual(meta.cells.map((cell) => cell?.role), ["leads", "follows", undefined]);
  assert.equal(first.leader, "2, to be 1");
  assert.deepEqual(first.cells.map(({ role, lag, bar }) => [role, lag, bar]), [["follows", 99, 0.4], ["leads", 0, 0], ["is filled", 1e6, 1]]);
  assert.deepEqual(model.stepTexts(status), ["Group 0: a replica begins on node 4", "Waits: a node is missing"]);
  assert.deepEqual([null, 400, 90_000].map(model.heardText), ["never heard", "heard now", "heard 1m 30s ago"]);
});
