// Files out of the store and into it, and prefixes away: first what it would do, then done in bounded
// steps with a bar and a way to stop.

import type { Client } from "tidekeep";

import type { Address } from "../address.js";
import { failureOf } from "../console/failure.js";
import { button, download, h, set, textField } from "../dom.js";
import { escapeKey, fromRaw, parseKey, percentDecode, toRaw } from "../model/bytes.js";
import type { Raw } from "../model/bytes.js";
import { counted, countText } from "../model/value.js";
import { exportLines, removeRange } from "../transfer.js";
import { confirmed } from "./confirm.js";
import type { Frame } from "./frame.js";
import { ImportPanel } from "./import.js";
import { Running } from "./running.js";
import type { View } from "./view.js";

/** What has to be typed to remove every key. */
const ALL = "ALL keys";

export class TransferView implements View {
  readonly name = "transfer";
  readonly title = "Transfer";
  readonly key = "f";
  readonly element: HTMLElement;
  readonly #import: ImportPanel;
  readonly #exportPrefix = prefixField("export-prefix");
  readonly #exporting = new Running("Export");
  readonly #removePrefix = prefixField("remove-prefix", () => this.#forget());
  readonly #removing = new Running("Delete by prefix");
  readonly #counted = h("p.result", { role: "status" });
  readonly #remove = button("Delete …", () => void this.#askAndRemove(), { class: "danger", disabled: true });
  #count: { raw: Raw; keys: number } | undefined;

  constructor(
    readonly client: Client,
    readonly frame: Frame,
  ) {
    this.#import = new ImportPanel(client);
    this.element = h(
      "section.page",
      { "aria-label": "Import, export, delete by prefix" },
      h("div.bar", h("h2", "Import and export"), h("span.soft", "JSON lines, as the command line has them")),
      h(
        "div.cards.panels",
        panel(
          "Export",
          "A key that is there all the time is written exactly once; what changes meanwhile may be old or new.",
          this.#exportPrefix,
          () => this.#export(),
          h("div.line", h("button.primary", "Export")),
          this.#exporting.element,
        ),
        this.#import.element,
        panel(
          "Delete by prefix",
          "First they are counted. Export them before.",
          this.#removePrefix,
          () => this.#dryRun(),
          h("div.line", h("button", "Count first"), this.#remove),
          this.#counted,
          this.#removing.element,
        ),
      ),
    );
  }

  show({ rest }: Address): void {
    const raw = percentDecode(rest);
    if (raw === undefined || rest === "") return;
    this.#exportPrefix.value = this.#removePrefix.value = escapeKey(raw);
    this.#forget();
  }

  async #export(): Promise<void> {
    const raw = readPrefix(this.#exportPrefix);
    if (raw === undefined) return;
    await this.#exporting.run("keys", async (signal, tell) => {
      let written = 0;
      const blob = await exportLines(this.client, { prefix: fromRaw(raw) }, signal, (done, of) => {
        written = done;
        tell(done, of);
      });
      download(blob, fileName(raw));
      return `Exported ${counted(written, "key")}.`;
    });
  }

  async #dryRun(): Promise<void> {
    const raw = readPrefix(this.#removePrefix);
    if (raw === undefined) return;
    try {
      const keys = await this.client.count({ prefix: fromRaw(raw) });
      this.#count = { raw, keys };
      this.#remove.disabled = keys === 0;
      this.#remove.textContent = keys === 0 ? "Delete …" : `Delete ${counted(keys, "key")} …`;
      const page = await this.client.scan({ prefix: fromRaw(raw) }, { keysOnly: true, limit: 5 }).page();
      const names = page.items.map(({ keyBytes }) => escapeKey(toRaw(keyBytes))).join(", ");
      this.#counted.textContent = keys === 0 ? "No key begins so." : `It would delete ${counted(keys, "key")}: ${names}${keys > page.items.length ? ", …" : ""}`;
    } catch (error) {
      this.#counted.textContent = failureOf(error).message;
    }
  }

  async #askAndRemove(): Promise<void> {
    if (!this.#count) return;
    const { raw, keys } = this.#count;
    const which = raw === "" ? "every key of the store" : `every key that begins with ${escapeKey(raw)}`;
    const typed = raw === "" ? ALL : escapeKey(raw);
    const what = `This removes ${which}: ${countText(keys)} when they were counted. It cannot be taken back.`;
    if (!(await confirmed({ title: `Delete ${counted(keys, "key")}?`, what, act: "Delete", typed }))) return;
    await this.#removing.run("keys", async (signal, tell) => {
      const deleted = await removeRange(this.client, { prefix: fromRaw(raw) }, signal, tell);
      return `Deleted ${counted(deleted, "key")}.`;
    });
    this.#forget();
  }

  #forget(): void {
    this.#count = undefined;
    this.#counted.textContent = "";
    this.#remove.disabled = true;
    this.#remove.textContent = "Delete …";
  }
}

/** What is done to the keys of a prefix: a form whose first button does it. */
function panel(title: string, about: string, prefix: HTMLElement, run: () => Promise<void>, ...rest: HTMLElement[]): HTMLElement {
  const submit = (event: Event) => {
    event.preventDefault();
    void run();
  };
  return h("form.card.panel", { submit }, h("h3", title), h("p.soft", about), h("label", "Prefix", prefix), ...rest);
}

function prefixField(name: string, input?: () => void): HTMLInputElement {
  return textField({ class: "mono", name, placeholder: "every key", input });
}

/** The prefix that a field holds; it is marked when that has a broken escape. */
function readPrefix(field: HTMLInputElement): Raw | undefined {
  const raw = parseKey(field.value);
  set(field, { "aria-invalid": raw === undefined });
  return raw;
}

function fileName(raw: Raw): string {
  const name = raw.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^-+|-+$/g, "");
  return `${name || "tidekeep"}.jsonl`;
}
