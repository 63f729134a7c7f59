// Two people's edits of one text brought together, where they touch different lines. Pure.

import { diff, linesOf } from "./diff.js";

/** One change: these lines of the base became those. */
interface Hunk {
  from: number;
  to: number;
  lines: string[];
}

/** Both edits in one text; undefined where they touch the same place. */
export function merge(base: string, mine: string, theirs: string): string | undefined {
  if (mine === base) return theirs;
  if (theirs === base || theirs === mine) return mine;
  const lines = linesOf(base);
  const [ours, others] = [hunks(lines, linesOf(mine)), hunks(lines, linesOf(theirs))];
  const all = [...ours, ...others].sort((a, b) => a.from - b.from || a.to - b.to);
  const merged: string[] = [];
  let at = 0;
  let last: Hunk | undefined;
  for (const hunk of all) {
    if (last && last.from === hunk.from && last.to === hunk.to && last.lines.join("\n") === hunk.lines.join("\n")) continue;
    // Changes side by side are not apart: what one inserts, the other may have meant to follow.
    if (last && hunk.from <= last.to) return undefined;
    merged.push(...lines.slice(at, hunk.from), ...hunk.lines);
    at = hunk.to;
    last = hunk;
  }
  merged.push(...lines.slice(at));
  return merged.join("\n");
}

function hunks(base: string[], changed: string[]): Hunk[] {
  const found: Hunk[] = [];
  let at = 0;
  let open: Hunk | undefined;
  for (const { kind, text } of diff(base, changed)) {
    if (kind === "same") {
      open = undefined;
      at += 1;
      continue;
    }
    if (!open) found.push((open = { from: at, to: at, lines: [] }));
    if (kind === "new") open.lines.push(text);
    else open.to = at += 1;
  }
  return found;
}
