// What became of one text to make another: the shortest script of lines or words, by Myers' algorithm, with
// a bound on the work. Pure.

import { formOf, prettyJson, survivesPretty, toHex } from "./value.js";

/** A piece that stayed, went or came. */
export interface Piece {
  readonly kind: "same" | "gone" | "new";
  readonly text: string;
}

/** How two values differ, in the form that tells most about both. */
export interface Diff {
  readonly pieces: Piece[];
  /** Whether the pieces are lines; else they follow each other as words. */
  readonly lines: boolean;
  readonly gone: number;
  readonly came: number;
}

/** Differences beyond which the rest is shown as replaced. */
const DIFFERENCES_MAX = 1000;

/** How one value became another; undefined where there was none. */
export function diffValues(before: Uint8Array | undefined, after: Uint8Array | undefined): Diff {
  const [a, b] = [before ?? new Uint8Array(), after ?? new Uint8Array()];
  const binary = [a, b].some((value) => formOf(value) === "hex");
  const texts = [a, b].map((value) => (binary ? toHex(value) : new TextDecoder().decode(value)));
  const json = !binary && [a, b].every((value) => formOf(value) === "json" || value.length === 0);
  const shown = json && texts.every((text) => text === "" || survivesPretty(text)) ? texts.map(pretty) : texts;
  return diffTexts(shown[0]!, shown[1]!);
}

/** How one text became another: by lines, or by words where both are a single line. */
export function diffTexts(before: string, after: string): Diff {
  const lines = /\n/.test(before) || /\n/.test(after);
  const parts = lines ? linesOf : wordsOf;
  const pieces = diff(parts(before), parts(after));
  const count = (kind: Piece["kind"]) => pieces.filter((piece) => piece.kind === kind).length;
  return { pieces, lines, gone: count("gone"), came: count("new") };
}

export function linesOf(text: string): string[] {
  return text === "" ? [] : text.split("\n");
}

/** The shortest script from one list to another. */
export function diff(before: readonly string[], after: readonly string[]): Piece[] {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  const most = Math.min(before.length, after.length) - head;
  while (tail < most && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const a = before.slice(head, before.length - tail);
  const b = after.slice(head, after.length - tail);
  return [
    ...before.slice(0, head).map(same),
    ...(script(a, b) ?? [...a.map(gone), ...b.map(came)]),
    ...before.slice(before.length - tail).map(same),
  ];
}

const same = (text: string): Piece => ({ kind: "same", text });
const gone = (text: string): Piece => ({ kind: "gone", text });
const came = (text: string): Piece => ({ kind: "new", text });

/** Myers' greedy search, each round kept for the way back; undefined when they differ too much. */
function script(a: readonly string[], b: readonly string[]): Piece[] | undefined {
  const most = Math.min(a.length + b.length, DIFFERENCES_MAX);
  const rounds: Map<number, number>[] = [];
  let reached = new Map<number, number>([[1, 0]]);
  for (let d = 0; d <= most; d++) {
    rounds.push(reached);
    const next = new Map<number, number>();
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reached.get(k - 1) ?? -1) < (reached.get(k + 1) ?? -1));
      let x = down ? reached.get(k + 1)! : reached.get(k - 1)! + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) [x, y] = [x + 1, y + 1];
      next.set(k, x);
      if (x >= a.length && y >= b.length) return wayBack(a, b, rounds, d);
    }
    reached = next;
  }
  return undefined;
}

function wayBack(a: readonly string[], b: readonly string[], rounds: Map<number, number>[], found: number): Piece[] {
  const pieces: Piece[] = [];
  let [x, y] = [a.length, b.length];
  for (let d = found; d >= 0; d--) {
    const reached = rounds[d]!;
    const k = x - y;
    const down = k === -d || (k !== d && (reached.get(k - 1) ?? -1) < (reached.get(k + 1) ?? -1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : reached.get(fromK)!;
    const fromY = d === 0 ? 0 : fromX - fromK;
    while (x > fromX && y > fromY && a[x - 1] === b[y - 1]) {
      pieces.push(same(a[x - 1]!));
      [x, y] = [x - 1, y - 1];
    }
    if (d === 0) break;
    pieces.push(down ? came(b[y - 1]!) : gone(a[x - 1]!));
    [x, y] = [fromX, fromY];
  }
  return pieces.reverse();
}

function wordsOf(text: string): string[] {
  return text.match(/[\p{L}\p{N}_]+|\s+|[^]/gu) ?? [];
}

function pretty(text: string): string {
  return text === "" ? "" : prettyJson(text);
}
