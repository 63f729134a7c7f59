// Leases of a tab that shares a connection. The tab keeps them alive itself, by calls that go to
// whichever leader there is: so they outlive leaders, and each counts from an answered call of its
// own. The times are those of client-core/src/leases.rs.

import type { Connection } from "../connection.js";
import type { TidekeepError } from "../errors.js";

const KEEP_ALIVE = 0x1c;
/** A keep-alive is due when this part of the time is over, or of what is left after a refusal. */
const DUE = 1 / 3;
const DUE_REFUSED = 1 / 10;
/** The part of the time that is counted on. */
const SURE = 9 / 10;

interface Kept {
  ttlMs: number;
  since: number;
  timer: ReturnType<typeof setTimeout>;
  lost(error: TidekeepError): void;
}

export class KeptLeases {
  readonly #connection: Connection;
  readonly #kept = new Map<number, Kept>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  keep(lease: number, ttlMs: number, since: number, lost: (error: TidekeepError) => void): void {
    const kept: Kept = { ttlMs, since, lost, timer: 0 as unknown as Kept["timer"] };
    this.#kept.set(lease, kept);
    this.#wait(lease, kept, since + ttlMs * DUE);
  }

  forget(lease: number): void {
    clearTimeout(this.#kept.get(lease)?.timer);
    this.#kept.delete(lease);
  }

  /** All are lost. */
  end(error: TidekeepError): void {
    for (const [lease, kept] of this.#kept) this.#lose(lease, kept, error);
  }

  #wait(lease: number, kept: Kept, until: number): void {
    kept.timer = setTimeout(() => void this.#renew(lease, kept), until - performance.now());
  }

  async #renew(lease: number, kept: Kept): Promise<void> {
    const made = performance.now();
    const end = kept.since + kept.ttlMs * SURE;
    const timeoutMs = Math.max(1, end - made);
    try {
      const read = (reply: { rest(): unknown }) => reply.rest();
      await this.#connection.call(KEEP_ALIVE, (to) => to.number(lease), read, { timeoutMs });
      if (this.#kept.get(lease) !== kept) return;
      kept.since = made;
      this.#wait(lease, kept, made + kept.ttlMs * DUE);
    } catch (cause) {
      if (this.#kept.get(lease) !== kept) return;
      const error = cause as TidekeepError;
      const now = performance.now();
      const gone = error.code === "not-found" || now >= end;
      if (gone) this.#lose(lease, kept, error);
      else this.#wait(lease, kept, Math.min(end, now + kept.ttlMs * DUE_REFUSED));
    }
  }

  #lose(lease: number, kept: Kept, error: TidekeepError): void {
    this.forget(lease);
    kept.lost(error);
  }
}
