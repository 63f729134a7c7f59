// Leases as their holders have them: kept alive by the core while the page lives, with a signal for
// their loss; and locks, which are a key that goes with a lease.

import { Kind } from "./codec.js";
import type { Writer } from "./codec.js";
import type { Connection } from "./connection.js";
import { TidekeepError } from "./errors.js";
import * as replies from "./replies.js";
import type { CallOptions, Lease, Lock } from "./types.js";

/** A lease as the client itself has it. */
export interface HeldLease extends Lease {
  /** Takes it for lost, unless it was revoked. */
  lose(reason: unknown): void;
}

/** Grants a lease and begins to keep it alive. */
export async function grant(engine: Connection, ttlMs: number, options?: CallOptions): Promise<HeldLease> {
  const sent = performance.now();
  const write = (to: Writer) => to.count(ttlMs, "ttlMs");
  const id = await engine.call(Kind.leaseGrant, write, replies.granted, options, true);
  const lost = new AbortController();
  let over = false;
  const end = () => {
    if (over) return true;
    over = true;
    engine.forget(id);
    return false;
  };
  const lease: HeldLease = {
    id,
    ttlMs,
    signal: lost.signal,
    lose: (reason) => end() || lost.abort(reason),
    async revoke() {
      if (end()) return;
      try {
        await revoke(engine, id);
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    },
    [Symbol.asyncDispose]: () => lease.revoke(),
  };
  engine.keep(id, ttlMs, sent, lease.lose);
  return lease;
}

/** Ends a lease, whoever holds it; gives how many keys went with it. */
export function revoke(engine: Connection, lease: number, options: CallOptions = {}): Promise<number> {
  const write = (to: Writer) => to.count(lease, "lease");
  return engine.call(Kind.leaseRevoke, write, replies.revoked, options, true);
}

/** A lock that is held: its key goes with the lease. */
export function held(fencing: number, { signal, revoke }: Lease): Lock {
  return { fencing, signal, release: revoke, [Symbol.asyncDispose]: revoke };
}

/** Whether the server knows no such lease (any more). */
export function isGone(error: unknown): boolean {
  return error instanceof TidekeepError && error.code === "not-found";
}

