// A question before what cannot be taken back: a dialog with one way on and one way out, and where much
// is at stake a word to type.

import { button, h, textField } from "../dom.js";

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
  const yes = h("button", { value: "yes", class: "danger", disabled: typed !== undefined }, act);
  const field = textField({ input: () => (yes.disabled = field.value !== typed) });
  const no = button("Keep it", () => dialog.close());
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", title),
    h("p", what),
    typed !== undefined && h("label", h("span", "Type ", h("b.mono", typed), " to go on"), field),
    h("div.line", yes, no),
  );
  const dialog = h("dialog.confirm", { "aria-label": title }, form);
  document.body.append(dialog);
  dialog.showModal();
  (typed === undefined ? no : field).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}
