// What a person wants to know of a server first: a row of figures as they are now, and what somebody
// should look at, by the rules of docs/operations.md. Pure.

import type { Figures } from "./prometheus.js";
import { unitText } from "./scale.js";
import { countdown } from "./time.js";
import { countText } from "./value.js";

const STALLED_MS = 1000;
const SNAPSHOT_FAILING_MS = 600_000;

/** Names and values, in the order in which they are read. */
export function headline(figures: Figures): [name: string, value: string][] {
  const store = (name: string) => figures.one(`tidekeep_store_${name}`);
  const count = (value: number | undefined) => (value === undefined ? "–" : countText(value));
  const limit = store("memory_limit_bytes");
  const memory = unitText(store("memory_bytes"), "bytes");
  return [
    ["Keys", count(store("keys"))],
    ["that end", count(store("keys_ending"))],
    ["Revision", count(store("revision"))],
    ["Connections", count(figures.sum("tidekeep_connections"))],
    ["Watches", count(figures.one("tidekeep_watches"))],
    ["Leases", count(store("leases"))],
    ["Memory", limit ? `${memory} of ${unitText(limit, "bytes")}` : memory],
    ["Log since snapshot", unitText(store("log_bytes_since_snapshot"), "bytes")],
    ["Up for", countdown((figures.one("tidekeep_uptime_seconds") ?? 0) * 1000)],
  ];
}

/** What is wrong, each with what to do about it; nothing on a good day. */
export function concerns(figures: Figures): string[] {
  const store = (name: string) => figures.one(`tidekeep_store_${name}`) ?? 0;
  const found: string[] = [];
  if (store("state") === 1) {
    found.push("The disk is full: writes are refused, reads and deletes still work; free space on the server's disk.");
  }
  if (store("state") === 2) found.push("The storage has failed and the server ends: the server's log says what failed on its disk.");
  if (store("log_stalled_ms") > STALLED_MS) {
    const since = unitText(store("log_stalled_ms"), "ms");
    found.push(`A write or a sync of the log has not returned for ${since}: the disk is failing, or far too slow.`);
  }
  if (store("snapshot_failing_ms") > SNAPSHOT_FAILING_MS) {
    const since = countdown(store("snapshot_failing_ms"));
    found.push(`No snapshot could be written for ${since}: the log is not shortened. The server's log says why.`);
  }
  return found;
}
