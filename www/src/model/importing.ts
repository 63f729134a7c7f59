// An import before it is done: what each line of a file would do to the store, counted and listed, and
// the writes cut into bounded transactions. Pure: records and entries go in.

import type { Entry } from "tidekeep";

import type { ImportRecord } from "./record.js";
import type { Raw } from "./bytes.js";

/**
 * What a line would do: `conflict` writes over an entry that is newer than the one in the file; `over`
 * is of an entry whose time has passed.
 */
export type Verdict = "new" | "changed" | "same" | "conflict" | "over";

export const VERDICTS: readonly Verdict[] = ["new", "changed", "same", "conflict", "over"];
/** What is written unless somebody chooses otherwise. */
export const USUAL: readonly Verdict[] = ["new", "changed"];

/** A line that would change something, as it is listed. */
export interface Listed {
  readonly line: number;
  readonly raw: Raw;
  readonly verdict: Verdict;
  readonly bytes: number;
  /** The entry that is there. */
  readonly there: { readonly revision: number; readonly bytes: number } | undefined;
  /** The revision that the file says the entry had. */
  readonly revision: number | undefined;
}

/** A line that is no record. */
export interface Problem {
  readonly line: number;
  readonly why: string;
}

/** Most records of one import: what is remembered of each is held in the page. */
export const RECORDS_MAX = 500_000;
/** Most lines and problems that are listed; all are counted. */
export const LISTED_MAX = 300;
/** Most writes and bytes of one transaction. */
export const BATCH_WRITES = 128;
export const BATCH_BYTES = 256 << 10;

/** What a record would do to the entry that is there. */
export function judge(record: ImportRecord, entry: Entry | undefined, now: number): Verdict {
  if (record.expiresAt !== undefined && record.expiresAt <= now) return "over";
  if (!entry) return "new";
  const sameEnd = entry.expiresAt === record.expiresAt && entry.lease === undefined;
  if (sameEnd && equal(entry.value, record.value)) return "same";
  return record.revision !== undefined && entry.revision > record.revision ? "conflict" : "changed";
}

/** A dry run, record by record. Of lines with the same key the last one counts. */
export class Survey {
  readonly counts: Record<Verdict, number> = { new: 0, changed: 0, same: 0, conflict: 0, over: 0 };
  readonly listed: Listed[] = [];
  readonly problems: Problem[] = [];
  /** Lines that are no record, listed or not. */
  bad = 0;
  /** Lines whose key comes again further down. */
  doubled = 0;
  records = 0;
  /** Per record: its verdict, or `SKIPPED`. */
  readonly #verdicts: (Verdict | undefined)[] = [];
  /** Per record: the revision that it was judged against; 0 where there was no entry. */
  readonly #seen: number[] = [];
  readonly #last = new Map<Raw, number>();

  /** Takes a record over with what it would do. */
  add(line: number, record: ImportRecord, entry: Entry | undefined, now: number): void {
    const verdict = judge(record, entry, now);
    const earlier = this.#last.get(record.raw);
    if (earlier !== undefined) this.#forget(earlier);
    this.#last.set(record.raw, this.records);
    this.#verdicts.push(verdict);
    this.#seen.push(entry?.revision ?? 0);
    this.records += 1;
    this.counts[verdict] += 1;
    if (verdict === "same" || this.listed.length >= LISTED_MAX) return;
    const there = entry && { revision: entry.revision, bytes: entry.value.length };
    const { raw, value, revision } = record;
    this.listed.push({ line, raw, verdict, bytes: value.length, there, revision });
  }

  problem(line: number, why: string): void {
    this.bad += 1;
    if (this.problems.length < LISTED_MAX) this.problems.push({ line, why });
  }

  /** What the record at this place does; undefined when a later line has its key. */
  verdict(place: number): Verdict | undefined {
    return this.#verdicts[place];
  }

  /** The revision that the key had in the dry run; 0 when there was no entry. */
  seen(place: number): number {
    return this.#seen[place] ?? 0;
  }

  #forget(place: number): void {
    const verdict = this.#verdicts[place];
    if (verdict) this.counts[verdict] -= 1;
    this.#verdicts[place] = undefined;
    this.doubled += 1;
  }
}

/** A write that is wanted: applied only if the key is as it was in the dry run. */
export interface Wanted {
  readonly line: number;
  readonly record: ImportRecord;
  readonly seen: number;
}

/** Collects writes into batches of bounded number and size. */
export class Batches {
  #batch: Wanted[] = [];
  #bytes = 0;

  constructor(
    readonly writesMax = BATCH_WRITES,
    readonly bytesMax = BATCH_BYTES,
  ) {}

  /** Takes a write; gives the batch that is full without it, if one is. */
  add(wanted: Wanted): Wanted[] | undefined {
    const bytes = wanted.record.key.length + wanted.record.value.length;
    const full = this.#batch.length >= this.writesMax || this.#bytes + bytes > this.bytesMax;
    const done = full && this.#batch.length > 0 ? this.take() : undefined;
    this.#batch.push(wanted);
    this.#bytes += bytes;
    return done;
  }

  /** What is left. */
  take(): Wanted[] {
    const batch = this.#batch;
    this.#batch = [];
    this.#bytes = 0;
    return batch;
  }
}

/** The condition under which a write still does what the dry run said. */
export function conditionOf({ seen }: Wanted): { ifAbsent: true } | { ifRevision: number } {
  return seen === 0 ? { ifAbsent: true } : { ifRevision: seen };
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
