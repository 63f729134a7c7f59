// Leases as their holders have them: kept alive by the core while the page lives, with a signal for
// their loss; and locks, which are a key that goes with a lease.

import { Kind } from "./codec.js";
import type { Writer } from "./codec.js";
import type { Engine } from "./engine.js";
import { TidekeepError } from "./errors.js";
import * as replies from "./replies.js";
import type { CallOptions, Lease, Lock } from "./types.js";

/** Grants a lease and begins to keep it alive. */
export async function grant(engine: Engine, ttlMs: number, options?: CallOptions): Promise<HeldLease> {
  const sent = performance.now();
  const id = await engine.call(
    Kind.leaseGrant,
    (to) => to.count(ttlMs, "ttlMs"),
    replies.granted,
    options,
    true,
  );
  return new HeldLease(engine, id, ttlMs, sent);
}

/** Ends a lease, whoever holds it; gives how many keys went with it. */
export function revoke(engine: Engine, lease: number, options: CallOptions = {}): Promise<number> {
  const write = (to: Writer) => to.count(lease, "lease");
  return engine.call(Kind.leaseRevoke, write, replies.revoked, options, true);
}

export class HeldLease implements Lease {
  readonly #engine: Engine;
  readonly #lost = new AbortController();
  #over = false;

  constructor(
    engine: Engine,
    readonly id: number,
    readonly ttlMs: number,
    sent: number,
  ) {
    this.#engine = engine;
    engine.keep(id, ttlMs, sent, (error) => this.lose(error));
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  async revoke(): Promise<void> {
    if (this.#over) return;
    this.#end();
    try {
      await revoke(this.#engine, this.id);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.revoke();
  }

  /** Takes it for lost, unless it was revoked. */
  lose(reason: unknown): void {
    if (this.#over) return;
    this.#end();
    this.#lost.abort(reason);
  }

  #end(): void {
    this.#over = true;
    this.#engine.forget(this.id);
  }
}

/** A lock that is held. */
export class HeldLock implements Lock {
  readonly #lease: HeldLease;

  constructor(
    readonly fencing: number,
    lease: HeldLease,
  ) {
    this.#lease = lease;
  }

  get signal(): AbortSignal {
    return this.#lease.signal;
  }

  release(): Promise<void> {
    return this.#lease.revoke();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/** Whether the server knows no such lease (any more). */
export function isGone(error: unknown): boolean {
  return error instanceof TidekeepError && error.code === "not-found";
}

