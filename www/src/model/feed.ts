// The live feed: what changed below a prefix, newest last, in bounded memory; how many changes a second,
// and what comes while somebody holds it to read. Pure: changes and times go in.

import { escapeKey, toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";
import type { Change } from "./row.js";
import { preview } from "./value.js";

/** A change as the feed shows it; the value itself is not kept. */
export interface FeedLine {
  /** The server's time at which the page saw it; undefined of what was before. */
  readonly at: number | undefined;
  readonly type: Change["type"];
  readonly raw: Raw;
  readonly key: string;
  readonly preview: string;
  readonly revision: number;
}

/** How far back the rate is shown, in seconds. */
export const RATE_SECONDS = 60;
/** Lines kept, and as many more while the feed is held. */
export const LINES_MAX = 2000;

export class Feed {
  #lines: FeedLine[] = [];
  #held: FeedLine[] | undefined;
  /** Changes by second, the newest last; `#second` is that one. */
  #rates: number[] = new Array<number>(RATE_SECONDS).fill(0);
  #second = 0;
  #prefix: Raw = "";
  #needle = "";
  /** Changes that passed since the page was opened or the feed cleared. */
  seen = 0;
  /** Lines that came while it was held and are no longer kept. */
  lost = 0;

  get held(): boolean {
    return this.#held !== undefined;
  }

  /** How many lines wait behind the hold. */
  get waiting(): number {
    return (this.#held?.length ?? 0) + this.lost;
  }

  get prefix(): Raw {
    return this.#prefix;
  }

  /** Follows another prefix, or what has another text in its key. Lines stay, so one can go back. */
  choose(prefix: Raw, needle: string): void {
    if (prefix === this.#prefix && needle.toLowerCase() === this.#needle) return;
    this.#prefix = prefix;
    this.#needle = needle.toLowerCase();
    this.#rates.fill(0);
    this.seen = this.#lines.filter((line) => this.passes(line)).length;
  }

  add(change: Change, at: number): void {
    const line = lineOf(change, at);
    if (this.passes(line)) {
      this.seen += 1;
      this.#advance(at);
      this.#rates[RATE_SECONDS - 1]! += 1;
    }
    if (this.#held) this.lost += push(this.#held, [line]);
    else push(this.#lines, [line]);
  }

  /** Begins with changes that were before, oldest first, as far as they fit; what came meanwhile follows them. */
  begin(past: readonly FeedLine[]): void {
    const known = new Set(past.map(idOf));
    const lines = [...past, ...this.#lines.filter((line) => line.at && !known.has(idOf(line)))];
    this.#lines = lines.slice(-LINES_MAX);
    this.seen = lines.filter((line) => this.passes(line)).length;
  }

  /** Keeps what is shown as it is. */
  hold(): void {
    this.#held ??= [];
  }

  /** Shows what came meanwhile, and goes on. */
  release(): void {
    push(this.#lines, this.#held ?? []);
    this.#held = undefined;
    this.lost = 0;
  }

  clear(): void {
    this.#lines = [];
    if (this.#held) this.#held = [];
    this.lost = 0;
    this.seen = 0;
  }

  /** What passes, newest first, at most so many. */
  newest(most: number): FeedLine[] {
    const found: FeedLine[] = [];
    for (let at = this.#lines.length - 1; at >= 0 && found.length < most; at--) {
      const line = this.#lines[at]!;
      if (this.passes(line)) found.push(line);
    }
    return found;
  }

  /** Changes in each of the last seconds, the newest last and not yet over. */
  rates(now: number): readonly number[] {
    this.#advance(now);
    return this.#rates;
  }

  passes({ raw, key }: FeedLine): boolean {
    return raw.startsWith(this.#prefix) && (this.#needle === "" || key.toLowerCase().includes(this.#needle));
  }

  #advance(at: number): void {
    const second = Math.floor(at / 1000);
    const passed = Math.min(RATE_SECONDS, second - this.#second);
    if (passed <= 0) return;
    this.#rates = [...this.#rates.slice(passed), ...new Array<number>(passed).fill(0)];
    this.#second = second;
  }
}

/** A change as a line. */
export function lineOf(change: Change, at?: number): FeedLine {
  const raw = toRaw(change.keyBytes);
  const shown = change.type === "put" ? preview(change.entry.value) : "";
  return { at, type: change.type, raw, key: escapeKey(raw), preview: shown, revision: change.revision };
}

/** What tells a line from all others. */
export function idOf({ revision, raw, type }: FeedLine): string {
  return `${revision} ${type} ${raw}`;
}

/** Adds lines and lets the oldest go; how many went. */
export function push(lines: FeedLine[], more: readonly FeedLine[]): number {
  lines.push(...more);
  // Many at a time: to shift each by itself would cost more than to keep a few more.
  if (lines.length < LINES_MAX * 1.25) return 0;
  return lines.splice(0, lines.length - LINES_MAX).length;
}
