// The keys below the chosen prefix as a grid, however many they are: only the rows that are seen have
// elements. A countdown for those that end, a flash for those that changed.

import { button, h, say, set } from "../dom.js";
import { escapeKey } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import type { Row } from "../model/row.js";
import { countdown } from "../model/time.js";
import { counted, countText } from "../model/value.js";
import { bytesText } from "../model/scale.js";
import type { Session } from "../session.js";
import { VirtualList } from "./virtual.js";

const ROW_PX = 26;
const FLASH_MS = 1600;
const COLUMNS = ["Key", "Value", "Size", "Revision", "Ends in"];

interface RowElement extends HTMLElement {
  cells: HTMLElement[];
  shown: Row | undefined;
}

export class RowsView {
  readonly element = h("section", { id: "rows", "aria-label": "Keys below the chosen prefix" });
  readonly bar = h("div.bar");
  readonly #grid = h("div.grid", { role: "grid", "aria-label": "Keys" });
  readonly #scroller = h("div.grid-body", { role: "rowgroup" });
  readonly #empty = h("div.empty");
  readonly #count = h("span.soft.count", { role: "status" });
  readonly #list: VirtualList<RowElement>;
  chosen: Raw | undefined;

  constructor(
    readonly session: Session,
    readonly choose: (raw: Raw) => void,
  ) {
    this.#list = new VirtualList<RowElement>(this.#scroller, {
      height: ROW_PX,
      make: () => this.#make(),
      fill: (element, index) => this.#fill(element, index),
      look: (from, to) => session.listing.look(from, to),
    });
    const heads = COLUMNS.map((name) => h("span", { role: "columnheader" }, name));
    this.#scroller.append(this.#list.body);
    this.#grid.append(h("div.row.head", { role: "row", "aria-rowindex": 1 }, ...heads), this.#scroller);
    this.#grid.addEventListener("keydown", (event) => this.#key(event));
    this.element.append(this.bar, this.#count, this.#empty, this.#grid);
    setInterval(() => this.#tick(), 200);
  }

  draw(): void {
    const { listing } = this.session;
    const { length } = listing;
    set(this.#grid, { "aria-rowcount": length + 1 });
    this.#list.count = length;
    this.#scroller.hidden = length === 0;
    this.#empty.hidden = length > 0;
    if (length === 0) this.#empty.replaceChildren(...this.#nothing());
    say(this.#count, this.#counted());
    this.#list.drawNow();
  }

  /** Another list is shown: from its top. */
  restart(): void {
    this.#list.current = 0;
    this.#list.home();
    this.draw();
  }

  focus(): void {
    this.#list.focus();
  }

  /** Goes so many rows on. */
  move(by: number): void {
    this.#list.current += by;
    this.draw();
    this.focus();
  }

  #make(): RowElement {
    const cells = COLUMNS.map(() => h("span", { role: "gridcell" }));
    const element = h("div.row", { role: "row" }, ...cells);
    element.addEventListener("click", () => {
      this.#list.current = this.#list.indexOf(element);
      this.#open();
    });
    element.addEventListener("animationend", () => element.classList.remove("changed"));
    return Object.assign(element, { cells, shown: undefined });
  }

  #fill(element: RowElement, index: number): void {
    const row = this.session.listing.at(index);
    set(element, { "aria-rowindex": index + 2, "aria-selected": row !== undefined && row.raw === this.chosen });
    const [key, value, size, revision, ends] = element.cells;
    if (row === undefined || row !== element.shown) {
      const flash = row && row.changedAt > 0 && performance.now() - row.changedAt < FLASH_MS;
      element.classList.remove("changed");
      if (flash) {
        // Begun anew even when the last flash is not over. A call, since the build drops what is only read.
        element.getBoundingClientRect();
        element.classList.add("changed");
      }
      element.shown = row;
      element.classList.toggle("unknown", row === undefined);
      if (row) element.dataset["key"] = escapeKey(row.raw);
      else delete element.dataset["key"];
      const bare = row?.preview === undefined;
      key!.textContent = row ? escapeKey(row.raw) : "…";
      key!.title = row ? escapeKey(row.raw) : "";
      value!.textContent = row?.preview ?? "";
      size!.textContent = row && !bare ? bytesText(row.bytes) : "";
      revision!.textContent = row ? String(row.revision) : "";
      ends!.textContent = row ? this.#ends(row) : "";
    }
  }

  #ends(row: Row): string {
    if (row.leased) return "lease";
    return row.expiresAt === undefined ? "" : countdown(row.expiresAt - this.session.client.serverTime());
  }

  #counted(): string {
    const { listing } = this.session;
    const { total, searched } = listing;
    const keys = total === undefined ? "counting …" : counted(total, "key");
    if (!searched) return keys;
    const how = searched.done ? "" : searched.full ? ", more are not looked for" : `, ${countText(searched.keys)} searched so far`;
    return `${countText(listing.length)} of ${keys} pass${how}`;
  }

  #nothing(): (Node | string)[] {
    const { listing } = this.session;
    if (listing.failed) {
      return [button("Not loaded: try again", () => listing.retry())];
    }
    if (listing.loading || !listing.loaded) return ["Loading …"];
    if (listing.filter !== "") return ["No key passes the filter."];
    return [
      h("p", "No keys here yet."),
      h("p", "Press ", h("kbd", "n"), " to make one, or type this in a terminal and watch it appear:"),
      h("pre", 'tidekeep put name "John Doe"'),
    ];
  }

  #open(): void {
    const row = this.session.listing.at(this.#list.current);
    if (!row) return;
    this.chosen = row.raw;
    this.draw();
    this.choose(row.raw);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = this.#list.step(event);
    if (step !== undefined) this.move(step);
    else if (event.key === "Enter" || event.key === " ") this.#open();
    else return;
    event.preventDefault();
  }

  /** Countdowns run between draws. */
  #tick(): void {
    if (this.element.closest("[hidden]")) return;
    for (const element of this.#scroller.querySelectorAll<RowElement>(".row")) {
      const row = element.shown;
      if (row?.expiresAt === undefined) continue;
      say(element.cells[4]!, this.#ends(row));
    }
  }
}
