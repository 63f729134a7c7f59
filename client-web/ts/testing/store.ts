// The store behind `tidekeep/testing`: entries in the order of their bytes, revisions, conditions,
// ends and leases as docs/protocol.md tells them, in memory and without a log.

import type { Bounds } from "../range.js";

/** An entry as it is kept. */
export interface Kept {
  key: Uint8Array;
  value: Uint8Array;
  created: number;
  modified: number;
  version: number;
  expiresAt: number | undefined;
  lease: number | undefined;
}

export interface Change {
  /** Numbers of events, as on the wire: put, delete, expire. */
  what: 0 | 1 | 2;
  key: Uint8Array;
  entry: Kept | undefined;
  previous: Kept | undefined;
}

/** All that one revision changed. */
export interface Step {
  revision: number;
  changes: Change[];
}

export interface LeaseRow {
  ttlMs: number;
  expiresAt: number;
}

/** What must hold of a key, by the variant's number. */
export type Condition =
  | { is: 0 }
  | { is: 1 }
  | { is: 2 }
  | { is: 3; revision: number }
  | { is: 4; value: Uint8Array };

/** What becomes of a key's end, by the variant's number. */
export type Expiry = { is: 0 } | { is: 1 } | { is: 2 | 3 | 4; number: number };

/** A refusal, by its code's number on the wire. */
export class Refused extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

const STEPS_MAX = 10_000;

export class Store {
  revision = 0;
  readonly leases = new Map<number, LeaseRow>();
  /** The last changes, for watches that come back. */
  readonly steps: Step[] = [];
  readonly #entries = new Map<string, Kept>();
  /** Names of all entries in order. */
  #names: string[] = [];
  readonly #now: () => number;
  readonly #changed: (step: Step) => void;

  constructor(now: () => number, changed: (step: Step) => void) {
    this.#now = now;
    this.#changed = changed;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Uint8Array): Kept | undefined {
    return this.#entries.get(nameOf(key));
  }

  /** The entries of a range, in order. */
  range({ start, end }: Bounds): Kept[] {
    const from = this.#place(nameOf(start));
    const to = end === undefined ? this.#names.length : this.#place(nameOf(end));
    return this.#names.slice(from, to).map((name) => this.#entries.get(name)!);
  }

  /** How many keys go with a lease. */
  keysOf(lease: number): number {
    return this.#with(lease).length;
  }

  /** Does what has become due by now. */
  expire(): void {
    const now = this.#now();
    for (const [lease, { expiresAt }] of this.leases) {
      if (expiresAt <= now) this.endLease(lease, 2);
    }
    const due = [...this.#entries.values()].filter((entry) => (entry.expiresAt ?? Infinity) <= now);
    if (due.length) this.write((step) => due.forEach((entry) => this.#remove(step, entry, 2)));
  }

  /** When something becomes due next. */
  earliest(): number {
    const ends = [...this.#entries.values()].map(({ expiresAt }) => expiresAt ?? Infinity);
    return Math.min(...ends, ...[...this.leases.values()].map(({ expiresAt }) => expiresAt));
  }

  /** Runs one write: all of it, or none if it throws. */
  write<T>(work: (step: Step) => T): { result: T; revision: number } {
    const step: Step = { revision: this.revision + 1, changes: [] };
    let result: T;
    try {
      result = work(step);
    } catch (error) {
      for (const { key, previous } of step.changes.reverse()) this.#set(key, previous);
      throw error;
    }
    if (step.changes.length) this.#commit(step);
    return { result, revision: this.revision };
  }

  /** Whether a condition holds. */
  holds(condition: Condition, entry: Kept | undefined): boolean {
    if (condition.is === 0) return true;
    if (condition.is === 1) return !entry;
    if (!entry || condition.is === 2) return !!entry;
    if (condition.is === 3) return entry.modified === condition.revision;
    return nameOf(entry.value) === nameOf(condition.value);
  }

  put(step: Step, key: Uint8Array, value: Uint8Array, expiry: Expiry): Kept {
    const previous = this.get(key);
    const entry: Kept = {
      key,
      value,
      created: previous?.created ?? step.revision,
      modified: step.revision,
      version: (previous?.version ?? 0) + 1,
      ...this.#end(expiry, previous),
    };
    this.#set(key, entry);
    step.changes.push({ what: 0, key, entry, previous });
    return entry;
  }

  remove(step: Step, entry: Kept): void {
    this.#remove(step, entry, 1);
  }

  grant(ttlMs: number): number {
    if (ttlMs < 200 || ttlMs > 2_592_000_000) throw new Refused(1, "a lease of 200 ms to 30 days");
    this.#commit({ revision: this.revision + 1, changes: [] });
    this.leases.set(this.revision, { ttlMs, expiresAt: this.#now() + ttlMs });
    return this.revision;
  }

  leaseOf(lease: number): LeaseRow {
    const row = this.leases.get(lease);
    if (!row) throw new Refused(3, "there is no such lease");
    return row;
  }

  /** Ends a lease and what goes with it; how many keys that were. */
  endLease(lease: number, what: 1 | 2): number {
    this.leases.delete(lease);
    const keys = this.#with(lease);
    this.write((step) => keys.forEach((entry) => this.#remove(step, entry, what)));
    return keys.length;
  }

  #end(expiry: Expiry, previous: Kept | undefined): Pick<Kept, "expiresAt" | "lease"> {
    if (expiry.is === 0) return { expiresAt: undefined, lease: undefined };
    if (expiry.is === 1) return { expiresAt: previous?.expiresAt, lease: previous?.lease };
    if (expiry.is === 4) {
      this.leaseOf(expiry.number);
      return { expiresAt: undefined, lease: expiry.number };
    }
    const from = expiry.is === 2 ? this.#now() : 0;
    return { expiresAt: from + expiry.number, lease: undefined };
  }

  #with(lease: number): Kept[] {
    return [...this.#entries.values()].filter((entry) => entry.lease === lease);
  }

  #remove(step: Step, entry: Kept, what: 1 | 2): void {
    this.#set(entry.key, undefined);
    step.changes.push({ what, key: entry.key, entry: undefined, previous: entry });
  }

  #set(key: Uint8Array, entry: Kept | undefined): void {
    const name = nameOf(key);
    const there = this.#entries.has(name);
    if (entry) this.#entries.set(name, entry);
    else this.#entries.delete(name);
    if (there === !!entry) return;
    this.#names.splice(this.#place(name), there ? 1 : 0, ...(there ? [] : [name]));
  }

  #place(name: string): number {
    let [low, high] = [0, this.#names.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#names[middle]! < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #commit(step: Step): void {
    this.revision = step.revision;
    this.steps.push(step);
    if (this.steps.length > STEPS_MAX) this.steps.shift();
    this.#changed(step);
  }
}

/** Bytes as text whose order is that of the bytes. */
export function nameOf(bytes: Uint8Array): string {
  let name = "";
  for (const byte of bytes) name += String.fromCharCode(byte);
  return name;
}
