// Light or dark: as the system has it until somebody chooses.

import { byId } from "../dom.js";

const STORED = "theme";

export class Theme {
  constructor() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.#set(localStorage.getItem(STORED) ?? (dark ? "dark" : "light"));
    byId("theme").addEventListener("click", () => this.toggle());
  }

  toggle(): void {
    const theme = document.documentElement.dataset["theme"] === "dark" ? "light" : "dark";
    localStorage.setItem(STORED, theme);
    this.#set(theme);
  }

  #set(theme: string): void {
    document.documentElement.dataset["theme"] = theme;
    const other = theme === "dark" ? "light" : "dark";
    byId("theme").textContent = theme === "dark" ? "☀" : "☾";
    byId("theme").setAttribute("aria-label", `Switch to the ${other} theme`);
  }
}
