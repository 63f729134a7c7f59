// The import of a file: a dry run that counts and lists what it would do, then the lines that were chosen,
// each written only if its key is still as the dry run saw it.

import type { Client } from "tidekeep";

import { writeAddress } from "../address.js";
import { button, h } from "../dom.js";
import { escapeKey, percentEncode } from "../model/bytes.js";
import { USUAL, VERDICTS } from "../model/importing.js";
import type { Listed, Survey, Verdict } from "../model/importing.js";
import { counted, countText } from "../model/value.js";
import { bytesText } from "../model/scale.js";
import { applyImport, dryRun } from "../transfer.js";
import type { Done } from "../transfer.js";
import { Running } from "./running.js";
import { column, table } from "./table.js";

const SAYS: Record<Verdict, string> = {
  new: "no such key is there",
  changed: "the key has another value or end",
  same: "nothing would change",
  conflict: "the key was written after the file was made",
  over: "its time has passed: it is left out",
};
/** What may be chosen to be written. */
const CHOICES: readonly Verdict[] = ["new", "changed", "conflict"];

export class ImportPanel {
  readonly element: HTMLElement;
  readonly #file = h("input", { type: "file", accept: ".jsonl,.ndjson,.json,.txt,application/jsonl", "aria-label": "File of JSON lines", change: () => void this.#look() });
  readonly #running = new Running("Import");
  readonly #diff = h("div");
  #survey: Survey | undefined;
  #chosen = new Set<Verdict>();

  constructor(readonly client: Client) {
    this.element = h(
      "section.card.panel",
      {
        "aria-label": "Import",
        dragover: (event: DragEvent) => this.#drag(event, true),
        dragleave: (event: DragEvent) => this.#drag(event, false),
        drop: (event: DragEvent) => this.#drop(event),
      },
      h("h3", "Import"),
      h(
        "p.soft",
        'A line is {"key": …, "value": …}, maybe with expires_at; write bytes that are no text as key_base64 and value_base64. First it is only looked at.',
      ),
      this.#file,
      this.#running.element,
      this.#diff,
    );
  }

  async #look(): Promise<void> {
    const [file] = this.#file.files ?? [];
    if (!file || this.#running.busy) return;
    this.#diff.replaceChildren();
    await this.#running.run("", async (signal, tell) => {
      const survey = await dryRun(this.client, file, signal, tell);
      this.#survey = survey;
      this.#chosen = new Set(USUAL);
      this.#drawDiff(file, survey);
      const bad = survey.bad > 0 ? `, ${badLines(survey.bad)}` : "";
      return `Dry run of ${file.name}: ${countText(survey.records)} records${bad}. Nothing was written.`;
    });
  }

  async #apply(file: File, survey: Survey): Promise<void> {
    const chosen = new Set(this.#chosen);
    const done: Done = { written: 0, left: [], leftCount: 0 };
    // What the dry run saw is used up, however far this comes.
    this.#survey = undefined;
    this.#diff.replaceChildren();
    await this.#running.run("bytes", async (signal, tell) => {
      try {
        await applyImport(this.client, file, survey, chosen, signal, tell, done);
      } catch (error) {
        if (!signal.aborted) throw error;
        return `Stopped after ${countText(done.written)} writes, which stay. Look at the file again to go on.${left(done)}`;
      }
      return `Imported ${countText(done.written)}.${left(done)}`;
    });
    this.#file.value = "";
  }

  #drawDiff(file: File, survey: Survey): void {
    const apply = button("", () => this.#survey === survey && void this.#apply(file, survey), { class: "primary" });
    const name = () => {
      const count = [...this.#chosen].reduce((sum, verdict) => sum + survey.counts[verdict], 0);
      apply.textContent = `Write ${counted(count, "key")}`;
      apply.disabled = count === 0;
    };
    const rows = VERDICTS.map((verdict) => this.#verdictRow(verdict, survey.counts[verdict], name));
    name();
    const parts = h(
      "div.dry",
      table({}, "What the file would do", ["write", "lines", "count", "what it means"].map((name) => column(name)), h("tbody", ...rows)),
      survey.doubled > 0 && h("p.soft", `${countText(survey.doubled)} lines have a key that comes again further down: the last one counts.`),
      h("div.line", apply),
      this.#problems(survey),
      this.#listed(survey),
    );
    this.#diff.replaceChildren(parts);
  }

  #verdictRow(verdict: Verdict, count: number, changed: () => void): HTMLElement {
    const box = h("input", { type: "checkbox", "aria-label": `Write ${verdict} lines`, checked: this.#chosen.has(verdict), disabled: count === 0 });
    box.addEventListener("change", () => {
      if (box.checked) this.#chosen.add(verdict);
      else this.#chosen.delete(verdict);
      changed();
    });
    return h(
      "tr",
      { "data-verdict": verdict },
      h("td", CHOICES.includes(verdict) ? box : ""),
      h("th", { scope: "row", class: `verdict is-${verdict}` }, verdict),
      h("td.number", countText(count)),
      h("td.says", SAYS[verdict]),
    );
  }

  #problems({ problems, bad }: Survey): HTMLElement | undefined {
    if (bad === 0) return undefined;
    const lines = problems.map(({ line, why }) => h("li", `line ${countText(line)}: ${why}`));
    const more = bad > problems.length ? `, the first ${problems.length} are shown` : "";
    return h("details", { open: true }, h("summary.problem", `${badLines(bad)} and left out${more}`), h("ol.plain-list", ...lines));
  }

  #listed({ listed, counts }: Survey): HTMLElement | undefined {
    if (listed.length === 0) return undefined;
    const all = counts.new + counts.changed + counts.conflict + counts.over;
    const more = all > listed.length ? `, the first ${listed.length} are shown` : "";
    const columns = [column("line", "number"), column("what"), column("key"), column("now", "wide"), column("then", "wide")];
    return h(
      "details",
      { open: true },
      h("summary", `What would change${more}`),
      table({}, "What would change", columns, h("tbody", ...listed.map(listedRow))),
    );
  }

  #drag(event: DragEvent, above: boolean): void {
    event.preventDefault();
    this.element.classList.toggle("dropping", above);
  }

  #drop(event: DragEvent): void {
    this.#drag(event, false);
    if (!event.dataTransfer?.files.length) return;
    this.#file.files = event.dataTransfer.files;
    void this.#look();
  }
}

function listedRow({ line, raw, verdict, bytes, there, revision }: Listed): HTMLElement {
  const now = there ? `${bytesText(there.bytes)}, revision ${there.revision}` : "";
  const then = `${bytesText(bytes)}${verdict === "conflict" ? `, of revision ${revision}` : ""}`;
  return h(
    "tr",
    h("td.number", countText(line)),
    h("td", { class: `verdict is-${verdict}` }, verdict),
    h("td", there ? h("a", { href: writeAddress("k", percentEncode(raw)) }, escapeKey(raw)) : escapeKey(raw)),
    h("td.wide", now),
    h("td.wide", then),
  );
}

function badLines(count: number): string {
  return count === 1 ? "1 line is no record" : `${countText(count)} lines are no records`;
}

function left({ left, leftCount }: Done): string {
  if (leftCount === 0) return "";
  const lines = left.slice(0, 10).map(countText).join(", ");
  return ` ${countText(leftCount)} changed meanwhile and were left alone: lines ${lines}${leftCount > 10 ? ", …" : ""}.`;
}
