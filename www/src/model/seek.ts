// The key with a given rank, found in an ordered store that can count a range and read from a key: by
// guessing between two keys whose ranks are known, each time between nearer ones. Pure but for what it asks.

import type { Raw } from "./bytes.js";
import type { Anchor } from "./window.js";

/** What it asks of the store. */
export interface Ranked {
  /** How many keys there are from `start` up to and without `end`. */
  count(start: Raw, end: Raw): Promise<number>;
  /** The first key at or behind a key; undefined when there is none. */
  keyFrom(raw: Raw): Promise<Raw | undefined>;
  /** The last key before a key; undefined when there is none. */
  keyBefore(raw: Raw): Promise<Raw | undefined>;
  /** The key so many places behind a key; the last one when there are fewer. */
  skip(raw: Raw, places: number): Promise<{ raw: Raw; places: number } | undefined>;
}

/** So many keys are walked over rather than guessed between. */
export const WALK = 2000;
const ROUNDS_MAX = 40;
/** Bytes behind what two keys share that a guess looks at. */
const DIGITS = 6;

/** The key of this rank. `low` is a key that is not behind it, `high` one that is not before it, or bounds. */
export async function seek(store: Ranked, rank: number, low: Anchor, high: Anchor): Promise<Anchor> {
  let [from, to] = [low, high];
  for (let round = 0; round < ROUNDS_MAX && rank - from.rank > WALK && to.rank - from.rank > WALK; round++) {
    // Guesses by proportion, and every third one in the middle: keys are seldom spread evenly.
    const share = round % 3 === 2 ? 0.5 : (rank - from.rank) / (to.rank - from.rank);
    const guess = between(from.raw, to.raw, Math.min(Math.max(share, 0.02), 0.98));
    if (guess <= from.raw || guess >= to.raw) break;
    // Both neighbours of the guess: what lies between them is empty, and never looked at again.
    const [places, next, last] = await Promise.all([
      store.count(from.raw, guess),
      store.keyFrom(guess),
      store.keyBefore(guess),
    ]);
    const at = from.rank + places;
    if (at > rank) to = { rank: at - 1, raw: last ?? from.raw };
    else if (next !== undefined && next < to.raw) from = { rank: at, raw: next };
    else break;
  }
  let left = rank - from.rank;
  while (left > 0) {
    const step = await store.skip(from.raw, Math.min(left, WALK * 4));
    if (!step || step.places === 0) break;
    from = { rank: from.rank + step.places, raw: step.raw };
    left -= step.places;
  }
  return from;
}

/** A key between two others, as far from the first as `share` says when bytes are read as digits. */
export function between(low: Raw, high: Raw, share: number): Raw {
  let same = 0;
  while (same < low.length && low[same] === high[same]) same++;
  const [from, to] = [digits(low, same), digits(high, same)];
  let value = from + (to - from) * share;
  let tail = "";
  for (let at = DIGITS - 1; at >= 0; at--) {
    const unit = 256 ** at;
    const digit = Math.min(255, Math.floor(value / unit));
    value -= digit * unit;
    tail += String.fromCharCode(digit);
  }
  return high.slice(0, same) + tail;
}

function digits(raw: Raw, from: number): number {
  let value = 0;
  for (let at = 0; at < DIGITS; at++) {
    const code = raw.charCodeAt(from + at);
    value = value * 256 + (Number.isNaN(code) ? 0 : code);
  }
  return value;
}
