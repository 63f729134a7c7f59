// Leases and sessions: each lease with its time and its keys, to be ended on confirmation; and who is
// connected to the server that the page speaks to.

import type { Client, ListedLease } from "tidekeep";

import { keysText, revokeLease } from "../console/lease.js";
import { failureOf } from "../console/failure.js";
import { writeAddress } from "../address.js";
import { h } from "../dom.js";
import { escapeKey, percentEncode, toRaw } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { cells, COLUMNS, SESSIONS_PATH, totals } from "../model/sessions.js";
import type { Connected, Sessions } from "../model/sessions.js";
import { countdown } from "../model/time.js";
import { countText } from "../model/value.js";
import { confirmed } from "./confirm.js";
import type { Frame } from "./frame.js";
import { toast } from "./toast.js";
import type { View } from "./view.js";

const LOOK_MS = 2000;
const TICK_MS = 200;
const LEASES_SHOWN = 500;
const KEYS_SHOWN = 100;
const PAGE = 5000;

/** What is known of a lease's keys: the server names them only to who looks at every key. */
interface LeaseKeys {
  readonly keys: Raw[];
  looked: number;
  readonly stop: AbortController;
  done: boolean;
  failed: string | undefined;
}

export class LeasesView implements View {
  readonly name = "leases";
  readonly title = "Sessions";
  readonly places = ["sessions"];
  readonly key = "s";
  readonly element: HTMLElement;
  readonly #count = h("span", { class: "soft", role: "status" });
  readonly #rows = h("tbody", {});
  readonly #empty = h("p", { class: "empty" }, "No lease is held. Keys that are put with one go when it ends.");
  readonly #table: HTMLElement;
  readonly #sessions = h("tbody", {});
  readonly #totals = h("span", { class: "soft" });
  readonly #opened = new Map<number, LeaseKeys>();
  #leases: readonly ListedLease[] = [];
  #looking = false;

  constructor(
    readonly client: Client,
    readonly frame: Frame,
  ) {
    const column = (name: string, kind?: string | false) => h("th", { scope: "col", class: kind }, name);
    const head = h("tr", {}, column("lease"), column("ends in", "number"), column("of", "number wide"), column("keys", "number"), h("th", { scope: "col" }, h("span", { class: "hidden" }, "what can be done")));
    const caption = h("caption", { class: "hidden" }, "Leases, oldest first");
    this.#table = h("table", { class: "leases" }, caption, h("thead", {}, head), this.#rows);
    const columns = COLUMNS.map((name) => column(name, name !== "via" && "number"));
    const sessions = h("table", { class: "map" }, h("caption", { class: "hidden" }, "Sessions, oldest first"), h("thead", {}, h("tr", {}, column("from"), ...columns)), this.#sessions);
    this.element = h(
      "section",
      { class: "page", "aria-label": "Sessions and leases" },
      h("div", { class: "bar" }, h("h2", {}, "Leases"), this.#count),
      this.#empty,
      this.#table,
      h("div", { class: "bar" }, h("h2", {}, "Sessions"), this.#totals),
      h("div", { class: "map-scroll", tabindex: 0, role: "region", "aria-label": "Who is connected" }, sessions),
    );
    client.on("state", () => void this.#look());
    setInterval(() => void this.#look(), LOOK_MS);
    setInterval(() => this.#tick(), TICK_MS);
  }

  show(): void {
    void this.#look();
  }

  hide(): void {
    for (const { stop } of this.#opened.values()) stop.abort();
    this.#opened.clear();
  }

  draw(): void {
    const shown = this.#leases.slice(0, LEASES_SHOWN);
    const more = this.#leases.length > shown.length ? `, the oldest ${LEASES_SHOWN} are shown` : "";
    const text = `${countText(this.#leases.length)} ${this.#leases.length === 1 ? "lease" : "leases"}${more}`;
    if (this.#count.textContent !== text) this.#count.textContent = text;
    this.#table.hidden = shown.length === 0;
    this.#empty.hidden = shown.length > 0;
    const focused = this.#rows.contains(document.activeElement) ? document.activeElement?.id : undefined;
    this.#rows.replaceChildren(...shown.flatMap((lease) => this.#row(lease)));
    if (focused) document.getElementById(focused)?.focus();
  }

  async #look(): Promise<void> {
    if (!this.frame.shows(this) || this.#looking || document.hidden || this.client.state !== "ready") return;
    this.#looking = true;
    try {
      const [leases, sessions] = await Promise.all([
        this.client.leases(),
        fetch(SESSIONS_PATH).then((response) => response.json() as Promise<Sessions>),
      ]);
      this.#leases = leases;
      this.#totals.textContent = totals(sessions);
      this.#sessions.replaceChildren(...sessions.sessions.map((it) => this.#session(it)));
      this.frame.stale();
    } catch {
      // The connection's own mark says that the server is gone; what was known last stays.
    } finally {
      this.#looking = false;
    }
  }

  #session(it: Connected): HTMLElement {
    const told = cells(it, this.client.serverTime());
    return h(
      "tr",
      { "data-session": it.id },
      h("th", { scope: "row", title: it.client }, it.address, h("span", { class: "soft" }, ` ${it.client}`)),
      ...told.map((cell, at) => h("td", { class: at > 0 && "number" }, cell)),
    );
  }

  #row(lease: ListedLease): HTMLElement[] {
    const id = lease.lease;
    const open = this.#opened.get(id);
    const keys = h(
      "button",
      { type: "button", id: `lease-keys-${id}`, "aria-expanded": String(open !== undefined), "aria-label": `Keys of lease ${id}`, click: () => this.#toggle(lease) },
      "Keys",
    );
    const revoke = h("button", { type: "button", id: `lease-revoke-${id}`, class: "danger", "aria-label": `Revoke lease ${id}`, click: () => void this.#revoke(lease) }, "Revoke");
    const row = h(
      "tr",
      { "data-lease": id },
      h("td", {}, String(id)),
      h("td", { class: "number", "data-ends": lease.expiresAt }, this.#left(lease.expiresAt)),
      h("td", { class: "number wide" }, countdown(lease.ttlMs)),
      h("td", { class: "number" }, countText(lease.keys)),
      h("td", { class: "acts" }, keys, revoke),
    );
    return open ? [row, h("tr", { class: "detail" }, h("td", { colspan: 5 }, this.#keys(lease, open)))] : [row];
  }

  #keys({ keys: count }: ListedLease, { keys, looked, done, failed }: LeaseKeys): HTMLElement {
    const links = keys.map((raw) => h("li", {}, h("a", { href: writeAddress("k", percentEncode(raw)) }, escapeKey(raw))));
    const so = failed ?? (done ? `${keysText(keys.length)}${keys.length < Math.min(count, KEYS_SHOWN) ? ` of ${countText(count)} found` : ""}` : `looking through the keys: ${countText(looked)} so far`);
    return h("div", {}, h("p", { class: failed ? "problem" : "soft" }, so), h("ul", { class: "keys-of" }, ...links));
  }

  #toggle(lease: ListedLease): void {
    const open = this.#opened.get(lease.lease);
    open?.stop.abort();
    if (!this.#opened.delete(lease.lease)) void this.#find(lease);
    this.frame.stale();
  }

  /** The server counts a lease's keys; which they are, only the entries tell. */
  async #find({ lease, keys: count }: ListedLease): Promise<void> {
    const found: LeaseKeys = { keys: [], looked: 0, stop: new AbortController(), done: false, failed: undefined };
    this.#opened.set(lease, found);
    try {
      const pages = this.client.scan({}, { keysOnly: true, pageSize: PAGE, signal: found.stop.signal });
      for (let after: Uint8Array | undefined, more = count > 0; more; more = after !== undefined) {
        const page = await pages.page(after);
        found.looked += page.items.length;
        for (const entry of page.items) if (entry.lease === lease) found.keys.push(toRaw(entry.keyBytes));
        after = found.keys.length >= Math.min(count, KEYS_SHOWN) ? undefined : page.after;
        this.frame.stale();
      }
    } catch (error) {
      found.failed = failureOf(error).message;
    }
    found.keys.length = Math.min(found.keys.length, KEYS_SHOWN);
    found.done = true;
    this.frame.stale();
  }

  async #revoke({ lease, keys }: ListedLease): Promise<void> {
    const what = `Lease ${lease} ends now, and ${keysText(keys)} with it. Who holds it is told that it is lost.`;
    if (!(await confirmed({ title: `Revoke lease ${lease}?`, what, act: "Revoke" }))) return;
    try {
      const deleted = await revokeLease(this.client, lease);
      toast(`Lease ${lease} is over; ${keysText(deleted)} went with it.`);
    } catch (error) {
      const { message, hint } = failureOf(error);
      toast(hint ? `${message}: ${hint}` : message);
    }
    await this.#look();
  }

  #left(expiresAt: number): string {
    return countdown(expiresAt - this.client.serverTime());
  }

  #tick(): void {
    if (!this.frame.shows(this) || document.hidden) return;
    for (const cell of this.#rows.querySelectorAll<HTMLElement>("[data-ends]")) {
      cell.textContent = this.#left(Number(cell.dataset["ends"]));
    }
  }
}
