// Two values beside each other: what went and what came, by signs as well as by colours.

import { h } from "../../dom.js";
import { diffValues } from "../../model/diff.js";
import type { Diff, Piece } from "../../model/diff.js";

/** Lines that stayed are shown so far around those that did not. */
const CONTEXT = 3;
const SIGNS = { same: " ", gone: "−", new: "+" };
const TAGS = { same: "span", gone: "del", new: "ins" } as const;

/** How one value became another, with a title. */
export function diffView(title: string, before: Uint8Array | undefined, after: Uint8Array | undefined): HTMLElement {
  const diff = diffValues(before, after);
  return h(
    "section.diff",
    h("h3", title, h("span.soft", ` ${summary(diff)}`)),
    h("pre", { class: diff.lines ? "box lines" : "box", tabindex: 0, role: "region", "aria-label": title }, ...(diff.lines ? lines(diff.pieces) : words(diff.pieces))),
  );
}

function summary({ gone, came, lines }: Diff): string {
  if (gone + came === 0) return "no difference";
  return lines ? `+${came} −${gone}` : "";
}

function words(pieces: Piece[]): Node[] {
  return pieces.map(({ kind, text }) => h(TAGS[kind], {}, text));
}

function lines(pieces: Piece[]): Node[] {
  const near = pieces.map(() => false);
  pieces.forEach(({ kind }, at) => {
    if (kind === "same") return;
    for (let by = -CONTEXT; by <= CONTEXT; by++) if (at + by in near) near[at + by] = true;
  });
  const shown: Node[] = [];
  let left = 0;
  pieces.forEach(({ kind, text }, at) => {
    if (!near[at]) {
      left += 1;
      if (near[at + 1] || at === pieces.length - 1) shown.push(h("span.soft", `⋯ ${left} the same`));
      return;
    }
    left = 0;
    shown.push(h(TAGS[kind], {}, `${SIGNS[kind]} ${text}`));
  });
  return shown;
}
