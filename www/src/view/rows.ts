// The keys below the chosen prefix as a table, with a countdown for those that end.

import { h } from "../dom.js";
import { escapeKey } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import type { Row } from "../model/rows.js";
import { countdown } from "../model/time.js";
import { countText, sizeText } from "../model/value.js";
import type { Session } from "../session.js";

const FLASH_MS = 1600;

export class RowsView {
  readonly element = h("section", { id: "rows", "aria-label": "Keys below the chosen prefix" });
  chosen: Raw | undefined;

  constructor(
    readonly session: Session,
    readonly choose: (raw: Raw) => void,
  ) {
    setInterval(() => this.#tick(), 200);
  }

  draw(): void {
    const { rows } = this.session;
    const focused = this.element.contains(document.activeElement)
      ? document.activeElement?.getAttribute("data-key")
      : null;
    const scroll = this.element.scrollTop;
    const total = rows.total === undefined ? "" : `${countText(rows.total)} keys`;
    this.element.replaceChildren(
      h(
        "div",
        { class: "bar" },
        h("h2", {}, rows.prefix === "" ? "All keys" : escapeKey(rows.prefix)),
        h("span", { class: "soft" }, rows.filter ? `${rows.rows.length} pass the filter` : total),
      ),
      rows.rows.length > 0 ? this.#table(rows.rows) : this.#empty(),
      ...this.#more(),
    );
    this.element.scrollTop = scroll;
    if (focused) this.#button(focused)?.focus();
  }

  #table(rows: Row[]): HTMLElement {
    const head = h(
      "tr",
      {},
      h("th", { scope: "col" }, "Key"),
      h("th", { scope: "col" }, "Value"),
      h("th", { scope: "col", class: "number wide" }, "Size"),
      h("th", { scope: "col", class: "number wide" }, "Revision"),
      h("th", { scope: "col", class: "number" }, "Ends in"),
    );
    const body = h("tbody", {}, ...rows.map((row) => this.#row(row)));
    return h("table", {}, h("thead", {}, head), body);
  }

  #row(row: Row): HTMLElement {
    const changed = row.changedAt > 0 && performance.now() - row.changedAt < FLASH_MS;
    const classes = [row.raw === this.chosen && "chosen", changed && "changed"].filter(Boolean);
    const key = escapeKey(row.raw);
    const open = () => this.choose(row.raw);
    return h(
      "tr",
      { class: classes.join(" ") || undefined },
      h("td", {}, h("button", { type: "button", "data-key": key, title: key, click: open }, key)),
      h("td", { title: row.preview }, row.preview),
      h("td", { class: "number wide" }, sizeText(row.bytes)),
      h("td", { class: "number wide" }, String(row.revision)),
      h("td", { class: "number", "data-ends": row.expiresAt }, this.#left(row.expiresAt)),
    );
  }

  #empty(): HTMLElement {
    const { rows } = this.session;
    if (rows.loading || !rows.loaded) return h("p", { class: "empty" }, "Loading …");
    if (rows.filter) return h("p", { class: "empty" }, "No key looked at so far passes the filter.");
    return h(
      "p",
      { class: "empty" },
      "No keys here yet. Press ",
      h("kbd", {}, "n"),
      " to make one, or type ",
      h("code", {}, 'tidekeep put name "John Doe"'),
      " in a terminal and watch it appear.",
    );
  }

  /** A button for what is not loaded, if there is something. */
  #more(): HTMLElement[] {
    const { rows } = this.session;
    const load = () => void this.session.loadRows();
    if (!rows.failed && !rows.after) return [];
    const text = rows.failed ? "Not loaded; retry" : "More keys";
    const button = h("button", { type: "button", click: load, disabled: rows.loading }, text);
    return [h("p", { class: "note" }, button)];
  }

  #left(expiresAt: number | undefined): string {
    return expiresAt === undefined ? "" : countdown(expiresAt - this.session.client.serverTime());
  }

  #tick(): void {
    for (const cell of this.element.querySelectorAll<HTMLElement>("[data-ends]")) {
      cell.textContent = this.#left(Number(cell.dataset.ends));
    }
  }

  #button(key: string): HTMLElement | undefined {
    const buttons = this.element.querySelectorAll<HTMLElement>("[data-key]");
    return [...buttons].find((button) => button.dataset.key === key);
  }
}
