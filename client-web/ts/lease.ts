// Leases as their holders have them: kept alive while the page lives, with a signal for their loss;
// and locks, which are a key that goes with a lease.

import { Kind } from "./codec.js";
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

export class HeldLease implements Lease {
  readonly #engine: Engine;
  readonly #lost = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(
    engine: Engine,
    readonly id: number,
    readonly ttlMs: number,
    sent: number,
  ) {
    this.#engine = engine;
    this.#wait(sent);
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  async revoke(): Promise<void> {
    if (this.#over) return;
    this.#end();
    try {
      await this.#ask(Kind.leaseRevoke, 2);
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

  /** Until a third of the time is over that began when the last answered request was sent. */
  #wait(sent: number): void {
    this.#keepIn(sent + this.ttlMs / 3 - performance.now(), sent);
  }

  #keepIn(delayMs: number, sent: number): void {
    if (this.#over) return;
    this.#timer = setTimeout(() => void this.#keep(sent), Math.min(delayMs, 2 ** 31 - 1));
    // A lease alone keeps no Node process alive.
    (this.#timer as { unref?(): void }).unref?.();
  }

  /** `sent` is when the request was sent that was answered last: the lease is sure from then on. */
  async #keep(sent: number): Promise<void> {
    const now = performance.now();
    const timeoutMs = sent + this.ttlMs - now;
    try {
      if (timeoutMs <= 0) throw new TidekeepError("timeout", "the lease was not kept alive in time");
      await this.#ask(Kind.leaseKeepAlive, 4, { timeoutMs });
      this.#wait(now);
    } catch (error) {
      // What the server refused for now may be asked again, as long as there is time.
      const final = isGone(error) || (error as TidekeepError).code === "closed";
      if (final || performance.now() >= sent + this.ttlMs) this.lose(error);
      else this.#keepIn(this.ttlMs / 10, sent);
    }
  }

  #ask(kind: number, numbers: number, options?: CallOptions): Promise<void> {
    const read = replies.skipped(numbers);
    return this.#engine.call(kind, (to) => to.number(this.id), read, options, true);
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#timer);
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

