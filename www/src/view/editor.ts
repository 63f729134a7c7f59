// One key: what the store knows of it, and a form that saves only over the revision it shows.

import { TidekeepError } from "tidekeep";
import type { Entry, PutOptions } from "tidekeep";

import { h } from "../dom.js";
import { escapeKey, fromRaw, parseKey, toRaw } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import type { Change } from "../model/rows.js";
import { countdown, parseDuration } from "../model/time.js";
import { formOf, fromHex, jsonProblem, preview, sizeText, toHex } from "../model/value.js";
import type { Form } from "../model/value.js";
import type { Session } from "../session.js";
import { toast } from "./toast.js";

const NOTHING_CHOSEN = "Choose a key on the left, or make a new one.";
const encoder = new TextEncoder();

export class EditorView {
  readonly element = h("section", { id: "editor", "aria-label": "The chosen key" });
  /** The entry the form was filled from; undefined while a new key is made. */
  #entry: Entry | undefined;
  /** What is there now, when it is no longer what the form was filled from. */
  #conflict: { entry: Entry | undefined } | undefined;
  #form: Form = "text";
  #problem = "";
  #saving = false;
  /** Counts what was asked to be shown: an answer that comes after another wish is dropped. */
  #wish = 0;
  readonly #key = h("input", { name: "key", spellcheck: "false", autocomplete: "off", required: true });
  readonly #value = h("textarea", { name: "value", spellcheck: "false" });
  readonly #ttl = h("input", { name: "ttl", placeholder: "none, 30s, 5m, 1h 30m", autocomplete: "off" });
  /** The value's text when the form was filled. */
  #filled = "";

  constructor(
    readonly session: Session,
    readonly opened: (raw: Raw | undefined) => void,
  ) {
    setInterval(() => this.#tick(), 200);
    this.#value.addEventListener("input", () => this.#validate());
    this.#leave(NOTHING_CHOSEN);
  }

  get raw(): Raw | undefined {
    return this.#entry && toRaw(this.#entry.keyBytes);
  }

  /** Shows a key; says so when it is gone. */
  async open(raw: Raw): Promise<void> {
    await this.#load(raw, ++this.#wish, (entry) => this.#fill(entry));
  }

  /** Starts a new key below a prefix. */
  create(prefix: Raw): void {
    this.#reset(undefined, "text", "");
    this.#key.value = escapeKey(prefix);
    this.#draw();
    this.#key.focus();
  }

  /** Puts the caret into the value. */
  edit(): void {
    if (this.element.contains(this.#value)) this.#value.focus();
  }

  save(): void {
    if (this.element.contains(this.#value)) void this.#save(this.#entry?.revision);
  }

  close(note = NOTHING_CHOSEN): void {
    this.#leave(note);
    this.opened(undefined);
  }

  /** Takes over what happened to the key: quietly if nothing was typed, else as a conflict. */
  changed(change: Change): void {
    if (!this.#entry || toRaw(change.keyBytes) !== this.raw) return;
    const entry = change.type === "put" ? change.entry : undefined;
    if (entry && entry.revision <= this.#entry.revision) return;
    if (this.#value.value === this.#filled && !this.#saving) {
      if (entry) this.#fill(entry);
      else this.close(`${escapeKey(this.raw ?? "")} was removed.`);
    } else if (!this.#saving) {
      this.#conflict = { entry };
      this.#draw();
    }
  }

  /** Shows a key anew after a change made here; what was typed since then stays. */
  async #renew(raw: Raw): Promise<void> {
    await this.#load(raw, this.#wish, (entry) => {
      if (this.#value.value === this.#filled) return this.#fill(entry);
      this.#entry = entry;
      this.#saving = false;
      this.#draw();
      this.opened(raw);
    });
  }

  /** Fetches a key and shows it, unless something else is to be shown by then. */
  async #load(raw: Raw, wish: number, show: (entry: Entry) => void): Promise<void> {
    let gone: string;
    try {
      const entry = await this.session.entry(raw);
      if (wish !== this.#wish) return;
      if (entry) return show(entry);
      gone = `${escapeKey(raw)} is gone.`;
    } catch (error) {
      gone = messageOf(error);
    }
    if (wish === this.#wish) this.close(gone);
  }

  #leave(note: string): void {
    this.#reset(undefined, "text", "");
    this.element.replaceChildren(h("p", { class: "empty" }, note));
  }

  #fill(entry: Entry): void {
    const form = formOf(entry.value);
    this.#reset(entry, form, form === "hex" ? toHex(entry.value) : entry.text());
    this.#draw();
    this.opened(this.raw);
  }

  #reset(entry: Entry | undefined, form: Form, text: string): void {
    this.#wish++;
    this.#saving = false;
    this.#entry = entry;
    this.#form = form;
    this.#filled = text;
    this.#value.value = text;
    this.#ttl.value = "";
    this.#problem = "";
    this.#conflict = undefined;
  }

  #draw(): void {
    const entry = this.#entry;
    const title = entry ? escapeKey(toRaw(entry.keyBytes)) : "New key";
    const form = h(
      "form",
      { submit: (event: Event) => this.#submit(event) },
      entry ? this.#meta(entry) : h("label", {}, "Key", this.#key),
      h("div", { class: "line" }, this.#forms(), this.#ttlField()),
      h("label", {}, "Value", this.#value),
      h("p", { class: "problem", id: "problem", role: "alert" }, this.#problem),
      this.#conflict ? this.#conflictBox(this.#conflict.entry) : undefined,
      h(
        "div",
        { class: "line" },
        h("button", { type: "submit", class: "primary" }, entry ? "Save" : "Create"),
        entry ? h("button", { type: "button", class: "danger", click: () => void this.#delete(entry) }, "Delete") : undefined,
        h("button", { type: "button", click: () => this.close() }, "Close"),
      ),
    );
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.element.replaceChildren(h("div", { class: "bar" }, h("h2", {}, title)), form);
    if (focused instanceof HTMLElement && this.element.contains(focused)) focused.focus();
  }

  #meta(entry: Entry): HTMLElement {
    const pair = (name: string, value: string) => [h("dt", {}, name), h("dd", {}, value)];
    return h(
      "dl",
      {},
      ...pair("Size", sizeText(entry.value.length)),
      ...pair("Revision", `${entry.revision}, created at ${entry.created}, version ${entry.version}`),
      h("dt", {}, "Ends"),
      h("dd", { id: "ends" }, this.#ends()),
    );
  }

  #forms(): HTMLElement {
    const option = (form: Form, text: string) =>
      h("option", { value: form, selected: form === this.#form }, text);
    const change = (event: Event) => this.#convert((event.target as HTMLSelectElement).value as Form);
    const select = h("select", { change }, option("text", "Text"), option("json", "JSON"), option("hex", "Hex"));
    return h("label", {}, "Shown as", select);
  }

  #ttlField(): HTMLElement {
    const clear = () => void this.#touch({});
    const set = () => {
      const ttlMs = parseDuration(this.#ttl.value);
      if (ttlMs === undefined) this.#complain("A time to live is like 30s, 5m or 1h 30m.");
      else void this.#touch({ ttlMs });
    };
    const label = h("label", {}, "Time to live", this.#ttl);
    if (!this.#entry) return label;
    return h(
      "div",
      { class: "line" },
      label,
      h("button", { type: "button", click: set }, "Set"),
      this.#entry.expiresAt === undefined
        ? undefined
        : h("button", { type: "button", click: clear }, "Clear"),
    );
  }

  #conflictBox(current: Entry | undefined): HTMLElement {
    const reload = () => (current ? this.#fill(current) : this.close());
    return h(
      "div",
      { class: "conflict", role: "alert" },
      h("strong", {}, current ? "Somebody else changed this key. It is now:" : "Somebody else removed this key."),
      current ? h("pre", {}, preview(current.value)) : undefined,
      h(
        "div",
        { class: "line" },
        h("button", { type: "button", click: reload }, current ? "Take theirs" : "Close"),
        h("button", { type: "button", click: () => void this.#save(current?.revision) }, "Keep mine"),
      ),
    );
  }

  #convert(form: Form): void {
    const bytes = this.#bytes();
    if (!bytes) return this.#draw();
    const text = form === "hex" ? toHex(bytes) : new TextDecoder().decode(bytes);
    const untouched = this.#value.value === this.#filled;
    this.#form = form;
    this.#value.value = text;
    if (untouched) this.#filled = text;
    this.#problem = "";
    this.#validate();
    this.#draw();
  }

  /** What the form would save; undefined, with the reason shown, when it is not valid. */
  #bytes(): Uint8Array | undefined {
    if (this.#form !== "hex") return encoder.encode(this.#value.value);
    const bytes = fromHex(this.#value.value);
    if (!bytes) this.#complain("This is not whole bytes of hex digits.");
    return bytes;
  }

  #validate(): void {
    const problem = this.#form === "json" ? jsonProblem(this.#value.value) : undefined;
    this.#complain(problem === undefined ? "" : `No JSON yet: ${problem}`);
  }

  #submit(event: Event): void {
    event.preventDefault();
    void this.#save(this.#entry?.revision);
  }

  async #save(revision: number | undefined): Promise<void> {
    const value = this.#bytes();
    if (!value || this.#saving) return;
    if (this.#form === "json" && jsonProblem(this.#value.value) !== undefined) return this.#validate();
    const raw = this.#entry ? this.raw : parseKey(this.#key.value);
    if (raw === undefined || raw === "") return this.#complain("A key has text; \\xNN writes a byte.");
    const options = this.#putOptions(revision);
    if (!options) return;
    const wish = this.#wish;
    const saved = this.#value.value;
    this.#saving = true;
    try {
      await this.session.client.put(fromRaw(raw), value, options);
      toast(`Saved ${escapeKey(raw)}`);
      if (wish !== this.#wish) return;
      this.#filled = saved;
      this.#conflict = undefined;
      await this.#renew(raw);
    } catch (error) {
      if (wish === this.#wish) this.#refused(error);
      else toast(`${escapeKey(raw)} was not saved: ${messageOf(error)}`);
    } finally {
      if (wish === this.#wish) this.#saving = false;
    }
  }

  #putOptions(revision: number | undefined): PutOptions | undefined {
    const guard = revision === undefined ? { ifAbsent: true } : { ifRevision: revision };
    if (this.#entry) return { ...guard, keepTtl: true };
    if (this.#ttl.value.trim() === "") return guard;
    const ttlMs = parseDuration(this.#ttl.value);
    if (ttlMs === undefined) this.#complain("A time to live is like 30s, 5m or 1h 30m.");
    return ttlMs === undefined ? undefined : { ...guard, ttlMs };
  }

  async #touch(expiry: { ttlMs?: number }): Promise<void> {
    const raw = this.raw;
    if (raw === undefined) return;
    const wish = this.#wish;
    try {
      await this.session.client.touch(fromRaw(raw), expiry);
      toast(expiry.ttlMs === undefined ? "It no longer ends" : "Its end is set");
      if (wish !== this.#wish) return;
      this.#ttl.value = "";
      await this.#renew(raw);
    } catch (error) {
      if (wish === this.#wish) this.#complain(messageOf(error));
    }
  }

  async #delete(entry: Entry): Promise<void> {
    const name = escapeKey(toRaw(entry.keyBytes));
    if (!confirm(`Delete ${name}?`)) return;
    const wish = this.#wish;
    try {
      await this.session.client.delete(entry.keyBytes, { ifRevision: entry.revision });
      if (wish === this.#wish) this.close(`${name} was deleted.`);
      const expiresAt = entry.expiresAt === undefined ? {} : { expiresAt: entry.expiresAt };
      toast(`Deleted ${name}`, {
        name: "Undo",
        run: async () => {
          await this.session.client.put(entry.keyBytes, entry.value, { ifAbsent: true, ...expiresAt });
          await this.open(toRaw(entry.keyBytes));
        },
      });
    } catch (error) {
      if (wish === this.#wish) this.#refused(error);
      else toast(`${name} was not deleted: ${messageOf(error)}`);
    }
  }

  #refused(error: unknown): void {
    if (error instanceof TidekeepError && error.code === "conflict") {
      if (!this.#entry && error.current) {
        return this.#complain("This key exists already; choose it in the list to edit it.");
      }
      this.#conflict = { entry: error.current };
      this.#draw();
    } else {
      this.#complain(messageOf(error));
    }
  }

  #complain(problem: string): void {
    this.#problem = problem;
    const shown = this.element.querySelector("#problem");
    if (shown) shown.textContent = problem;
  }

  #ends(): string {
    const end = this.#entry?.expiresAt;
    if (end === undefined) return "never";
    return `in ${countdown(end - this.session.client.serverTime())}`;
  }

  #tick(): void {
    const shown = this.element.querySelector("#ends");
    if (shown) shown.textContent = this.#ends();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
