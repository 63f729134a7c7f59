// The keys: a tree by prefix, the list below a prefix, and the chosen key. What is chosen is in the address.

import type { Address } from "../address.js";
import { writeAddress } from "../address.js";
import { Deeds } from "../deeds.js";
import { button, h, set, textField } from "../dom.js";
import { escapeKey, parseKey, percentDecode, percentEncode } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { listWords } from "../model/equivalents.js";
import { isFolder } from "../model/tree.js";
import type { Session } from "../session.js";
import type { Frame } from "./frame.js";
import { copy, howTo } from "./how.js";
import { KeyPane } from "./key/pane.js";
import type { Tab } from "./key/pane.js";
import { menu } from "./menu.js";
import { RowsView } from "./rows.js";
import { messageOf, toast } from "./toast.js";
import { TreeView } from "./tree.js";
import type { View } from "./view.js";

const STORED_DELIMITER = "delimiter";
const STORED_FLAT = "flat";
/** A filter is taken over once typing rests. */
const REST_MS = 150;

/** What parts keys, as it was chosen the last time. */
export function storedDelimiter(): Raw {
  return parseKey(localStorage.getItem(STORED_DELIMITER) ?? "/") || "/";
}

export class KeysView implements View {
  readonly name = "keys";
  readonly title = "Keys";
  readonly key = "k";
  readonly places = ["k", "p"];
  readonly element = h("div", { id: "keys" });
  readonly #tree: TreeView;
  readonly #rows: RowsView;
  readonly #pane: KeyPane;
  readonly #deeds: Deeds;
  readonly #prefix = textField({ id: "prefix", "aria-label": "Prefix", placeholder: "all keys", input: () => this.#typed() });
  readonly #filter = textField({ id: "filter", type: "search", "aria-label": "Filter keys", placeholder: "filter  /", input: () => this.#typed() });
  readonly #delimiter = textField({ id: "delimiter", "aria-label": "Delimiter", maxlength: 16, title: "What parts keys into folders", change: () => this.#delimit() });
  readonly #flat = button("Flat", () => this.#setFlat(!this.#flatNow));
  #typing: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly session: Session,
    readonly frame: Frame,
  ) {
    this.#deeds = new Deeds(session.client, (deed) =>
      toast(
        deed.text,
        { name: "Undo", run: () => this.#undo() },
        { name: "How", run: () => toast(deed.how.cli, { name: "Copy", run: () => copy(deed.how.cli, "the command") }) },
      ),
    );
    this.#pane = new KeyPane(session, this.#deeds, (raw, tab) => this.#shows(raw, tab));
    this.#rows = new RowsView(session, (raw) => void this.#pane.open(raw));
    this.#tree = new TreeView(session, (node) => {
      if (isFolder(node)) this.#choose(node.raw);
      else void this.#pane.open(node.raw);
    });
    this.#build();
    session.listen((part, change) => {
      if (part === "entry" && change) this.#pane.changed(change);
    });
    this.#offer();
  }

  show({ place, rest, query }: Address): void {
    const raw = percentDecode(rest);
    if (raw === undefined || (place !== "k" && place !== "p")) return;
    if (place === "p") this.#list(raw);
    else {
      const revision = Number(query.get("rev")) || undefined;
      const history = revision !== undefined || query.get("tab") === "history";
      // A list in which the key is seen already stays.
      if (this.session.listing.indexOf(raw) === undefined) this.#list(this.session.tree.parentOf(raw));
      if (raw !== this.#pane.raw || history) void this.#pane.open(raw, history ? "history" : "value", revision);
    }
    void this.session.unfold(raw).then(() => this.frame.shows(this) && this.#tree.reveal(raw));
  }

  draw(): void {
    if (!this.#flatNow) this.#tree.draw();
    this.#rows.draw();
  }

  #build(): void {
    const create = button("New key", () => this.#create(), { class: "primary" });
    const how = menu("How", "How to list these elsewhere", () => howTo([listWords(this.session.listing.prefix)]));
    this.#rows.bar.append(
      h("label.field.grow", h("span", "Prefix"), this.#prefix),
      h("label.field", h("span", "Contains"), this.#filter),
      how,
      create,
    );
    this.#delimiter.value = escapeKey(this.session.tree.delimiter);
    const tools = h("div.bar.tools", this.#flat, h("label.field", h("span", "Delimiter"), this.#delimiter));
    const tree = h("nav", { "aria-label": "Keys by prefix" }, this.#tree.element);
    this.element.append(h("div", { id: "browse" }, tools, tree), this.#rows.element, this.#pane.element);
    this.#setFlat(localStorage.getItem(STORED_FLAT) === "yes");
  }

  #offer(): void {
    const offer = this.frame.offers(this);
    offer("Filter the keys", "/", () => this.#filter.focus());
    offer("Go to a prefix", "p", () => this.#prefix.select());
    offer("To the tree", "t", () => this.#tree.focus(), { ready: () => !this.#flatNow });
    offer("To the list", "l", () => this.#rows.focus());
    offer("Next key in the list", "j", () => this.#rows.move(1));
    offer("Previous key in the list", "k", () => this.#rows.move(-1));
    offer("One level up", "u", () => this.#choose(this.session.tree.parentOf(this.session.listing.prefix)));
    offer("New key", "n", () => this.#create());
    offer("Tree or flat list", "f", () => this.#setFlat(!this.#flatNow));
    this.#pane.offer(offer);
    offer("Undo the last write", "z", () => void this.#undo(), { ready: () => this.#deeds.last !== undefined });
    offer("Leave the field, the form or the key", "Escape", () => this.#escape(), { whileTyping: true });
  }

  #create(): void {
    this.#pane.create(this.session.listing.prefix);
  }

  async #undo(): Promise<void> {
    try {
      const { text, raw, before } = await this.#deeds.undo();
      toast(`Taken back: ${text}`);
      if (before || this.#pane.raw === raw) await this.#pane.open(raw);
    } catch (error) {
      toast(messageOf(error));
    }
  }

  #escape(): void {
    const { activeElement } = document;
    const field = activeElement instanceof HTMLElement && activeElement.matches("input, select") ? activeElement : undefined;
    if (field && !field.closest("form")) field.blur();
    else this.#pane.leave();
  }

  /** Another key is shown: the address says so, and can be gone back from. */
  #shows(raw: Raw | undefined, tab: Tab): void {
    this.#rows.chosen = raw;
    this.frame.stale();
    // Where all is below each other, what was opened comes into sight.
    if (raw !== undefined && matchMedia("(max-width: 640px)").matches) this.#pane.element.scrollIntoView();
    const { prefix } = this.session.listing;
    const query: Record<string, string> = tab === "history" ? { tab } : {};
    const address = raw === undefined ? addressOf(prefix) : writeAddress("k", percentEncode(raw), query);
    if (address !== location.hash.replace(/([?&])rev=\d+/, "$1tab=history")) history.pushState(null, "", address);
  }

  /** Lists a prefix that was chosen in the tree or by a key. */
  #choose(prefix: Raw): void {
    this.#list(prefix);
    history.pushState(null, "", addressOf(prefix));
  }

  #list(prefix: Raw): void {
    this.#prefix.value = escapeKey(prefix);
    this.session.choose(prefix, this.#filter.value);
    this.#rows.restart();
  }

  #typed(): void {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => {
      const prefix = parseKey(this.#prefix.value);
      set(this.#prefix, { "aria-invalid": prefix === undefined });
      if (prefix === undefined) return;
      this.session.choose(prefix, this.#filter.value);
      this.#rows.restart();
    }, REST_MS);
  }

  #delimit(): void {
    const delimiter = parseKey(this.#delimiter.value);
    if (!delimiter) {
      this.#delimiter.value = escapeKey(this.session.tree.delimiter);
      return;
    }
    localStorage.setItem(STORED_DELIMITER, this.#delimiter.value);
    this.session.delimit(delimiter);
  }

  get #flatNow(): boolean {
    return this.element.classList.contains("flat");
  }

  #setFlat(flat: boolean): void {
    this.element.classList.toggle("flat", flat);
    set(this.#flat, { "aria-pressed": flat });
    localStorage.setItem(STORED_FLAT, flat ? "yes" : "no");
    this.frame.stale();
  }
}

/** The address of the list below a prefix. */
function addressOf(prefix: Raw): string {
  return prefix === "" ? writeAddress("keys") : writeAddress("p", percentEncode(prefix));
}
