// The form of a key: a new one, or another value of one that is there. It saves only over the revision that
// it was filled from, shows what a save would change, and brings both together when somebody else was faster.

import { TidekeepError } from "tidekeep/slim";
import type { Entry } from "tidekeep";

import type { Deeds } from "../../deeds.js";
import { button, h, oncePerFrame, say, textField } from "../../dom.js";
import { escapeKey, parseKey, toRaw } from "../../model/bytes.js";
import type { Raw } from "../../model/bytes.js";
import { diffTexts } from "../../model/diff.js";
import { merge } from "../../model/merge.js";
import { parseDuration } from "../../model/time.js";
import { formOf, FORMS, fromForm, prettyJson, survivesPretty, toForm } from "../../model/value.js";
import type { Form } from "../../model/value.js";
import { messageOf, toast } from "../toast.js";
import { diffView } from "./diff.js";

/** Beyond this, typing would wait for the preview. */
const PREVIEW_BYTES = 200_000;

export class EditForm {
  readonly element = h("form.edit", { "aria-label": "Value to save" });
  /** The entry the form was filled from; undefined while a new key is made. */
  #base: Entry | undefined;
  /** What is there now, when it is no longer what the form was filled from. */
  #theirs: { entry: Entry | undefined } | undefined;
  #form: Form = "text";
  #filled = "";
  #saving = false;
  readonly #key = textField({ name: "key", required: true });
  readonly #keyField = h("label", "Key", this.#key);
  readonly #value = h("textarea", { name: "value", spellcheck: "false", "aria-describedby": "problem", input: () => this.#update() });
  readonly #ttl = textField({ name: "ttl", placeholder: "30s, 5m, 1h30m, 2d" });
  readonly #ttlField = h("label", "Time to live", this.#ttl);
  readonly #shown = h("select", { change: () => this.#convert(this.#shown.value as Form) }, ...FORMS.map(([form, name]) => h("option", { value: form }, name)));
  readonly #pretty = button("Format JSON", () => this.#format());
  readonly #problem = h("p.problem", { id: "problem", role: "alert" });
  readonly #preview = h("div");
  readonly #submit = h("button.primary");
  readonly #update = oncePerFrame(() => this.#show());

  constructor(
    readonly deeds: Deeds,
    /** The key is saved, or is to be shown as it is. */
    readonly done: (raw: Raw) => void,
    cancelled: () => void,
  ) {
    const cancel = button("Cancel", cancelled);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.save();
    });
    this.element.append(
      this.#keyField,
      h("div.line", h("label", "Edit as", this.#shown), this.#ttlField, this.#pretty),
      h("label.grow", "Value", this.#value),
      this.#problem,
      h("div.line", this.#submit, cancel, h("span.soft", h("kbd", "Ctrl-S"), " saves")),
      this.#preview,
    );
  }

  /** Whether something was typed that is not saved. */
  get dirty(): boolean {
    return this.#value.value !== this.#filled;
  }

  /** Fills the form from an entry. */
  edit(entry: Entry): void {
    this.#begin(entry, formOf(entry.value));
    this.#value.focus();
  }

  /** Begins a new key below a prefix. */
  create(prefix: Raw): void {
    this.#begin(undefined, "text");
    this.#key.value = escapeKey(prefix);
    this.#key.focus();
  }

  /** The key was changed or removed by somebody else. */
  changed(entry: Entry | undefined): void {
    if (this.#saving || !this.#base || (entry && entry.revision <= this.#base.revision)) return;
    this.#theirs = { entry };
    this.#show();
  }

  /** Saves over what the form was filled from. */
  save(): Promise<void> {
    return this.#save(this.#base);
  }

  async #save(over: Entry | undefined): Promise<void> {
    const value = fromForm(this.#value.value, this.#form);
    if (this.#saving) return;
    if (typeof value === "string") return this.#complain(value);
    const raw = this.#base ? toRaw(this.#base.keyBytes) : parseKey(this.#key.value);
    if (raw === undefined || raw === "") return this.#complain("A key has text; \\xNN writes a byte.");
    const wanted = this.#ttl.value.trim();
    const ttlMs = wanted === "" ? undefined : parseDuration(wanted);
    if (wanted !== "" && ttlMs === undefined) return this.#complain("A time to live is like 30s, 5m, 1h30m, 2d.");
    const text = this.#value.value;
    this.#saving = true;
    try {
      await this.deeds.put(raw, value, over, ttlMs);
      this.#saving = false;
      // What was typed meanwhile stays to be saved.
      if (this.#value.value === text) this.#filled = text;
      this.done(raw);
    } catch (error) {
      this.#saving = false;
      if (this.element.isConnected) this.#refused(error);
      else toast(`${escapeKey(raw)} was not saved: ${messageOf(error)}`);
    }
  }

  /** Goes on with an entry that was saved here, keeping what was typed since. */
  rebase(entry: Entry): void {
    this.#base = entry;
    this.#theirs = undefined;
    this.#show();
  }

  #begin(entry: Entry | undefined, form: Form): void {
    this.#base = entry;
    this.#theirs = undefined;
    this.#saving = false;
    this.#form = form;
    this.#shown.value = form;
    this.#filled = entry ? toForm(entry.value, form) : "";
    this.#value.value = this.#filled;
    this.#ttl.value = "";
    this.#keyField.hidden = entry !== undefined;
    this.#key.disabled = entry !== undefined;
    this.#submit.textContent = entry ? "Save" : "Create";
    this.#show();
  }

  #show(): void {
    const value = fromForm(this.#value.value, this.#form);
    this.#complain(typeof value === "string" ? value : "");
    this.#pretty.hidden = this.#form !== "json";
    const before = this.#base?.value;
    if (this.#theirs) this.#preview.replaceChildren(this.#conflict(this.#theirs.entry));
    else if (!before || typeof value === "string" || !this.dirty) this.#preview.replaceChildren();
    else if (before.length + value.length > PREVIEW_BYTES) {
      this.#preview.replaceChildren(h("p.soft", "Too long for a preview of what changes."));
    } else this.#preview.replaceChildren(diffView("What a save changes", before, value));
  }

  /** Three sides: what was shown, what is typed here, what is there now. */
  #conflict(theirs: Entry | undefined): HTMLElement {
    const base = this.#base!;
    const mine = fromForm(this.#value.value, this.#form);
    const take = () => this.done(toRaw(base.keyBytes));
    const both = theirs && this.#merged(base, theirs);
    const joined = () => {
      this.#value.value = both!;
      this.#base = theirs;
      this.#theirs = undefined;
      this.#filled = toForm(theirs!.value, this.#form);
      this.#show();
    };
    const sides = [
      diffView("Theirs: from what was shown to what is there now", base.value, theirs?.value),
      typeof mine === "string" ? h("p.soft", mine) : diffView("Mine: from what was shown to this form", base.value, mine),
    ];
    return h(
      "section.conflict",
      { role: "alert", "aria-label": "Conflict" },
      h(
        "strong",
        theirs
          ? `Somebody else changed this key: it was at revision ${base.revision}, and is at ${theirs.revision}.`
          : "Somebody else removed this key.",
      ),
      h(
        "div.line",
        button(theirs ? "Take theirs" : "Let it go", take),
        button("Keep mine", () => void this.#save(theirs)),
        both !== undefined && button("Bring both together", joined),
      ),
      h("div.sides", ...sides),
    );
  }

  /** Both edits in one text, if they touch different lines of it. */
  #merged(base: Entry, theirs: Entry): string | undefined {
    if (this.#form === "hex" || this.#form === "base64") return undefined;
    const [was, is] = [toForm(base.value, this.#form), toForm(theirs.value, this.#form)];
    const both = merge(was, this.#value.value, is);
    return both === this.#value.value || diffTexts(was, is).pieces.length === 0 ? undefined : both;
  }

  #refused(error: unknown): void {
    if (!(error instanceof TidekeepError) || error.code !== "conflict") return this.#complain(messageOf(error));
    if (!this.#base) return this.#complain("This key exists already; choose it in the list to edit it.");
    this.#theirs = { entry: error.current };
    this.#show();
  }

  #convert(form: Form): void {
    const value = fromForm(this.#value.value, this.#form === "json" ? "text" : this.#form);
    if (typeof value === "string") {
      this.#shown.value = this.#form;
      return this.#complain(value);
    }
    const untouched = !this.dirty;
    this.#form = form;
    this.#value.value = toForm(value, form);
    if (untouched || !this.#base) this.#filled = untouched ? this.#value.value : this.#filled;
    else this.#filled = toForm(this.#base.value, form);
    this.#show();
  }

  /** Only on demand, and only where no number would come out changed. */
  #format(): void {
    const text = this.#value.value;
    if (!survivesPretty(text)) return this.#complain("Formatting would change what this means, or it is no JSON.");
    this.#value.value = prettyJson(text);
    this.#show();
  }

  #complain(problem: string): void {
    say(this.#problem, problem);
  }
}
