// Light or dark: as the system has it until somebody chooses.

import { byId, set } from "../dom.js";

const STORED = "theme";

export class Theme {
  #other = "";

  constructor() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.#set(localStorage.getItem(STORED) ?? (dark ? "dark" : "light"));
    set(byId("theme"), { click: () => this.toggle() });
  }

  toggle(): void {
    localStorage.setItem(STORED, this.#other);
    this.#set(this.#other);
  }

  #set(theme: string): void {
    const dark = theme === "dark";
    this.#other = dark ? "light" : "dark";
    document.documentElement.dataset["theme"] = theme;
    byId("theme").textContent = dark ? "☀" : "☾";
    set(byId("theme"), { "aria-label": `Switch to the ${this.#other} theme` });
  }
}
