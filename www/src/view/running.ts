// Something that takes a while: a bar with how far it is, a button that stops it, and a sentence on how it
// ended.

import { sentenceOf } from "../console/failure.js";
import { button, h } from "../dom.js";
import { countText } from "../model/value.js";
import type { Tell } from "../transfer.js";

/** How often the words beside the bar change at most: a screen reader would not keep up. */
const TELL_MS = 250;

export class Running {
  readonly element: HTMLElement;
  readonly #bar: HTMLProgressElement;
  readonly #text = h("span.soft");
  readonly #result = h("p.result", { role: "status" });
  readonly #line: HTMLElement;
  #stopper: AbortController | undefined;

  constructor(name: string) {
    this.#bar = h("progress", { max: 1, "aria-label": `${name}: how far it is` });
    const stop = button("Cancel", () => this.#stopper?.abort());
    this.#line = h("div.running", { hidden: true }, this.#bar, this.#text, stop);
    this.element = h("div", this.#line, this.#result);
  }

  get busy(): boolean {
    return this.#stopper !== undefined;
  }

  say(text: string): void {
    this.#result.textContent = text;
  }

  /** Runs something that says how far it is, one at a time; its answer is how it ended. */
  async run(unit: string, work: (signal: AbortSignal, tell: Tell) => Promise<string>): Promise<void> {
    if (this.#stopper) return;
    const stopper = (this.#stopper = new AbortController());
    this.#line.hidden = false;
    this.#bar.removeAttribute("value");
    this.say("");
    let told = 0;
    const tell: Tell = (done, of) => {
      if (of) this.#bar.value = done / of;
      if (performance.now() - told < TELL_MS) return;
      told = performance.now();
      this.#text.textContent = unit === "" ? "" : `${countText(done)}${of ? ` of ${countText(of)}` : ""} ${unit}`;
    };
    try {
      this.say(await work(stopper.signal, tell));
    } catch (error) {
      this.say(stopper.signal.aborted ? "Stopped. What was done until then stays." : sentenceOf(error));
    } finally {
      this.#stopper = undefined;
      this.#line.hidden = true;
      this.#text.textContent = "";
    }
  }
}
