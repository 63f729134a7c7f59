// The console: the command line's verbs in the page, as a view of its own and as a drawer below any other.
// Each line shows the JavaScript that does the same.

import type { Client } from "tidekeep";

import { common, complete } from "../console/complete.js";
import { failureOf } from "../console/failure.js";
import { TypedLines } from "../console/history.js";
import { keysBelow, read } from "../console/run.js";
import type { Output, Plan } from "../console/run.js";
import { button, byId, download, h, oncePerFrame, textField } from "../dom.js";
import type { Frame } from "./frame.js";
import { copy } from "./how.js";
import type { View } from "./view.js";

/** Lines that are kept, and those of one command that is no watch. */
const LINES_MAX = 2000;
const COMMAND_LINES_MAX = 1000;
const CANDIDATES_MAX = 40;

type Kind = "command" | "js" | "out" | "note" | "error" | "hint";

export class ConsoleView implements View {
  readonly name = "console";
  readonly title = "Console";
  readonly key = "o";
  readonly element = h("section.page.console-page", { "aria-label": "Console" });
  readonly #drawer = byId("drawer");
  readonly #lines = h("div.console-lines", { tabindex: 0, role: "region", "aria-label": "What was printed" });
  readonly #field = textField({ class: "mono", "aria-label": "Command", placeholder: "help", autocapitalize: "off", keydown: (event: KeyboardEvent) => this.#key(event) });
  readonly #said = h("p.candidates", { role: "status" });
  readonly #stop = button("Stop", () => this.#end(), { hidden: true });
  readonly #close = button("Close", () => this.toggle());
  readonly #panel: HTMLElement;
  readonly #typed = new TypedLines(localStorage);
  readonly #flush = oncePerFrame(() => this.#append());
  #fresh: HTMLElement[] = [];
  #running: AbortController | undefined;
  /** Who waits for the answer to a question. */
  #asked: ((answer: string) => void) | undefined;
  /** Tab leaves the field after Escape. */
  #leaving = false;

  constructor(
    readonly client: Client,
    readonly frame: Frame,
  ) {
    const form = h(
      "form.prompt",
      { submit: (event: Event) => this.#submit(event) },
      h("span.mono", { "aria-hidden": "true" }, "›"),
      this.#field,
      this.#stop,
      this.#close,
    );
    this.#panel = h("div.console", this.#lines, this.#said, form);
    this.#print("note", "The verbs of `tidekeep`; `help` lists them. Tab completes verbs, options and keys; Escape, then Tab leaves the line.");
    this.element.append(this.#panel);
    frame.actions.add({ group: "Page", title: "Console below any view", keys: "`", run: () => this.toggle() });
  }

  show(): void {
    this.#drawer.hidden = true;
    this.#close.hidden = true;
    this.element.append(this.#panel);
    this.#field.focus();
  }

  hide(): void {
    this.#close.hidden = false;
  }

  /** Opens the drawer, or closes it; where the console is the view, its line is gone to. */
  toggle(): void {
    if (this.frame.shows(this)) return this.#field.focus();
    this.#drawer.hidden = !this.#drawer.hidden;
    if (this.#drawer.hidden) return;
    this.#drawer.append(this.#panel);
    this.#lines.scrollTop = this.#lines.scrollHeight;
    this.#field.focus();
  }

  #submit(event: Event): void {
    event.preventDefault();
    const line = this.#field.value;
    this.#field.value = "";
    this.#say("");
    if (this.#asked) {
      this.#print("command", line);
      this.#asked(line);
      this.#asked = undefined;
    } else if (!this.#running && line.trim() !== "") {
      this.#typed.add(line);
      void this.#run(line);
    }
  }

  async #run(line: string): Promise<void> {
    this.#print("command", line);
    const { signal } = (this.#running = new AbortController());
    this.#stop.hidden = false;
    try {
      const plan = read(line);
      if (plan?.js !== undefined) this.#printJs(plan.js);
      if (plan) await plan.run(this.client, this.#output(plan, signal));
      // A watch that is stopped ends without an error.
      if (!signal.aborted) this.#say("Done");
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    } finally {
      if (signal.aborted) this.#print("note", "stopped");
      this.#running = undefined;
      this.#asked = undefined;
      this.#stop.hidden = true;
    }
  }

  #fail(error: unknown): void {
    const { code, message, hint } = failureOf(error);
    this.#print("error", `error: ${message} (${code})`);
    if (hint !== undefined) this.#print("hint", `hint: ${hint}`);
    this.#say(`Error: ${message}`);
  }

  #output({ format }: Plan, signal: AbortSignal): Output {
    let count = 0;
    return {
      signal,
      format,
      line: (text) => {
        this.#print("out", text);
        return ++count < COMMAND_LINES_MAX;
      },
      note: (text) => this.#print("note", text),
      confirm: (question) => this.#ask(question, signal),
      download,
      go: (place, rest) => this.frame.go(place, rest),
      clear: () => {
        this.#fresh = [];
        this.#lines.replaceChildren();
      },
    };
  }

  async #ask(question: string, signal: AbortSignal): Promise<boolean> {
    this.#print("note", question);
    this.#say(question);
    const answer = await new Promise<string>((resolve) => {
      this.#asked = resolve;
      signal.addEventListener("abort", () => resolve(""));
    });
    return /^y(es)?$/i.test(answer.trim());
  }

  #end(): void {
    this.#running?.abort();
    this.#field.focus();
  }

  #key(event: KeyboardEvent): void {
    const leaving = this.#leaving;
    this.#leaving = false;
    const { key } = event;
    if (key === "Escape") {
      this.#leaving = true;
      this.#say("Tab leaves the line now");
    } else if (key === "Tab" && !event.shiftKey && !leaving && this.#field.value !== "") {
      event.preventDefault();
      void this.#complete();
    } else if (key === "ArrowUp" || key === "ArrowDown") {
      const line = key === "ArrowUp" ? this.#typed.back(this.#field.value) : this.#typed.on();
      event.preventDefault();
      if (line !== undefined) this.#field.value = line;
    } else if (event.ctrlKey && key === "c" && this.#field.selectionStart === this.#field.selectionEnd && getSelection()?.isCollapsed !== false) {
      event.preventDefault();
      if (this.#running) this.#end();
      else this.#field.value = "";
    } else if (event.ctrlKey && key === "l") {
      event.preventDefault();
      this.#lines.replaceChildren();
    }
  }

  async #complete(): Promise<void> {
    const line = this.#field.value;
    const caret = this.#field.selectionStart ?? line.length;
    const found = await complete(line.slice(0, caret), keysBelow(this.client, CANDIDATES_MAX)).catch(() => undefined);
    if (!found || this.#field.value !== line) return;
    const { start, candidates } = found;
    const shared = common(candidates);
    if (shared.length > caret - start) {
      const head = line.slice(0, start) + shared;
      this.#field.value = head + line.slice(caret);
      this.#field.setSelectionRange(head.length, head.length);
    }
    const shown = candidates.slice(0, CANDIDATES_MAX).map(({ shown }) => shown);
    const more = candidates.length > shown.length ? " …" : "";
    this.#say(candidates.length === 0 ? "nothing begins so" : candidates.length === 1 ? "" : shown.join("   ") + more);
  }

  #printJs(js: string): void {
    const taken = () => void copy(js, "the JavaScript");
    this.#put(h("div.line-js", h("code", js), button("Copy", taken, { class: "plain", "aria-label": "Copy the JavaScript" })));
  }

  #print(kind: Kind, text: string): void {
    this.#put(h("div", { class: `line-${kind}` }, text === "" ? "\u00a0" : text));
  }

  #put(line: HTMLElement): void {
    this.#fresh.push(line);
    if (this.#fresh.length > LINES_MAX) this.#fresh.shift();
    this.#flush();
  }

  /** Many lines at once: a fast watch costs one layout a frame. */
  #append(): void {
    const atEnd = this.#lines.scrollHeight - this.#lines.scrollTop - this.#lines.clientHeight < 40;
    this.#lines.append(...this.#fresh);
    this.#fresh = [];
    for (let over = this.#lines.childElementCount - LINES_MAX; over > 0; over--) this.#lines.firstElementChild?.remove();
    if (atEnd) this.#lines.scrollTop = this.#lines.scrollHeight;
  }

  #say(text: string): void {
    this.#said.textContent = text;
  }
}
