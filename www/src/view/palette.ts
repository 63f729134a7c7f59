// The palette: every action by its name, and every key by its beginning, from one field.

import { search } from "../actions.js";
import type { Action } from "../actions.js";
import { byId, h, set, textField } from "../dom.js";
import { escapeKey, fromRaw, parseKey, percentEncode, toRaw } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import type { Session } from "../session.js";
import type { Frame } from "./frame.js";

const KEYS_MAX = 8;
const ACTIONS_MAX = 60;

interface Choice {
  readonly text: string;
  readonly note: string;
  readonly keys: string;
  run(): void;
}

export class Palette {
  readonly #dialog = byId<HTMLDialogElement>("palette");
  readonly #list = h("div", { id: "palette-list", role: "listbox", "aria-label": "What can be done" });
  readonly #field = textField({
    role: "combobox",
    "aria-expanded": "true",
    "aria-controls": "palette-list",
    "aria-label": "Command or key",
    placeholder: "A command, or the beginning of a key",
    input: () => void this.#look(),
    keydown: (event: KeyboardEvent) => this.#key(event),
  });
  #choices: Choice[] = [];
  #at = 0;
  /** Counts questions to the server: an old one's answer is dropped. */
  #asked = 0;

  constructor(
    readonly session: Session,
    readonly frame: Frame,
  ) {
    this.#dialog.append(this.#field, this.#list);
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
  }

  open(): void {
    this.#field.value = "";
    this.#dialog.showModal();
    this.#field.focus();
    void this.#look();
  }

  async #look(): Promise<void> {
    const query = this.#field.value.trim();
    const asked = ++this.#asked;
    const actions = search(this.frame.actions.now(), query).slice(0, ACTIONS_MAX).map(choiceOf);
    this.#show(actions);
    const raw = parseKey(query);
    if (query === "" || raw === undefined) return;
    const keys = await this.#keysFrom(raw);
    if (asked === this.#asked) this.#show([...keys, ...actions]);
  }

  async #keysFrom(raw: Raw): Promise<Choice[]> {
    const pages = this.session.client.scan({ prefix: fromRaw(raw) }, { limit: KEYS_MAX, keysOnly: true });
    const page = await pages.page().catch(() => undefined);
    return (page?.items ?? []).map(({ keyBytes }) => {
      const key = toRaw(keyBytes);
      const run = () => this.frame.go("k", percentEncode(key));
      return { text: escapeKey(key), note: "key", keys: "", run };
    });
  }

  #show(choices: Choice[]): void {
    this.#choices = choices;
    this.#at = 0;
    this.#draw();
  }

  #draw(): void {
    const options = this.#choices.map((choice, index) =>
      h(
        "div",
        {
          id: `choice-${index}`,
          role: "option",
          "aria-selected": index === this.#at,
          click: () => this.#take(choice),
        },
        h("span", { class: choice.note === "key" ? "mono" : undefined }, choice.text),
        h("span.soft", choice.note),
        ...choice.keys.split(" ").filter(Boolean).map((key) => h("kbd", key)),
      ),
    );
    const none = h("div", { role: "option", "aria-disabled": "true", "aria-selected": "false", class: "soft" }, "Nothing by this name");
    this.#list.replaceChildren(...(options.length > 0 ? options : [none]));
    set(this.#field, { "aria-activedescendant": options.length > 0 ? `choice-${this.#at}` : "" });
    options[this.#at]?.scrollIntoView({ block: "nearest" });
  }

  #key(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    const step = steps[event.key];
    if (step !== undefined) this.#at = clamp(this.#at + step, this.#choices.length);
    else if (event.key === "Enter") {
      const choice = this.#choices[this.#at];
      if (choice) this.#take(choice);
    } else return;
    event.preventDefault();
    if (step !== undefined) this.#draw();
  }

  #take(choice: Choice): void {
    this.#dialog.close();
    choice.run();
  }
}

function choiceOf(action: Action): Choice {
  return { text: action.title, note: action.group, keys: action.keys ?? "", run: () => action.run() };
}

function clamp(index: number, length: number): number {
  return Math.max(0, Math.min(length - 1, index));
}
