// The keyboard, as the list of actions has it, and the switch for keys without Ctrl.

import type { Action, Actions } from "../actions.js";
import { byId, h } from "../dom.js";

const STORED = "single-keys";

export class Help {
  readonly #dialog = byId<HTMLDialogElement>("help");

  constructor(readonly actions: Actions) {
    actions.singleKeys = localStorage.getItem(STORED) !== "off";
  }

  open(): void {
    const groups = new Map<string, Action[]>();
    for (const action of this.actions.withKeys()) {
      groups.set(action.group, [...(groups.get(action.group) ?? []), action]);
    }
    const close = h("button", { type: "button", click: () => this.#dialog.close() }, "Close");
    this.#dialog.replaceChildren(
      h("h2", {}, "Keyboard"),
      h("div", { class: "groups" }, ...[...groups].map(([name, actions]) => groupOf(name, actions))),
      h("p", { class: "soft" }, "In the tree and the list: arrows, Home, End, Page Up and Down move, Enter opens."),
      this.#singleKeys(),
      close,
    );
    this.#dialog.showModal();
  }

  #singleKeys(): HTMLElement {
    const box = h("input", { type: "checkbox", checked: this.actions.singleKeys });
    box.addEventListener("change", () => {
      this.actions.singleKeys = box.checked;
      localStorage.setItem(STORED, box.checked ? "on" : "off");
    });
    return h("label", { class: "check" }, box, "Keys without Ctrl do something");
  }
}

function groupOf(name: string, actions: Action[]): HTMLElement {
  const pairs = actions.flatMap(({ keys, title }) => [
    h("dt", {}, ...(keys ?? "").split(" ").map((key) => h("kbd", {}, key))),
    h("dd", {}, title),
  ]);
  return h("section", {}, h("h3", {}, name), h("dl", {}, ...pairs));
}
