// What was typed before, oldest first, kept over reloads. What begins with a space is not kept, so that
// a secret can be typed. Knows the browser's storage only by its two methods.

/** The part of `localStorage` that is used. */
export interface Store {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
}

const NAME = "console-history";
const LINES_MAX = 200;

export class TypedLines {
  #lines: string[];
  /** Where one stands among them; behind the last while a new line is typed. */
  #at: number;
  /** What was typed before one went back. */
  #draft = "";

  constructor(readonly store: Store) {
    this.#lines = stored(store);
    this.#at = this.#lines.length;
  }

  add(line: string): void {
    const last = this.#lines.at(-1);
    if (line.trim() !== "" && !line.startsWith(" ") && line !== last) this.#lines.push(line);
    this.#lines = this.#lines.slice(-LINES_MAX);
    this.#at = this.#lines.length;
    this.#draft = "";
    try {
      this.store.setItem(NAME, JSON.stringify(this.#lines));
    } catch {
      // Full or forbidden: it lives as long as the page.
    }
  }

  /** One line back; undefined at the first. */
  back(typed: string): string | undefined {
    if (this.#at === 0) return undefined;
    if (this.#at === this.#lines.length) this.#draft = typed;
    return this.#lines[--this.#at];
  }

  /** One line on; behind the last stands what was typed. */
  on(): string | undefined {
    if (this.#at >= this.#lines.length) return undefined;
    return ++this.#at === this.#lines.length ? this.#draft : this.#lines[this.#at];
  }
}

function stored(store: Store): string[] {
  try {
    const lines: unknown = JSON.parse(store.getItem(NAME) ?? "[]");
    return Array.isArray(lines) ? lines.filter((line) => typeof line === "string").slice(-LINES_MAX) : [];
  } catch {
    return [];
  }
}
