// The live feed: every change below a prefix as it happens, newest first, since a revision on if that is
// asked for, with a filter, a pause, and how many there are a second. Screen readers hear a sentence now and then, not every change.

import type { Watch } from "tidekeep";

import type { Address } from "../address.js";
import { writeAddress } from "../address.js";
import { button, h, set, textField } from "../dom.js";
import type { Props } from "../dom.js";
import { escapeKey, fromRaw, parseKey, percentDecode, percentEncode } from "../model/bytes.js";
import { Feed, idOf, lineOf, push, RATE_SECONDS } from "../model/feed.js";
import type { FeedLine } from "../model/feed.js";
import { roundTop } from "../model/scale.js";
import { clockText } from "../model/time.js";
import { counted, countText } from "../model/value.js";
import type { Session } from "../session.js";
import type { Frame } from "./frame.js";
import { svg } from "./svg.js";
import { messageOf, toast } from "./toast.js";
import type { View } from "./view.js";

const SHOWN_MAX = 200;
/** A fast feed is drawn so often at most: nobody reads faster. */
const DRAW_MS = 250;
const SAY_MS = 5000;
const SPARK_HEIGHT = 20;

export class LiveView implements View {
  readonly name = "live";
  readonly title = "Live";
  readonly key = "l";
  readonly element: HTMLElement;
  readonly #feed = new Feed();
  readonly #list = h("ol", { tabindex: 0, "aria-label": "Changes, newest first" });
  readonly #empty = h("p.empty", "Nothing has changed here since the page was opened.");
  readonly #count = h("span.soft");
  readonly #rate = h("b.rate");
  readonly #bars = svg("path", { d: "" });
  readonly #said = h("p.hidden", { role: "status", "aria-live": "polite" });
  readonly #prefix = field("Prefix", "every key", { input: () => this.#choose() });
  readonly #filter = field("Filter changes", "in the key", { input: () => this.#choose() });
  readonly #since = field("Since revision", "now", { change: () => this.#choose() });
  readonly #pause = button("Pause", () => this.#hold(!this.#feed.held), { "aria-pressed": false });
  /** It was drawn a moment ago. */
  #resting = false;
  /** Something was to be drawn meanwhile. */
  #dirty = false;
  #saidSeen = 0;
  /** What is looked for of the past, and the watch that does. */
  #asked = "";
  #past: Watch | undefined;

  constructor(
    readonly session: Session,
    readonly frame: Frame,
  ) {
    const clear = button("Clear", () => this.#clear());
    const spark = svg("svg", { class: "spark", viewBox: `0 0 ${RATE_SECONDS * 2} ${SPARK_HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": true }, this.#bars);
    const rate = h("span.rates", { title: "Changes a second, over the last minute" }, spark, this.#rate);
    this.element = h(
      "section",
      { id: "log", "aria-label": "Changes as they happen" },
      h("div.bar", h("h2", "Live"), this.#prefix, this.#filter, this.#since, this.#pause, clear, rate, this.#count),
      this.#empty,
      this.#list,
      this.#said,
    );
    session.listen((part, change) => {
      if (part === "entry" && change) this.#feed.add(change, session.client.serverTime());
    });
    const offer = frame.offers(this);
    offer("Pause the feed, or go on", "p", () => this.#hold(!this.#feed.held));
    offer("Filter the changes", "/", () => this.#filter.focus());
    offer("Clear the feed", undefined, () => this.#clear());
    setInterval(() => this.#tick(), 1000);
    setInterval(() => this.#say(), SAY_MS);
  }

  show({ rest, query }: Address): void {
    this.#prefix.value = escapeKey(percentDecode(rest) ?? "");
    this.#filter.value = query.get("q") ?? "";
    this.#feed.choose(parseKey(this.#prefix.value) ?? "", this.#filter.value);
    this.#since.value = query.get("since") ?? "";
    void this.#look();
  }

  hide(): void {
    this.#past?.close();
  }

  draw(): void {
    this.#dirty = true;
    if (this.#resting) return;
    this.#resting = true;
    setTimeout(() => {
      this.#resting = false;
      if (this.#dirty) this.frame.stale();
    }, DRAW_MS);
    this.#dirty = false;
    const lines = this.#feed.newest(SHOWN_MAX);
    this.#empty.hidden = lines.length > 0;
    const known = new Map([...this.#list.children].map((line) => [(line as HTMLElement).dataset["id"], line]));
    // Lines that are there stay the same elements: a selection in them lasts.
    this.#list.replaceChildren(...lines.map((line) => known.get(idOf(line)) ?? this.#line(line)));
    this.#drawCounts();
  }

  #drawCounts(): void {
    const feed = this.#feed;
    const rates = feed.rates(this.session.client.serverTime());
    const last = rates.at(-2) ?? 0;
    const top = roundTop(rates, 5);
    const bar = (rate: number, at: number) => (rate > 0 ? `M${at * 2 + 1} ${SPARK_HEIGHT}v-${Math.max(1, (rate / top) * SPARK_HEIGHT).toFixed(1)}` : "");
    set(this.#bars, { d: rates.map(bar).join("") });
    this.#rate.textContent = `${countText(last)}/s`;
    this.#count.textContent = `${countText(feed.seen)} seen`;
    const waiting = feed.waiting > 0 ? ` (${countText(feed.waiting)})` : "";
    this.#pause.textContent = feed.held ? `Go on${waiting}` : "Pause";
    set(this.#pause, { "aria-pressed": feed.held });
  }

  #line(line: FeedLine): HTMLElement {
    const address = writeAddress("k", percentEncode(line.raw));
    return h(
      "li",
      { "data-revision": line.revision, "data-id": idOf(line) },
      h("span.soft", line.at === undefined ? "before" : clockText(line.at)),
      h("span", { class: `kind-${line.type}` }, line.type),
      line.type === "put" ? h("a", { href: address, title: line.key }, line.key) : h("span", { title: line.key }, line.key),
      h("span.soft", { title: line.preview }, line.preview),
    );
  }

  #choose(): void {
    const raw = parseKey(this.#prefix.value);
    set(this.#prefix, { "aria-invalid": raw === undefined });
    if (raw === undefined) return;
    this.#feed.choose(raw, this.#filter.value);
    const [q, since] = [this.#filter.value, this.#since.value];
    const query: Record<string, string> = { ...(q && { q }), ...(since && { since }) };
    void this.#look();
    history.replaceState(null, "", writeAddress(this.name, percentEncode(raw), query));
    this.frame.stale();
  }

  /** Looks for the changes since a revision that the server still remembers, and begins with them. */
  async #look(): Promise<void> {
    const { prefix } = this.#feed;
    const [text, since] = [this.#since.value.trim(), Number(this.#since.value)];
    const bad = !(since >= 0);
    set(this.#since, { "aria-invalid": bad });
    this.#saidSeen = this.#feed.seen;
    const asked = text === "" || bad ? "" : `${since} ${prefix}`;
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#past?.close();
    if (asked === "") return;
    // A cursor of no bytes stands before all that is remembered.
    const past = (this.#past = this.session.client.watch({ prefix: fromRaw(prefix) }, { cursor: new Uint8Array() }));
    const lines: FeedLine[] = [];
    try {
      for await (const event of past) {
        if (event.type === "caught-up") break;
        if (event.type === "reset") lines.length = 0;
        else if (event.type !== "entry" && event.revision >= since) push(lines, [lineOf(event)]);
      }
    } catch (error) {
      return void toast(messageOf(error));
    }
    if (past !== this.#past) return;
    this.#feed.begin(lines);
    this.#saidSeen = this.#feed.seen;
    this.frame.stale();
  }

  #hold(hold: boolean): void {
    if (hold) this.#feed.hold();
    else this.#feed.release();
    this.frame.stale();
  }

  #clear(): void {
    this.#feed.clear();
    this.#saidSeen = 0;
    this.frame.stale();
  }

  #tick(): void {
    if (this.frame.shows(this) && !document.hidden) this.#drawCounts();
  }

  #say(): void {
    const { seen, held } = this.#feed;
    const more = seen - this.#saidSeen;
    this.#saidSeen = seen;
    if (!this.frame.shows(this) || held || more <= 0) return;
    const [last] = this.#feed.newest(1);
    const what = last ? `, the last: ${last.type} ${last.key}` : "";
    this.#said.textContent = `${counted(more, "change")} in ${SAY_MS / 1000} seconds${what}`;
  }
}

function field(label: string, placeholder: string, listeners: Props): HTMLInputElement {
  return textField({ type: "search", placeholder: `${label}: ${placeholder}`, "aria-label": label, ...listeners });
}
