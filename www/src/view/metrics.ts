// The metrics: the server's own figures as plots of the last five minutes, and this page's round trip. It
// looks every two seconds while the page can be seen, and rests while it is hidden.

import type { Client } from "tidekeep";

import { button, h, set } from "../dom.js";
import { concerns, headline } from "../model/headline.js";
import { History, PLOTS } from "../model/metrics.js";
import type { Point } from "../model/metrics.js";
import { Figures } from "../model/prometheus.js";
import { secondsText } from "../model/time.js";
import type { Frame } from "./frame.js";
import { LOOK_MS, looking } from "./look.js";
import { Plot, pointAt } from "./plot.js";
import { fact } from "./table.js";
import type { View } from "./view.js";

const PATH = "/metrics";

export class MetricsView implements View {
  readonly name = "metrics";
  readonly title = "Metrics";
  readonly key = "m";
  readonly element: HTMLElement;
  readonly #history = new History();
  readonly #plots: Plot[];
  readonly #headline = h("dl.headline", { "aria-label": "The server now" });
  readonly #concerns = h("div", { role: "status" });
  readonly #note = h("span.soft");
  readonly #tables = button("As tables", () => this.#toggleTables(), { "aria-pressed": false });
  readonly #look: () => void;
  #figures: Figures | undefined;
  #pointed: Point | undefined;
  #failed = false;

  constructor(
    readonly client: Client,
    readonly frame: Frame,
  ) {
    this.#plots = PLOTS.map((spec) => new Plot(spec, (at) => this.#point(at)));
    const raw = h("a", { href: PATH, target: "_blank", rel: "noopener" }, "Prometheus text");
    this.element = h(
      "section.page",
      { "aria-label": "Metrics" },
      h("div.bar", h("h2", "Metrics"), this.#note, h("span.space"), raw, this.#tables),
      this.#concerns,
      this.#headline,
      h("div.cards", ...this.#plots.map(({ element }) => element)),
    );
    frame.offers(this)("Plots as tables, or as plots again", undefined, () => this.#toggleTables());
    this.#look = looking(client, () => true, () => this.#take());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#history.pause(performance.now());
      else this.#look();
    });
    this.#look();
  }

  show(): void {
    this.#look();
  }

  draw(): void {
    const now = performance.now();
    const clock = (at: number) => secondsText(Date.now() - (now - at));
    const { points } = this.#history;
    for (const plot of this.#plots) plot.draw({ points, now, pointed: this.#pointed, clock });
    this.#note.textContent = this.#failed
      ? "the server does not tell its figures now"
      : `every ${LOOK_MS / 1000} s, the last five minutes${this.#pointed ? `; at ${clock(this.#pointed.at)}` : ""}`;
    if (!this.#figures) return;
    this.#headline.replaceChildren(...headline(this.#figures).map(([name, value]) => fact(name, value)));
    const wrong = concerns(this.#figures);
    if (this.#concerns.textContent !== wrong.join("")) {
      this.#concerns.replaceChildren(...wrong.map((text) => h("p.concern", text)));
    }
  }

  #point(at: number | undefined): void {
    this.#pointed = pointAt(this.#history.points, at);
    this.frame.stale();
  }

  #toggleTables(): void {
    const tables = this.#tables.getAttribute("aria-pressed") !== "true";
    set(this.#tables, { "aria-pressed": tables });
    for (const plot of this.#plots) plot.showTable(tables);
    this.frame.stale();
  }

  async #take(): Promise<void> {
    try {
      const [text, trip] = await Promise.all([
        fetch(PATH).then((response) => response.text()),
        this.client.ping().catch(() => undefined),
      ]);
      this.#figures = new Figures(text);
      this.#failed = false;
      this.#history.look(performance.now(), this.#figures, trip);
    } catch {
      this.#failed = true;
    }
    if (this.frame.shows(this)) this.frame.stale();
  }
}
