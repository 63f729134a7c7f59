// The frame around the views: tabs, the address, and which view is drawn.

import type { Action, Actions } from "../actions.js";
import { readAddress, writeAddress } from "../address.js";
import { byId, h, oncePerFrame, set } from "../dom.js";
import type { View } from "./view.js";

/** Something to do in a view: what it is called, its key, and when else it cannot be done. */
export type Offer = (title: string, keys: string | undefined, run: () => void, more?: Pick<Action, "ready" | "whileTyping">) => void;

export class Frame {
  readonly #views: View[] = [];
  readonly #tabs = byId("tabs");
  readonly #main = byId("views");
  #shown: View | undefined;
  /** The shown view has something new: it is drawn before the next frame. */
  readonly stale = oncePerFrame(() => this.#shown?.draw?.());

  constructor(readonly actions: Actions) {
    addEventListener("hashchange", () => this.open());
  }

  /** Adds a view; the first one is shown where the address names none. */
  add(view: View): void {
    this.#views.push(view);
    view.element.hidden = true;
    view.element.classList.add("view");
    this.#main.append(view.element);
    this.#tabs.append(h("a", { href: writeAddress(view.name), "data-view": view.name }, view.title));
    this.actions.add({
      group: "Go to",
      title: view.title,
      keys: `g ${view.key}`,
      run: () => this.go(view.name),
    });
  }

  /** What takes over what can be done while a view is shown. */
  offers(view: View): Offer {
    return (title, keys, run, { ready, whileTyping } = {}) =>
      this.actions.add({ group: view.title, title, keys, run, whileTyping, ready: () => this.shows(view) && ready?.() !== false });
  }

  /** Goes to another address, which can be gone back from. */
  go(place: string, rest = "", query: Record<string, string> = {}): void {
    const hash = writeAddress(place, rest, query);
    if (hash === location.hash) this.open();
    else location.hash = hash;
  }

  /** Whether this view is the one that is shown. */
  shows(view: View): boolean {
    return this.#shown === view;
  }

  /** Shows what the address names. */
  open(): void {
    const address = readAddress(location.hash);
    const answers = ({ name, places }: View) => name === address.place || places?.includes(address.place);
    const view = this.#views.find(answers) ?? this.#views[0];
    if (!view) return;
    if (view !== this.#shown) {
      this.#shown?.hide?.();
      if (this.#shown) this.#shown.element.hidden = true;
      this.#shown = view;
      view.element.hidden = false;
    }
    for (const tab of this.#tabs.querySelectorAll<HTMLElement>("a")) {
      const current = tab.dataset["view"] === view.name;
      set(tab, { "aria-current": current ? "page" : undefined });
      // On a narrow screen the row of tabs scrolls.
      if (current) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    document.title = `${view.title} · Tidekeep`;
    view.show(address);
    this.stale();
  }
}
