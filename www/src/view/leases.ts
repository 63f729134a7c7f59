// Leases and sessions: each lease with its time and its keys, to be ended on confirmation; and who is
// connected to the server that the page speaks to.

import type { Client, ListedLease } from "tidekeep";

import { revokeLease } from "../console/lease.js";
import { failureOf, sentenceOf } from "../console/failure.js";
import { writeAddress } from "../address.js";
import { button, h, say } from "../dom.js";
import { escapeKey, percentEncode, toRaw } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { cells, COLUMNS, SESSIONS_PATH, totals } from "../model/sessions.js";
import type { Connected, Sessions } from "../model/sessions.js";
import { countdown } from "../model/time.js";
import { counted, countText } from "../model/value.js";
import { confirmed } from "./confirm.js";
import type { Frame } from "./frame.js";
import { looking } from "./look.js";
import { column, table } from "./table.js";
import { toast } from "./toast.js";
import type { View } from "./view.js";

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
  readonly #count = h("span.soft", { role: "status" });
  readonly #rows = h("tbody");
  readonly #empty = h("p.empty", "No lease is held. Keys that are put with one go when it ends.");
  readonly #table: HTMLElement;
  readonly #sessions = h("tbody");
  readonly #totals = h("span.soft");
  readonly #opened = new Map<number, LeaseKeys>();
  readonly #look: () => void;
  #leases: readonly ListedLease[] = [];

  constructor(
    readonly client: Client,
    readonly frame: Frame,
  ) {
    const acts = h("span.hidden", "what can be done");
    const heads = [column("lease"), column("ends in", "number"), column("of", "number wide"), column("keys", "number"), column(acts)];
    this.#table = table({ class: "leases" }, "Leases, oldest first", heads, this.#rows);
    const columns = COLUMNS.map((name) => column(name, name === "via" ? undefined : "number"));
    const sessions = table({ class: "map" }, "Sessions, oldest first", [column("from"), ...columns], this.#sessions);
    this.element = h(
      "section.page",
      { "aria-label": "Sessions and leases" },
      h("div.bar", h("h2", "Leases"), this.#count),
      this.#empty,
      this.#table,
      h("div.bar", h("h2", "Sessions"), this.#totals),
      h("div.card.map-scroll", { tabindex: 0, role: "region", "aria-label": "Who is connected" }, sessions),
    );
    this.#look = looking(client, () => frame.shows(this), () => this.#take());
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
    const more = this.#leases.length > shown.length ? `, the first ${LEASES_SHOWN} are shown` : "";
    say(this.#count, counted(this.#leases.length, "lease") + more);
    this.#table.hidden = shown.length === 0;
    this.#empty.hidden = shown.length > 0;
    const focused = this.#rows.contains(document.activeElement) ? document.activeElement?.id : undefined;
    this.#rows.replaceChildren(...shown.flatMap((lease) => this.#row(lease)));
    if (focused) document.getElementById(focused)?.focus();
  }

  async #take(): Promise<void> {
    const [leases, sessions] = await Promise.all([
      this.client.leases(),
      fetch(SESSIONS_PATH).then((response) => response.json() as Promise<Sessions>),
    ]);
    this.#leases = leases;
    this.#totals.textContent = totals(sessions);
    this.#sessions.replaceChildren(...sessions.sessions.map((it) => this.#session(it)));
    this.frame.stale();
  }

  #session(it: Connected): HTMLElement {
    const told = cells(it, this.client.serverTime());
    return h(
      "tr",
      { "data-session": it.id },
      h("th", { scope: "row", title: it.client }, it.address, h("span.soft", ` ${it.client}`)),
      ...told.map((cell, at) => (at > 0 ? h("td.number", cell) : h("td", cell))),
    );
  }

  #row(lease: ListedLease): HTMLElement[] {
    const id = lease.lease;
    const open = this.#opened.get(id);
    const keys = button("Keys", () => this.#toggle(lease), { id: `lease-keys-${id}`, "aria-expanded": open !== undefined, "aria-label": `Keys of lease ${id}` });
    const revoke = button("Revoke", () => void this.#revoke(lease), { id: `lease-revoke-${id}`, class: "danger", "aria-label": `Revoke lease ${id}` });
    const row = h(
      "tr",
      { "data-lease": id },
      h("td", String(id)),
      h("td.number", { "data-ends": lease.expiresAt }, this.#left(lease.expiresAt)),
      h("td.number.wide", countdown(lease.ttlMs)),
      h("td.number", countText(lease.keys)),
      h("td.acts", keys, revoke),
    );
    return open ? [row, h("tr.detail", h("td", { colspan: 5 }, this.#keys(lease, open)))] : [row];
  }

  #keys({ keys: count }: ListedLease, { keys, looked, done, failed }: LeaseKeys): HTMLElement {
    const links = keys.map((raw) => h("li", h("a", { href: writeAddress("k", percentEncode(raw)) }, escapeKey(raw))));
    const so = failed ?? (done ? `${counted(keys.length, "key")}${keys.length < Math.min(count, KEYS_SHOWN) ? ` of ${countText(count)} found` : ""}` : `looking through the keys: ${countText(looked)} so far`);
    return h("div", h("p", { class: failed ? "problem" : "soft" }, so), h("ul.keys-of", ...links));
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
    const what = `Lease ${lease} ends now, and ${counted(keys, "key")} with it. Who holds it is told that it is lost.`;
    if (!(await confirmed({ title: `Revoke lease ${lease}?`, what, act: "Revoke" }))) return;
    try {
      const deleted = await revokeLease(this.client, lease);
      toast(`Lease ${lease} is over; ${counted(deleted, "key")} went with it.`);
    } catch (error) {
      toast(sentenceOf(error));
    }
    this.#look();
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
