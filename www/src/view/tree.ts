// The key tree as elements: the WAI-ARIA tree pattern with one tab stop, arrow keys and type-ahead. Only
// the lines that are seen have elements.

import { button, h, set } from "../dom.js";
import { escapeKey } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { isFolder, nameOf } from "../model/tree.js";
import type { Folder, Line, Node } from "../model/tree.js";
import type { Session } from "../session.js";
import { VirtualList } from "./virtual.js";

const LINE_PX = 24;
const TYPE_AHEAD_MS = 700;
const TYPE_AHEAD_LINES = 5000;
const NOTES = {
  more: "Loading …",
  loading: "Loading …",
  empty: "No keys here yet.",
  failed: "Not loaded: try again",
};

/** What a line is made of, kept with it so that it is filled and not made anew. */
interface LineElement extends HTMLElement {
  twist: HTMLElement;
  label: HTMLElement;
}

export class TreeView {
  readonly element = h("div", { id: "tree" });
  readonly #list: VirtualList<LineElement>;
  readonly #empty = h("p.empty");
  #typed = { text: "", at: 0 };
  selected: Raw = "";

  constructor(
    readonly session: Session,
    readonly select: (node: Node) => void,
  ) {
    this.#list = new VirtualList<LineElement>(this.element, {
      height: LINE_PX,
      make: () => this.#make(),
      fill: (element, index) => this.#fill(element, index),
    });
    this.element.append(this.#empty, this.#list.body);
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  draw(): void {
    const { tree, client } = this.session;
    const nodes = tree.root.children.length;
    // A tree without an item is none: assistive technology would announce an empty widget.
    set(this.element, nodes > 0 ? { role: "tree", "aria-label": "Keys by prefix" } : { role: undefined, "aria-label": undefined });
    this.#empty.hidden = nodes > 0;
    this.#list.body.hidden = nodes === 0;
    if (nodes === 0) {
      const waits = client.state === "ready" ? "Loading …" : "Waiting for the server …";
      this.#empty.textContent = tree.root.loaded ? "No keys yet." : waits;
      if (tree.root.failed) this.#empty.replaceChildren(this.#retry());
      return;
    }
    this.#list.count = tree.length;
    this.#list.drawNow();
  }

  focus(): void {
    this.#list.focus();
  }

  /** Shows the line of a key, if its folders are open. */
  reveal(raw: Raw): void {
    this.selected = raw;
    const index = this.session.tree.indexOf(raw);
    this.draw();
    if (index === undefined) return;
    this.#list.current = index;
    this.#list.reveal();
  }

  #retry(): HTMLElement {
    const load = () => void this.session.loadFolder(this.session.tree.root);
    return button("Not loaded: try again", load);
  }

  #make(): LineElement {
    const twist = h("span.twist", { "aria-hidden": true });
    const label = h("span.label");
    const element = h("div.line", { role: "treeitem" }, twist, label);
    element.addEventListener("click", () => {
      this.#list.current = this.#list.indexOf(element);
      this.#open(this.#line());
    });
    return Object.assign(element, { twist, label });
  }

  #fill(element: LineElement, index: number): void {
    const line = this.session.tree.line(index);
    if (!line) return;
    const shown = line.kind === "node" ? line : undefined;
    const folder = shown && isFolder(shown.node) ? shown.node : undefined;
    set(element, {
      "--level": line.level - 1,
      "aria-level": line.level,
      "aria-selected": shown?.node.raw === this.selected,
      "aria-expanded": folder?.open,
      "aria-posinset": shown?.position,
      "aria-setsize": shown?.size,
    });
    element.classList.toggle("note", line.kind !== "node");
    element.twist.textContent = folder ? (folder.open ? "▾" : "▸") : "";
    element.label.textContent = line.kind === "node" ? escapeKey(nameOf(line.node)) || "(the prefix itself)" : NOTES[line.kind];
    // What comes into sight is loaded.
    if (line.kind === "more") void this.session.loadFolder(line.node);
  }

  #line(): Line | undefined {
    return this.session.tree.line(this.#list.current);
  }

  #open(line: Line | undefined): void {
    if (!line) return;
    if (line.kind !== "node") {
      if (line.kind === "failed") void this.session.loadFolder(line.node);
      return;
    }
    const { node } = line;
    if (isFolder(node)) this.#fold(node, this.selected === node.raw ? !node.open : true);
    this.selected = node.raw;
    this.select(node);
    this.draw();
    this.focus();
  }

  #fold(folder: Folder, open: boolean): void {
    this.session.tree.setOpen(folder, open);
    if (open && !folder.loaded) void this.session.loadFolder(folder);
  }

  #key(event: KeyboardEvent): void {
    const line = this.#line();
    if (!line || event.ctrlKey || event.metaKey || event.altKey) return;
    const folder = line.kind === "node" && isFolder(line.node) ? line.node : undefined;
    const step = this.#list.step(event);
    if (step !== undefined) this.#list.current += step;
    else if (event.key === "ArrowRight" && folder && !folder.open) this.#fold(folder, true);
    else if (event.key === "ArrowRight") this.#list.current += folder ? 1 : 0;
    else if (event.key === "ArrowLeft" && folder?.open) this.#fold(folder, false);
    else if (event.key === "ArrowLeft") this.#toParent(line);
    else if (event.key === "Enter" || event.key === " ") this.#open(line);
    else if (!this.#typeAhead(event)) return;
    event.preventDefault();
    this.draw();
    this.focus();
  }

  #toParent(line: Line): void {
    const above = line.kind === "node" ? line.node.parent : line.node;
    const index = above && this.session.tree.indexOf(above.raw);
    if (index !== undefined) this.#list.current = index;
  }

  /** Goes to the next line whose name begins with what is typed; only letters with Shift, since others are shortcuts. */
  #typeAhead({ key, shiftKey, timeStamp }: KeyboardEvent): boolean {
    if (!shiftKey || key.length !== 1) return false;
    const again = timeStamp - this.#typed.at < TYPE_AHEAD_MS;
    this.#typed = { text: ((again ? this.#typed.text : "") + key).toLowerCase(), at: timeStamp };
    const { tree } = this.session;
    for (let step = again ? 0 : 1; step < Math.min(tree.length, TYPE_AHEAD_LINES); step++) {
      const index = (this.#list.current + step) % tree.length;
      const line = tree.line(index);
      if (line?.kind !== "node" || !escapeKey(nameOf(line.node)).toLowerCase().startsWith(this.#typed.text)) continue;
      this.#list.current = index;
      break;
    }
    return true;
  }
}
