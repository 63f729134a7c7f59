// A button with a small panel below it, which closes by Escape or a click elsewhere: the platform's popover.

import { button, h } from "../dom.js";

let made = 0;

/** The button, with its panel behind it; `fill` says what is in the panel each time it opens. */
export function menu(title: string, label: string, fill: (close: () => void) => Node[]): HTMLElement {
  const id = `menu-${++made}`;
  const panel = h("div", { id, popover: "auto", class: "menu", role: "dialog", "aria-label": label });
  const opener = button(title, undefined, { popovertarget: id, "aria-haspopup": "dialog" });
  panel.addEventListener("beforetoggle", (event) => {
    if ((event as ToggleEvent).newState !== "open") return;
    panel.replaceChildren(...fill(() => panel.hidePopover()));
    const { right, bottom } = opener.getBoundingClientRect();
    panel.style.top = `${Math.min(bottom + 4, innerHeight - 80)}px`;
    panel.style.right = `${Math.max(8, Math.min(innerWidth - right, innerWidth - 300))}px`;
  });
  panel.addEventListener("toggle", (event) => {
    if ((event as ToggleEvent).newState === "open") panel.querySelector<HTMLElement>("button")?.focus();
  });
  return h("span.menu-place", opener, panel);
}
