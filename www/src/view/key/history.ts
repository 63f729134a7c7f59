// The history of a key, as long as the server remembers it: its versions, newest first, what each changed,
// and the way back to any of them.

import type { Entry, Watch } from "tidekeep";

import { button, h, oncePerFrame } from "../../dom.js";
import { fromRaw } from "../../model/bytes.js";
import type { Raw } from "../../model/bytes.js";
import { History } from "../../model/history.js";
import type { Version } from "../../model/history.js";
import { counted, preview } from "../../model/value.js";
import { bytesText } from "../../model/scale.js";
import type { Session } from "../../session.js";
import { messageOf } from "../toast.js";
import { diffView } from "./diff.js";

const WORDS = { put: "put", delete: "deleted", expire: "expired", evict: "evicted" };
/** Versions that are listed at once. */
const SHOWN_MAX = 200;

export class HistoryView {
  readonly element = h("div.history");
  readonly #list = h("ol", { "aria-label": "Versions, newest first" });
  readonly #compared = h("div");
  readonly #note = h("p.soft", { role: "status" });
  readonly #draw = oncePerFrame(() => this.#show());
  #history = new History();
  #watch: Watch | undefined;
  /** Both revisions that are compared: what was, and what came of it. */
  #from: number | undefined;
  #to: number | undefined;
  #failed = "";

  constructor(
    readonly session: Session,
    /** Puts a value back as the key's newest. */
    readonly restore: (entry: Entry) => void,
  ) {
    this.element.append(this.#note, this.#compared, this.#list);
  }

  /** Follows a key's history from its beginning; `revision` is the version to look at first. */
  open(raw: Raw, revision: number | undefined): void {
    this.close();
    this.#history = new History();
    this.#failed = "";
    [this.#from, this.#to] = [undefined, revision];
    // An empty cursor stands before everything that the server remembers.
    const watch = this.session.client.watch({ key: fromRaw(raw) }, { cursor: new Uint8Array(), previous: true });
    this.#watch = watch;
    void this.#follow(watch);
    this.#show();
  }

  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  async #follow(watch: Watch): Promise<void> {
    try {
      for await (const event of watch) {
        this.#history.take(event);
        this.#draw();
      }
    } catch (error) {
      this.#failed = messageOf(error);
      this.#draw();
    }
  }

  #show(): void {
    const { versions, complete, cut } = this.#history;
    const bounds = cut ? "; older ones are left out here" : "";
    this.#note.textContent =
      this.#failed !== ""
        ? `No history: ${this.#failed}`
        : !complete
          ? "Looking …"
          : versions.length === 0
            ? "The server remembers no change of this key any more."
            : `${counted(versions.length, "version")} that the server still remembers${bounds}.`;
    const to = versions.find(({ revision }) => revision === this.#to) ?? versions[0];
    const from = this.#from === undefined ? to && this.#history.before(to) : this.#history.at(this.#from);
    this.#list.replaceChildren(...versions.slice(0, SHOWN_MAX).map((version) => this.#line(version, from, to)));
    this.#compared.replaceChildren(...(to ? [this.#compare(from, to)] : []));
  }

  #compare(from: Version | undefined, to: Version): HTMLElement {
    const nameOf = (version: Version | undefined) => (version ? `revision ${version.revision}` : "nothing");
    return diffView(`From ${nameOf(from)} to ${nameOf(to)}`, from?.entry?.value, to.entry?.value);
  }

  #line(version: Version, from: Version | undefined, to: Version | undefined): HTMLElement {
    const { revision, kind, entry, oldest } = version;
    const show = () => {
      [this.#from, this.#to] = [undefined, revision];
      this.#show();
    };
    const compare = () => {
      this.#from = revision;
      this.#show();
    };
    const newest = version === this.#history.versions[0];
    return h(
      "li",
      { "data-revision": revision, "aria-current": version === to ? "true" : undefined },
      button(String(revision), show, { class: "version", "aria-label": `Show revision ${revision}` }),
      h("span", { class: `kind-${kind}` }, oldest ? "before" : WORDS[kind]),
      h("span.mono.preview", entry ? preview(entry.value) : ""),
      h("span.soft.number", entry ? bytesText(entry.value.length) : ""),
      h(
        "span.does",
        button("Compare", compare, { "aria-pressed": version === from, "aria-label": `Compare with revision ${revision}` }),
        entry && !newest && button("Restore", () => this.restore(entry), { "aria-label": `Restore revision ${revision}` }),
      ),
    );
  }
}
