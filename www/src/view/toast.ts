// A short message at the bottom, with at most one thing to do about it.

import { byId, h } from "../dom.js";

const SHOWN_MS = 7000;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Shows a message in place of the last one. */
export function toast(text: string, action?: { name: string; run: () => Promise<void> }): void {
  const place = byId("toast");
  const clear = () => place.replaceChildren();
  const run = () => {
    clear();
    action?.run().catch((error: unknown) => toast(String(error)));
  };
  const button = action && h("button", { type: "button", click: run }, action.name);
  place.replaceChildren(h("div", {}, text, button));
  clearTimeout(timer);
  timer = setTimeout(clear, SHOWN_MS);
}
