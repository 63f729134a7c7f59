// Who is connected, as `/sessions` tells it, and the words that the page has for it. Pure.

import { unitText } from "./scale.js";
import { countdown } from "./time.js";
import { countText } from "./value.js";

/** What the page reads of a connection; there is more in it. */
export interface Connected {
  readonly id: number;
  readonly transport: string;
  readonly address: string;
  readonly client: string;
  readonly since_ms: number;
  readonly idle_ms: number;
  readonly watches: number;
  readonly calls: number;
  readonly buffer_bytes: number;
  readonly received_bytes: number;
  readonly sent_bytes: number;
}

export interface Sessions {
  readonly node: number | null;
  readonly connections: number;
  readonly remembered: number;
  readonly sessions: readonly Connected[];
}

/** Where the server tells the oldest so many. */
export const SESSIONS_PATH = "/sessions?limit=200";

/** What the columns behind a connection's address and client are called. */
export const COLUMNS = ["via", "open", "watches", "calls", "idle", "held", "received", "sent"];

/** The values of these columns. */
export function cells(row: Connected, now: number): string[] {
  const bytes = (count: number) => unitText(count, "bytes");
  return [
    row.transport,
    countdown(now - row.since_ms),
    countText(row.watches),
    countText(row.calls),
    countdown(row.idle_ms),
    bytes(row.buffer_bytes),
    bytes(row.received_bytes),
    bytes(row.sent_bytes),
  ];
}

/** How many there are in all. */
export function totals({ node, connections, remembered, sessions }: Sessions): string {
  const more = sessions.length < connections ? `, the first ${sessions.length} are shown` : "";
  const where = node === null ? "" : ` of node ${node}`;
  return `${countText(connections)} open${where}${more}; ${countText(remembered)} remembered`;
}
