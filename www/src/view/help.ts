// The keyboard, as the list of actions has it, and the switch for keys without Ctrl.

import type { Action, Actions } from "../actions.js";
import { button, byId, h } from "../dom.js";

const STORED = "single-keys";

export class Help {
  readonly #dialog = byId<HTMLDialogElement>("help");

  constructor(readonly actions: Actions) {
    actions.singleKeys = localStorage.getItem(STORED) !== "off";
  }

  open(): void {
    const groups = Map.groupBy(this.actions.withKeys(), ({ group }) => group);
    this.#dialog.replaceChildren(
      h("h2", "Keyboard"),
      h("div.groups", ...[...groups].map(([name, actions]) => groupOf(name, actions))),
      h("p.soft", "In the tree and the list: arrows, Home, End, Page Up and Down move, Enter opens."),
      this.#singleKeys(),
      button("Close", () => this.#dialog.close()),
    );
    this.#dialog.showModal();
  }

  #singleKeys(): HTMLElement {
    const box = h("input", { type: "checkbox", checked: this.actions.singleKeys });
    box.addEventListener("change", () => {
      this.actions.singleKeys = box.checked;
      localStorage.setItem(STORED, box.checked ? "on" : "off");
    });
    return h("label.check", box, "Keys without Ctrl do something");
  }
}

function groupOf(name: string, actions: Action[]): HTMLElement {
  const pairs = actions.flatMap(({ keys, title }) => [
    h("dt", ...(keys ?? "").split(" ").map((key) => h("kbd", key))),
    h("dd", title),
  ]);
  return h("section", h("h3", name), h("dl", ...pairs));
}
