// A question before what cannot be taken back: a dialog with one way on and one way out, and where much
// is at stake a word to type.

import { h } from "../dom.js";

/** What is asked. */
export interface Question {
  readonly title: string;
  /** What will happen. */
  readonly what: string;
  /** What the button that does it says. */
  readonly act: string;
  /** What has to be typed before it can be done. */
  readonly typed?: string;
}

/** Asks; resolves when the dialog is closed. */
export function confirmed({ title, what, act, typed }: Question): Promise<boolean> {
  const field = h("input", { autocomplete: "off", spellcheck: "false" });
  const yes = h("button", { type: "submit", class: "danger", disabled: typed !== undefined }, act);
  field.addEventListener("input", () => (yes.disabled = field.value !== typed));
  const no = h("button", { type: "button", click: () => dialog.close() }, "Keep it");
  const form = h(
    "form",
    { submit: (event: Event) => answer(event) },
    h("h2", {}, title),
    h("p", {}, what),
    typed !== undefined && h("label", {}, h("span", {}, "Type ", h("b", { class: "mono" }, typed), " to go on"), field),
    h("div", { class: "line" }, yes, no),
  );
  const dialog = h("dialog", { class: "confirm", "aria-label": title }, form);
  let sure = false;
  function answer(event: Event): void {
    event.preventDefault();
    if (yes.disabled) return;
    sure = true;
    dialog.close();
  }
  document.body.append(dialog);
  dialog.showModal();
  (typed === undefined ? no : field).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(sure);
    });
  });
}
