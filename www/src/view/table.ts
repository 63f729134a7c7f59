// Tables, and facts with their names.

import { h } from "../dom.js";
import type { Child, Props } from "../dom.js";

/** A table; its caption is for screen readers alone. */
export function table(props: Props, caption: string, columns: readonly HTMLElement[], body: HTMLElement): HTMLTableElement {
  return h("table", props, h("caption.hidden", caption), h("thead", h("tr", ...columns)), body);
}

/** The head of a column. */
export function column(name: Child, kind?: string): HTMLElement {
  return h("th", { scope: "col", class: kind }, name);
}

/** A fact of a `dl`. */
export function fact(name: string, value: Child, id?: string): HTMLElement {
  return h("div", h("dt", name), h("dd", { id }, value));
}
