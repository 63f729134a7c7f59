// The key tree as elements: the WAI-ARIA tree pattern with one tab stop and arrow keys.

import { h } from "../dom.js";
import { escapeKey } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { nameOf } from "../model/tree.js";
import type { Line, Node } from "../model/tree.js";
import type { Session } from "../session.js";

type NodeLine = Extract<Line, { kind: "node" }>;

const NOTES = { more: "more …", loading: "loading …", empty: "no keys yet", failed: "not loaded; retry" };

export class TreeView {
  readonly element = h("div", { id: "tree", role: "tree", "aria-label": "Keys by prefix" });
  /** The line that has the tab stop. */
  #current: Raw | undefined;
  selected: Raw = "";

  constructor(
    readonly session: Session,
    readonly select: (node: Node) => void,
  ) {
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  draw(): void {
    const focused = this.element.contains(document.activeElement);
    const lines = this.session.tree.lines();
    const nodes = this.#nodes();
    if (!nodes.some(({ node }) => node.raw === this.#current)) this.#current = nodes[0]?.node.raw;
    this.element.replaceChildren(...lines.map((line) => this.#line(line)));
    if (focused) this.focus();
  }

  focus(): void {
    this.element.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  }

  #line(line: Line): HTMLElement {
    if (line.kind !== "node") {
      const load = () => void this.session.loadNode(line.node);
      const text = NOTES[line.kind];
      const note =
        line.kind === "more" || line.kind === "failed"
          ? h("button", { type: "button", tabindex: -1, click: load }, text)
          : text;
      return h("div", { class: "note", role: "none", "--level": line.level - 1 }, note);
    }
    const { node, level } = line;
    const name = escapeKey(nameOf(node)) || "(the prefix itself)";
    return h(
      "div",
      {
        role: "treeitem",
        tabindex: node.raw === this.#current ? 0 : -1,
        "aria-level": level,
        "aria-posinset": line.position,
        "aria-setsize": line.size,
        "aria-expanded": node.branch ? String(node.open) : undefined,
        "aria-selected": String(node.raw === this.selected),
        "--level": level - 1,
        click: () => this.#open(node),
      },
      h("span", { class: "twist", "aria-hidden": "true" }, node.branch ? (node.open ? "▾" : "▸") : ""),
      h("span", {}, name),
    );
  }

  #nodes(): NodeLine[] {
    return this.session.tree.lines().filter((line): line is NodeLine => line.kind === "node");
  }

  #open(node: Node): void {
    this.#current = node.raw;
    if (node.branch && this.selected === node.raw) this.#fold(node, !node.open);
    else if (node.branch) this.#fold(node, true);
    this.select(node);
    this.draw();
  }

  #fold(node: Node, open: boolean): void {
    node.open = open;
    if (open && !node.loaded) void this.session.loadNode(node);
  }

  #key(event: KeyboardEvent): void {
    const nodes = this.#nodes();
    const at = nodes.findIndex(({ node }) => node.raw === this.#current);
    const node = nodes[at]?.node;
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    let next: Node | undefined = node;
    if (event.key === "ArrowDown") next = nodes[at + 1]?.node;
    else if (event.key === "ArrowUp") next = nodes[at - 1]?.node;
    else if (event.key === "Home") next = nodes[0]?.node;
    else if (event.key === "End") next = nodes.at(-1)?.node;
    else if (event.key === "ArrowRight" && node.branch && !node.open) this.#fold(node, true);
    else if (event.key === "ArrowRight") next = node.branch ? nodes[at + 1]?.node : node;
    else if (event.key === "ArrowLeft" && node.branch && node.open) this.#fold(node, false);
    else if (event.key === "ArrowLeft") next = nodes.find((line) => line.node === node.parent)?.node;
    else if (event.key === "Enter" || event.key === " ") this.#open(node);
    else return;
    event.preventDefault();
    this.#current = next?.raw ?? node.raw;
    this.draw();
  }
}
