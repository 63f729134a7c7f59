// How to do the same in a terminal and in a program: lines to read and to copy.

import { button, h } from "../dom.js";
import type { Equivalent } from "../model/equivalents.js";
import { toast } from "./toast.js";

/** The lines of some actions. */
export function howTo(actions: readonly Equivalent[]): HTMLElement[] {
  return actions.map(({ what, cli, js }) =>
    h(
      "section.how",
      h("h3", what),
      line("CLI", `Copy the command: ${what}`, cli),
      line("JS", `Copy the call: ${what}`, js),
    ),
  );
}

/** Puts a text where it can be pasted from. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied ${what}`);
  } catch {
    toast("The browser did not allow copying.");
  }
}

function line(name: string, label: string, text: string): HTMLElement {
  const taken = button("Copy", () => void copy(text, name), { "aria-label": label });
  return h("div.how-line", h("span.soft", name), h("code", text), taken);
}
