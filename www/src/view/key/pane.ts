// One key: what the store knows of it, its value to read, a form to change it, and its history.

import type { Entry } from "tidekeep";

import type { Deeds } from "../../deeds.js";
import { button, h, say, textField } from "../../dom.js";
import { escapeKey, toRaw } from "../../model/bytes.js";
import type { Raw } from "../../model/bytes.js";
import { deleteWords, getWords, historyWords, putWords, watchWords } from "../../model/equivalents.js";
import type { Change } from "../../model/row.js";
import { countdown, parseDuration } from "../../model/time.js";
import { countText, formOf, FORMS, guess, toForm } from "../../model/value.js";
import { bytesText } from "../../model/scale.js";
import type { Form } from "../../model/value.js";
import type { Session } from "../../session.js";
import type { Offer } from "../frame.js";
import { copy, howTo } from "../how.js";
import { menu } from "../menu.js";
import { fact } from "../table.js";
import { messageOf, toast } from "../toast.js";
import { EditForm } from "./edit.js";
import { HistoryView } from "./history.js";
import { valueView } from "./value.js";

const NOTHING_CHOSEN = "Choose a key to see it here.";

/** What of a key is shown. */
export type Tab = "value" | "history";
type Mode = "nothing" | "read" | "edit";

export class KeyPane {
  readonly element = h("section", { id: "key", "aria-label": "The chosen key" });
  readonly #edit: EditForm;
  readonly #history: HistoryView;
  #mode: Mode = "nothing";
  #tab: Tab = "value";
  #entry: Entry | undefined;
  /** Undefined: the form that tells most. */
  #form: Form | undefined;
  #rawJson = false;
  #note = NOTHING_CHOSEN;
  /** Counts what was asked to be shown: an answer that comes after another wish is dropped. */
  #wish = 0;

  constructor(
    readonly session: Session,
    readonly deeds: Deeds,
    /** Another key is shown, or none. */
    readonly shows: (raw: Raw | undefined, tab: Tab) => void,
  ) {
    this.#edit = new EditForm(deeds, (raw) => void this.#saved(raw), () => this.leave());
    this.#history = new HistoryView(session, (entry) => void this.#restore(entry));
    setInterval(() => this.#tick(), 200);
    this.#draw();
  }

  get raw(): Raw | undefined {
    return this.#entry && toRaw(this.#entry.keyBytes);
  }

  /** What it offers to the palette and the keyboard, for while its view is shown. */
  offer(offer: Offer): void {
    const read = { ready: () => this.#mode === "read" };
    offer("Edit the value", "e", () => this.edit(), read);
    offer("Save", "Ctrl-S", () => void this.#edit.save(), { whileTyping: true, ready: () => this.#mode === "edit" });
    offer("Show the value", "v", () => this.#show(this.raw!, "value"), read);
    offer("Show the history", "h", () => this.#show(this.raw!, "history"), read);
    offer("Copy the key", "y", () => void copy(escapeKey(this.raw!), "the key"), read);
    offer("Copy the value", undefined, () => void this.#copyValue(), read);
    offer("Delete the key", "Delete", () => void this.#delete(this.#entry!), read);
  }

  /** Shows a key; says so when it is gone. */
  async open(raw: Raw, tab: Tab = "value", revision?: number): Promise<void> {
    if (!this.#mayLeave()) return;
    const wish = ++this.#wish;
    this.#tab = tab;
    const entry = await this.#fetch(raw, wish);
    if (wish !== this.#wish) return;
    this.#form = undefined;
    this.#take(raw, entry);
    this.#show(raw, tab, revision);
  }

  /** Starts a new key below a prefix. */
  create(prefix: Raw): void {
    if (!this.#mayLeave()) return;
    this.#wish++;
    this.#history.close();
    this.#entry = undefined;
    this.#mode = "edit";
    this.#draw();
    this.#edit.create(prefix);
  }

  edit(): void {
    if (!this.#entry) return;
    this.#mode = "edit";
    this.#tab = "value";
    this.#draw();
    this.#edit.edit(this.#entry);
  }

  /** Leaves the form, or the key. What was typed and not saved is asked about. */
  leave(): void {
    if (this.#mode === "edit" && !this.#mayLeave()) return;
    const { raw } = this;
    if (this.#mode !== "edit" || raw === undefined) return this.close();
    this.#mode = "read";
    this.#draw();
    void this.#renew(raw);
  }

  close(note = NOTHING_CHOSEN): void {
    this.#wish++;
    this.#history.close();
    this.#entry = undefined;
    this.#mode = "nothing";
    this.#note = note;
    this.#draw();
    this.shows(undefined, "value");
  }

  /** Takes over what happened to the key: at once where it is read, as a conflict where it is edited. */
  changed(change: Change): void {
    const raw = toRaw(change.keyBytes);
    if (!this.#entry || raw !== this.raw) return;
    const entry = change.type === "put" ? change.entry : undefined;
    if (entry && entry.revision <= this.#entry.revision) return;
    if (this.#mode === "edit" && this.#edit.dirty) return this.#edit.changed(entry);
    if (entry) {
      this.#entry = entry;
      if (this.#mode === "edit") this.#edit.edit(entry);
      else this.#draw();
    } else if (this.#tab !== "history") this.close(`${escapeKey(raw)} was removed.`);
  }

  /** Takes a key over as it is now. */
  #take(raw: Raw, entry: Entry | undefined): void {
    this.#entry = entry;
    this.#mode = entry ? "read" : "nothing";
    this.#note = `${escapeKey(raw)} is not there.`;
  }

  async #fetch(raw: Raw, wish: number): Promise<Entry | undefined> {
    try {
      return await this.session.entry(raw);
    } catch (error) {
      if (wish === this.#wish) toast(messageOf(error));
      return undefined;
    }
  }

  /** A form was saved, or gave way: the key is shown as it is now, unless more was typed meanwhile. */
  async #saved(raw: Raw): Promise<void> {
    const wish = this.#wish;
    const entry = await this.#fetch(raw, wish);
    if (wish !== this.#wish) return;
    if (entry && this.#mode === "edit" && this.#edit.dirty && this.#entry && this.#edit.element.contains(document.activeElement)) {
      this.#entry = entry;
      this.element.querySelector(".facts")?.replaceWith(this.#facts(entry));
      return this.#edit.rebase(entry);
    }
    this.#take(raw, entry);
    this.#draw();
    this.shows(raw, "value");
  }

  async #renew(raw: Raw): Promise<void> {
    const wish = this.#wish;
    const entry = await this.#fetch(raw, wish);
    if (wish !== this.#wish || this.#mode !== "read") return;
    this.#take(raw, entry);
    this.#draw();
  }

  #mayLeave(): boolean {
    return this.#mode !== "edit" || !this.#edit.dirty || confirm("Leave what you typed unsaved?");
  }

  #show(raw: Raw, tab: Tab, revision?: number): void {
    this.#tab = tab;
    if (tab === "history") this.#history.open(raw, revision);
    else this.#history.close();
    this.#draw();
    this.shows(raw, tab);
  }

  #draw(): void {
    const focused = document.activeElement?.getAttribute("data-focus");
    const parts = this.#mode === "nothing" ? this.#nothing() : [this.#head(), ...this.#body()];
    this.element.replaceChildren(...parts);
    if (focused) this.element.querySelector<HTMLElement>(`[data-focus="${focused}"]`)?.focus();
  }

  #nothing(): HTMLElement[] {
    const note = h("p.empty", this.#note);
    // A key that is gone still has its history.
    return this.#tab === "history" && this.#note !== NOTHING_CHOSEN ? [note, this.#history.element] : [note];
  }

  #head(): HTMLElement {
    const entry = this.#entry;
    const buttons = entry && this.#mode === "read" ? this.#buttons(entry) : [];
    const close = button("✕", () => this.leave(), { class: "plain", "aria-label": "Close", "data-focus": "close" });
    return h("div.bar", h("h2.mono", entry ? escapeKey(toRaw(entry.keyBytes)) : "New key"), ...buttons, close);
  }

  #buttons(entry: Entry): HTMLElement[] {
    const raw = toRaw(entry.keyBytes);
    const put = putWords(raw, entry.value, { ifRevision: entry.revision, keepTtl: true });
    const item = (name: string, text: () => string, close: () => void) =>
      button(name, () => (close(), void copy(text(), name)));
    return [
      button("Edit", () => this.edit(), { "data-focus": "edit" }),
      menu("Copy", "Copy", (close) => [
        item("the key", () => escapeKey(raw), close),
        item("the value", () => toForm(entry.value, formOf(entry.value)), close),
        item("a command that writes it", () => put.cli, close),
        item("a call that writes it", () => put.js, close),
      ]),
      menu("How", "How to do this elsewhere", () => howTo([getWords(raw), put, deleteWords(raw, entry.revision), watchWords(raw), historyWords(raw)])),
      button("Delete", () => void this.#delete(entry), { class: "danger" }),
    ];
  }

  #body(): HTMLElement[] {
    const entry = this.#entry;
    if (this.#mode === "edit" || !entry) return entry ? [this.#facts(entry), this.#edit.element] : [this.#edit.element];
    const tab = (name: Tab, text: string) =>
      segment(text, this.#tab === name, () => this.#show(this.raw!, name));
    const tabs = segments("What is shown", tab("value", "Value"), tab("history", "History"));
    if (this.#tab === "history") return [this.#facts(entry), h("div.line.tools", tabs), this.#history.element];
    const form = this.#form ?? formOf(entry.value);
    return [
      this.#facts(entry),
      h("div.line.tools", tabs, this.#forms(entry, form)),
      valueView(entry.value, form, this.#rawJson),
      this.#end(entry),
    ];
  }

  #forms(entry: Entry, form: Form): HTMLElement {
    const able = (name: Form) => name !== "json" || formOf(entry.value) === "json";
    const choose = (name: Form, raw: boolean) => {
      [this.#form, this.#rawJson] = [name, raw];
      this.#draw();
    };
    const buttons = FORMS.filter(([name]) => able(name) && !(name === "text" && able("json"))).map(([name, text]) =>
      segment(name === "json" ? "JSON tree" : text, form === name && !(name === "json" && this.#rawJson), () => choose(name, false)),
    );
    if (able("json")) buttons.splice(1, 0, segment("Raw", form === "json" && this.#rawJson, () => choose("json", true)));
    return segments("Shown as", ...buttons);
  }

  #facts(entry: Entry): HTMLElement {
    const kind = guess(entry.value) ?? FORMS.find(([form]) => form === formOf(entry.value))?.[1] ?? "";
    return h(
      "dl.facts",
      fact("Size", bytesText(entry.value.length)),
      fact("Is", kind),
      fact("Revision", countText(entry.revision)),
      fact("Created", `r ${countText(entry.created)}`),
      fact("Version", countText(entry.version)),
      fact("Ends", this.#ends(), "ends"),
    );
  }

  /** When the key ends, and what can be done about it. */
  #end(entry: Entry): HTMLElement {
    const field = textField({ name: "ttl", placeholder: "30s, 5m, 1h30m, 2d", "data-focus": "ttl" });
    const set = (event: Event) => {
      event.preventDefault();
      const ttlMs = parseDuration(field.value);
      if (ttlMs === undefined) return toast("A time to live is like 30s, 5m, 1h30m, 2d.");
      void this.#touch(entry, ttlMs);
    };
    const never = () => void this.#touch(entry, undefined);
    return h(
      "form.line.end",
      { submit: set },
      h("label", "Time to live", field),
      h("button", "Set"),
      entry.expiresAt !== undefined && button("Keep for ever", never),
    );
  }

  async #touch(entry: Entry, ttlMs: number | undefined): Promise<void> {
    try {
      await this.deeds.touch(entry, ttlMs);
      await this.#renew(toRaw(entry.keyBytes));
    } catch (error) {
      toast(messageOf(error));
    }
  }

  /** Can be taken back, so that nobody is asked before. */
  async #delete(entry: Entry): Promise<void> {
    const wish = this.#wish;
    try {
      await this.deeds.remove(entry);
      if (wish === this.#wish) this.close(`${escapeKey(toRaw(entry.keyBytes))} was deleted.`);
    } catch (error) {
      toast(`It was not deleted: ${messageOf(error)}`);
    }
  }

  async #restore(version: Entry): Promise<void> {
    const raw = toRaw(version.keyBytes);
    try {
      const now = await this.session.entry(raw);
      await this.deeds.put(raw, version.value, now);
      const entry = await this.session.entry(raw);
      if (entry && this.#mode !== "edit") this.#take(raw, entry);
      this.#draw();
    } catch (error) {
      toast(`It was not restored: ${messageOf(error)}`);
    }
  }

  async #copyValue(): Promise<void> {
    const { value } = this.#entry!;
    await copy(toForm(value, formOf(value)), "the value");
  }

  #ends(): string {
    const entry = this.#entry;
    if (entry?.lease !== undefined) return `with lease ${entry.lease}`;
    if (entry?.expiresAt === undefined) return "never";
    return `in ${countdown(entry.expiresAt - this.session.client.serverTime())}`;
  }

  #tick(): void {
    const shown = this.element.querySelector("#ends");
    if (shown && this.#entry) say(shown, this.#ends());
  }
}

/** Buttons of which one is pressed. */
function segments(label: string, ...buttons: HTMLElement[]): HTMLElement {
  return h("div.segments", { role: "group", "aria-label": label }, ...buttons);
}

function segment(text: string, on: boolean, run: () => void): HTMLElement {
  return button(text, run, { "aria-pressed": on, "data-focus": text });
}
