// A window on the keys of a prefix, however many there are: a few runs of rows that are known, each at its
// place in the order of all keys. Pure: it says what to ask the store for, pages and changes go in.
//
// ```text
// rank     0        200                 51,300     51,500                1,000,000
//          ├── run ──┤    not known      ├── run ───┤     not known          │
// ```

import type { Entry } from "tidekeep";

import { toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";
import { rowOf } from "./row.js";
import type { Change, EntryPage, Row } from "./row.js";
import { lowerBound } from "./sorted.js";

/** Rows that are kept at most; those farthest from what is seen go first. */
export const ROWS_MAX = 6000;
/** A run that is nearer than this to a wanted row is grown; else a new one begins there. */
const NEAR = 600;

/** Rows that follow each other without a gap; `first` is the rank of the first of them. */
interface Run {
  first: number;
  rows: Row[];
}

/** What to ask the store for: the rows behind a key or before it, or those from a rank on. */
export type Ask =
  | { kind: "forward"; after: Raw | undefined; first: number }
  | { kind: "backward"; before: Raw; end: number }
  | { kind: "seek"; rank: number };

/** A key whose rank is known: so many keys come before it. */
export interface Anchor {
  readonly rank: number;
  readonly raw: Raw;
}

export class Window {
  /** Keys below the prefix, once they are counted. */
  total: number | undefined;
  #runs: Run[] = [];
  #meanwhile: Change[] = [];
  #asking = false;

  constructor(readonly prefix: Raw) {}

  /** The row at a rank, if it is known. */
  at(rank: number): Row | undefined {
    const run = this.#runs.find(({ first, rows }) => rank >= first && rank < first + rows.length);
    return run?.rows[rank - run.first];
  }

  /** The rank of a key, if it is known. */
  rankOf(raw: Raw): number | undefined {
    for (const { first, rows } of this.#runs) {
      const at = lowerBound(rows, raw);
      if (rows[at]?.raw === raw) return first + at;
    }
    return undefined;
  }

  /** Rows that are known. */
  get known(): number {
    return this.#runs.reduce((sum, { rows }) => sum + rows.length, 0);
  }

  /** What to ask for so that these ranks come to be known; undefined when they are. */
  want(from: number, to: number): Ask | undefined {
    const end = Math.min(to, this.total ?? to);
    let rank = Math.max(0, from);
    while (rank < end) {
      const run = this.#runs.find(({ first, rows }) => rank >= first && rank < first + rows.length);
      if (!run) break;
      rank = run.first + run.rows.length;
    }
    if (rank >= end) return undefined;
    const before = this.#runs.filter(({ first, rows }) => first + rows.length <= rank).at(-1);
    if (before && rank - (before.first + before.rows.length) < NEAR) {
      return { kind: "forward", after: before.rows.at(-1)?.raw, first: before.first + before.rows.length };
    }
    const behind = this.#runs.find(({ first }) => first > rank);
    if (behind && behind.first - rank < NEAR) {
      return { kind: "backward", before: behind.rows[0]!.raw, end: behind.first };
    }
    if (rank < NEAR) return { kind: "forward", after: undefined, first: 0 };
    return { kind: "seek", rank: Math.max(0, rank - 20) };
  }

  /** The known keys nearest to a rank, below and above it. */
  anchors(rank: number): { low: Anchor; high: Anchor | undefined } {
    let low: Anchor = { rank: 0, raw: this.prefix };
    let high: Anchor | undefined;
    for (const { first, rows } of this.#runs) {
      const last = first + rows.length - 1;
      if (last <= rank && last >= low.rank) low = { rank: last, raw: rows.at(-1)!.raw };
      else if (first <= rank && first >= low.rank) low = { rank: first, raw: rows[0]!.raw };
      if (first > rank && !high) high = { rank: first, raw: rows[0]!.raw };
    }
    return { low, high };
  }

  /** Something is asked for: changes are kept until it is there. */
  begin(): void {
    this.#asking = true;
    this.#meanwhile = [];
  }

  /** Nothing came of it. */
  fail(): void {
    this.#asking = false;
    this.#meanwhile = [];
  }

  /** Puts the answer in, and goes over what happened since it was read; `more` as the store said it. */
  install(ask: Exclude<Ask, { kind: "seek" }>, page: EntryPage, more: boolean): void {
    this.#asking = false;
    const rows = page.items.map((entry) => rowOf(entry, 0));
    if (ask.kind === "backward") rows.reverse();
    const first = ask.kind === "forward" ? this.#endOf(ask) : this.#beginOf(ask, rows.length, more);
    this.#join({ first, rows });
    for (const change of this.#meanwhile) if (change.revision > page.revision) this.#replay(change);
    this.#meanwhile = [];
    if (ask.kind === "backward" || more) return;
    // The store's own end is better than any count.
    const end = rows.at(-1)?.raw ?? ask.after ?? this.prefix;
    this.#runs = this.#runs.filter((run) => run.rows[0]!.raw <= end);
    const last = this.#runs.at(-1);
    this.total = last ? last.first + last.rows.length : 0;
  }

  /** Takes a change over that was seen at `now`; says whether anything is different. */
  apply(change: Change, now: number): boolean {
    const raw = toRaw(change.keyBytes);
    if (!raw.startsWith(this.prefix)) return false;
    if (this.#asking) this.#meanwhile.push(change);
    if (change.type === "put") this.#put(raw, change.entry, now);
    else this.#remove(raw);
    return true;
  }

  /** Forgets rows far away from those that are seen. */
  trim(from: number, to: number): void {
    const middle = (from + to) / 2;
    const distance = ({ first, rows }: Run) => Math.max(first - middle, middle - (first + rows.length), 0);
    while (this.known > ROWS_MAX && this.#runs.length > 1) {
      const farthest = this.#runs.reduce((a, b) => (distance(a) > distance(b) ? a : b));
      this.#runs.splice(this.#runs.indexOf(farthest), 1);
    }
    const [run] = this.#runs;
    if (!run || run.rows.length <= ROWS_MAX) return;
    const start = Math.max(0, Math.min(Math.floor(middle - run.first - ROWS_MAX / 2), run.rows.length - ROWS_MAX));
    run.rows = run.rows.slice(start, start + ROWS_MAX);
    run.first += start;
  }

  #put(raw: Raw, entry: Entry, now: number): void {
    const index = this.#runUpTo(raw);
    const run = this.#runs[index];
    const at = run ? lowerBound(run.rows, raw) : 0;
    const known = run?.rows[at];
    if (known?.raw === raw) {
      if (known.revision < entry.revision) run!.rows[at] = rowOf(entry, now);
      return;
    }
    if (entry.version > 1) return;
    // Where its neighbours are not known, the key is only counted.
    if (run && (at > 0 || run.first === 0)) {
      run.rows.splice(at, 0, rowOf(entry, now));
      this.#shift(index + 1, 1);
    } else if (run) {
      this.#shift(index, 1);
    } else {
      const last = this.#runs.at(-1);
      const ends = last && last.first + last.rows.length === this.total;
      if (ends) last.rows.push(rowOf(entry, now));
      else if (!last && this.total === 0) this.#runs = [{ first: 0, rows: [rowOf(entry, now)] }];
    }
    if (this.total !== undefined) this.total += 1;
  }

  #remove(raw: Raw): void {
    const index = this.#runUpTo(raw);
    const run = this.#runs[index];
    if (run) {
      const at = lowerBound(run.rows, raw);
      const there = run.rows[at]?.raw === raw;
      // Between known rows every key is known: one that is not was gone before.
      if (!there && (at > 0 || run.first === 0)) return;
      if (there) this.#takeOut(index, at);
      this.#shift(this.#runs.indexOf(run) + (there ? 1 : 0), -1);
    }
    if (this.total !== undefined) this.total = Math.max(0, this.total - 1);
  }

  /** Takes over what happened after a page was read, and was counted when it happened. */
  #replay(change: Change): void {
    const raw = toRaw(change.keyBytes);
    const index = this.#runs.findIndex(({ rows }) => rows[0]!.raw <= raw && raw <= rows.at(-1)!.raw);
    const run = this.#runs[index];
    if (!run) return;
    const at = lowerBound(run.rows, raw);
    const there = run.rows[at]?.raw === raw;
    if (change.type !== "put") {
      if (there && run.rows[at]!.revision < change.revision) this.#takeOut(index, at);
    } else if (!there || run.rows[at]!.revision < change.revision) {
      run.rows.splice(at, there ? 1 : 0, rowOf(change.entry, 0));
    }
  }

  #takeOut(index: number, at: number): void {
    const { rows } = this.#runs[index]!;
    rows.splice(at, 1);
    if (rows.length === 0) this.#runs.splice(index, 1);
  }

  /** The first run that does not end before a key; -1 if all do. */
  #runUpTo(raw: Raw): number {
    return this.#runs.findIndex(({ rows }) => raw <= rows.at(-1)!.raw);
  }

  /** Moves the runs from the `index`th on. */
  #shift(index: number, by: number): void {
    for (const run of this.#runs.slice(Math.max(0, index))) run.first = Math.max(0, run.first + by);
  }

  /** Where rows begin that follow a key: its run may have moved since they were asked for. */
  #endOf({ after, first }: Extract<Ask, { kind: "forward" }>): number {
    const run = this.#runs.find(({ rows }) => rows.at(-1)!.raw === after);
    return run ? run.first + run.rows.length : first;
  }

  /** Where rows begin that end before a key. At the very first key, ranks that drifted are put right. */
  #beginOf({ before, end }: Extract<Ask, { kind: "backward" }>, count: number, more: boolean): number {
    const index = this.#runs.findIndex(({ rows }) => rows[0]!.raw === before);
    const at = this.#runs[index]?.first ?? end;
    const first = more ? Math.max(1, at - count) : 0;
    const drift = first + count - at;
    if (drift !== 0 && index >= 0) this.#shift(index, drift);
    return first;
  }

  /** Takes rows in; where they touch or cover others, all become one run. */
  #join(added: Run): void {
    if (added.rows.length === 0) return;
    let merged = added;
    const apart: Run[] = [];
    for (const run of this.#runs) {
      const touches =
        run.rows[0]!.raw <= merged.rows.at(-1)!.raw && run.rows.at(-1)!.raw >= merged.rows[0]!.raw;
      const follows =
        run.first + run.rows.length === merged.first || merged.first + merged.rows.length === run.first;
      if (touches || follows) merged = union(run, merged);
      else apart.push(run);
    }
    this.#runs = [...apart, merged].sort((a, b) => (a.rows[0]!.raw < b.rows[0]!.raw ? -1 : 1));
    this.#settle();
  }

  /** Ranks that drifted must not let runs cover each other's places. */
  #settle(): void {
    let end = 0;
    for (const run of this.#runs) {
      run.first = Math.max(run.first, end);
      end = run.first + run.rows.length;
    }
    if (this.total !== undefined && this.total < end) this.total = end;
  }
}

/** Both as one. What was read is whole between its ends; a row that is known to be newer stays. */
function union(known: Run, read: Run): Run {
  const from = lowerBound(known.rows, read.rows[0]!.raw);
  const last = read.rows.at(-1)!.raw;
  let to = lowerBound(known.rows, last);
  if (known.rows[to]?.raw === last) to += 1;
  const covered = known.rows.slice(from, to);
  const newest = (row: Row) => {
    const other = covered[lowerBound(covered, row.raw)];
    return other?.raw === row.raw && other.revision >= row.revision ? other : row;
  };
  return {
    first: from > 0 ? known.first : read.first,
    rows: [...known.rows.slice(0, from), ...read.rows.map(newest), ...known.rows.slice(to)],
  };
}
