// Every change as it happens, newest first, with a filter and a pause.

import { h } from "../dom.js";
import { escapeKey, toRaw } from "../model/bytes.js";
import { clockText } from "../model/time.js";
import { countText, preview } from "../model/value.js";
import type { Logged, Session } from "../session.js";
import type { View } from "./view.js";

const SHOWN_MAX = 200;

export class LiveView implements View {
  readonly name = "live";
  readonly title = "Live";
  readonly key = "l";
  readonly element = h("section", { id: "log", "aria-label": "Changes as they happen" });
  readonly #list = h("ol", { tabindex: 0, "aria-label": "Changes, newest first" });
  readonly #count = h("span", { class: "soft" });
  readonly #filter = h("input", { type: "search", placeholder: "Filter changes", "aria-label": "Filter changes" });
  readonly #pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");

  constructor(readonly session: Session) {
    this.#filter.addEventListener("input", () => this.draw());
    this.#pause.addEventListener("click", () => {
      session.pause(!session.paused);
      this.#pause.setAttribute("aria-pressed", String(session.paused));
      this.#pause.textContent = session.paused ? "Go on" : "Pause";
    });
    const clear = h("button", { type: "button", click: () => session.clearLog() }, "Clear");
    this.element.append(
      h("div", { class: "bar" }, h("h2", {}, "Changes"), this.#filter, this.#pause, clear, this.#count),
      this.#list,
    );
  }

  show(): void {}

  hide(): void {}

  draw(): void {
    const needle = this.#filter.value.toLowerCase();
    const passes = ({ change }: Logged) => escapeKey(toRaw(change.keyBytes)).toLowerCase().includes(needle);
    const shown = this.session.log.filter(passes).slice(-SHOWN_MAX).reverse();
    this.#list.replaceChildren(...shown.map((logged) => this.#line(logged)));
    this.#count.textContent = `${countText(this.session.seen)} seen`;
  }

  #line({ at, change }: Logged): HTMLElement {
    return h(
      "li",
      { "data-revision": change.revision },
      h("span", { class: "soft" }, clockText(at)),
      h("span", { class: `kind-${change.type}` }, change.type),
      h("span", {}, escapeKey(toRaw(change.keyBytes))),
      h("span", { class: "soft" }, change.type === "put" ? preview(change.entry.value) : ""),
    );
  }
}
