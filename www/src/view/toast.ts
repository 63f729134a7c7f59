// A short message at the bottom, with what can be done about it.

import { button, byId, h } from "../dom.js";

const SHOWN_MS = 7000;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Something to do about a message. */
export interface ToastAction {
  readonly name: string;
  run(): void | Promise<void>;
}

/** Shows a message in place of the last one. */
export function toast(text: string, ...actions: ToastAction[]): void {
  const place = byId("toast");
  const clear = () => place.replaceChildren();
  const buttons = actions.map((action) => {
    const run = () => {
      clear();
      Promise.resolve(action.run()).catch((error: unknown) => toast(messageOf(error)));
    };
    return button(action.name, run);
  });
  place.replaceChildren(h("div", h("span", text), ...buttons));
  clearTimeout(timer);
  timer = setTimeout(clear, SHOWN_MS);
  // It stays while somebody is about to press something in it.
  place.onpointerenter = () => clearTimeout(timer);
  place.onpointerleave = () => (timer = setTimeout(clear, SHOWN_MS));
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
