// What passes the boundary to the module, as src/driver.rs and src/packed.rs draw it: the numbers of what
// is asked and told, and what the records of a turn hold.

import type { Reader } from "./codec.js";
import { toText } from "./entry.js";
import { codeOf, TidekeepError } from "./errors.js";
import type { Outcome } from "./errors.js";
import type { Settlement } from "./queue.js";
import type { ConnectionState, QueueInfo, ServerInfo } from "./types.js";

/** What the instance can be asked for, as `asked` in src/driver.rs. */
export const enum Ask {
  call,
  cancel,
  watch,
  unwatch,
  pause,
  resume,
  keep,
  forget,
  close,
  openQueue,
  enqueue,
  discard,
  view,
}
/** What a turn is about, as `happened` in src/driver.rs. */
export const enum Turn {
  flush,
  tick,
  woke,
  opened,
  closed,
  refused,
  message,
  stored,
  storeFailed,
}
/** What of the instance can be looked at, as `looked` in src/driver.rs. */
export const enum Look {
  save,
  mutations,
  message,
}
/** What a record of a turn is about, as src/packed.rs draws it. */
export const enum About {
  reply = 1,
  failed = 2,
  message = 3,
  reset = 4,
  ended = 5,
  state = 6,
  welcome = 7,
  down = 8,
  lost = 9,
  view = 10,
  stored = 11,
  settled = 12,
  unsettled = 13,
  store = 14,
  queue = 15,
  open = 16,
  close = 17,
}
export const STATES: ConnectionState[] = ["idle", "connecting", "ready", "reconnecting", "closed"];
const OUTCOMES: Outcome[] = ["not-applied", "applied", "unknown"];

/** What begins every record of a mutation's end. */
export function readMutation(record: Reader): Settlement {
  return { id: record.number(), kind: record.byte(), key: record.bytes() };
}

/** How the queue is. */
export function readQueue(record: Reader, durable: boolean): QueueInfo {
  const [waiting, bytes, flags] = [record.number(), record.number(), record.number()];
  return { waiting, bytes, held: !!(flags & 1), failing: !!(flags & 2), durable };
}

/** An error as src/packed.rs draws it. */
export function readError(reader: Reader): TidekeepError {
  const code = codeOf(reader.number());
  const retryable = reader.flag();
  const outcome = OUTCOMES[reader.number()]!;
  const retryAfterMs = reader.number();
  return new TidekeepError(code, toText(reader.bytes()), { retryable, outcome, retryAfterMs });
}

/** What the server said of itself. */
export function readServer(reader: Reader): ServerInfo {
  const protocol = reader.number();
  const limits = {
    keyBytes: reader.number(),
    valueBytes: reader.number(),
    inFlight: reader.number(),
    watches: reader.number(),
    scanEntries: reader.number(),
    txnOperations: reader.number(),
  };
  const [serverId, storeId] = [hex(reader.bytes()), hex(reader.bytes())];
  return { protocol, limits, serverId, storeId, software: toText(reader.bytes()) };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
