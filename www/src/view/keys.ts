// The keys: the tree, the list below a prefix, and the chosen key.

import type { Address } from "../address.js";
import { writeAddress } from "../address.js";
import { h } from "../dom.js";
import { percentDecode, percentEncode } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { parentOf } from "../model/tree.js";
import type { Session } from "../session.js";
import { EditorView } from "./editor.js";
import type { Frame } from "./frame.js";
import { RowsView } from "./rows.js";
import { TreeView } from "./tree.js";
import type { View } from "./view.js";

export class KeysView implements View {
  readonly name = "keys";
  readonly title = "Keys";
  readonly key = "k";
  readonly places = ["k", "p"];
  readonly element: HTMLElement;
  readonly #tree: TreeView;
  readonly #rows: RowsView;
  readonly #editor: EditorView;
  readonly #filter = h("input", {
    id: "filter",
    type: "search",
    placeholder: "Filter keys  /",
    "aria-label": "Filter keys",
    autocomplete: "off",
    spellcheck: "false",
  });

  constructor(
    readonly session: Session,
    readonly frame: Frame,
  ) {
    this.#editor = new EditorView(session, (raw) => {
      this.#rows.chosen = raw;
      this.frame.stale();
      if (raw !== undefined) history.replaceState(null, "", writeAddress("k", percentEncode(raw)));
    });
    this.#rows = new RowsView(session, (raw) => void this.#editor.open(raw));
    this.#tree = new TreeView(session, (node) => {
      if (node.branch) this.#choose(node.raw);
      else void this.#editor.open(node.raw);
      this.#tree.selected = node.raw;
    });
    this.#filter.addEventListener("input", () => session.choose(session.rows.prefix, this.#filter.value));
    const create = () => this.#editor.create(session.rows.prefix);
    this.element = h(
      "div",
      { id: "keys" },
      h("nav", { "aria-label": "Keys by prefix" }, this.#filter, h("button", { id: "new", type: "button", click: create }, "New key"), this.#tree.element),
      this.#rows.element,
      this.#editor.element,
    );
    session.listen((part, change) => {
      if (part === "entry" && change) this.#editor.changed(change);
    });
    const here = (title: string, keys: string, run: () => void) =>
      frame.actions.add({ group: this.title, title, keys, run, ready: () => frame.shows(this) });
    here("Filter the keys", "/", () => this.#filter.focus());
    here("To the tree", "t", () => this.#tree.focus());
    here("New key", "n", create);
    here("Edit the value", "e", () => this.#editor.edit());
  }

  show({ place, rest }: Address): void {
    const raw = percentDecode(rest);
    if (raw === undefined || place === this.name || place === "") return;
    this.session.choose(place === "p" ? raw : parentOf(raw), this.#filter.value);
    this.#tree.selected = raw;
    if (place === "k") void this.#editor.open(raw);
  }

  hide(): void {}

  draw(): void {
    this.#tree.draw();
    this.#rows.draw();
  }

  #choose(prefix: Raw): void {
    this.session.choose(prefix, this.#filter.value);
    history.replaceState(null, "", writeAddress("p", percentEncode(prefix)));
  }
}
