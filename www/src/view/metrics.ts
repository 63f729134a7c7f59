// The metrics: the server's own figures as plots of the last five minutes, and this page's round trip. It
// looks every two seconds while the page can be seen, and rests while it is hidden.

import type { Client } from "tidekeep";

import { h } from "../dom.js";
import { concerns, headline } from "../model/headline.js";
import { History, PLOTS } from "../model/metrics.js";
import type { Point } from "../model/metrics.js";
import { Figures } from "../model/prometheus.js";
import type { Frame } from "./frame.js";
import { clockSeconds, Plot, pointAt } from "./plot.js";
import type { View } from "./view.js";

const LOOK_MS = 2000;
const PATH = "/metrics";

export class MetricsView implements View {
  readonly name = "metrics";
  readonly title = "Metrics";
  readonly key = "m";
  readonly element: HTMLElement;
  readonly #history = new History();
  readonly #plots: Plot[];
  readonly #headline = h("dl", { class: "headline", "aria-label": "The server now" });
  readonly #concerns = h("div", { role: "status" });
  readonly #note = h("span", { class: "soft" });
  readonly #tables = h("button", { type: "button", "aria-pressed": "false" }, "As tables");
  #figures: Figures | undefined;
  #pointed: Point | undefined;
  #looking = false;
  #failed = false;

  constructor(
    readonly client: Client,
    readonly frame: Frame,
  ) {
    this.#plots = PLOTS.map((spec) => new Plot(spec, (at) => this.#point(at)));
    this.#tables.addEventListener("click", () => this.#toggleTables());
    const raw = h("a", { href: PATH, target: "_blank", rel: "noopener" }, "Prometheus text");
    this.element = h(
      "section",
      { class: "page", "aria-label": "Metrics" },
      h("div", { class: "bar" }, h("h2", {}, "Metrics"), this.#note, h("span", { class: "space" }), raw, this.#tables),
      this.#concerns,
      this.#headline,
      h("div", { class: "plots" }, ...this.#plots.map(({ element }) => element)),
    );
    frame.actions.add({
      group: this.title,
      title: "Plots as tables, or as plots again",
      run: () => this.#toggleTables(),
      ready: () => frame.shows(this),
    });
    setInterval(() => void this.#look(), LOOK_MS);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#history.pause(performance.now());
      else void this.#look();
    });
    client.on("state", (state) => state === "ready" && void this.#look());
    void this.#look();
  }

  show(): void {
    void this.#look();
  }

  hide(): void {}

  draw(): void {
    const now = performance.now();
    const clock = (at: number) => clockSeconds(Date.now() - (now - at));
    const { points } = this.#history;
    for (const plot of this.#plots) plot.draw({ points, now, pointed: this.#pointed, clock });
    this.#note.textContent = this.#failed
      ? "the server does not tell its figures now"
      : `every ${LOOK_MS / 1000} s, the last five minutes${this.#pointed ? `; at ${clock(this.#pointed.at)}` : ""}`;
    if (!this.#figures) return;
    const pairs = headline(this.#figures).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    this.#headline.replaceChildren(...pairs);
    const wrong = concerns(this.#figures);
    if (this.#concerns.textContent !== wrong.join("")) {
      this.#concerns.replaceChildren(...wrong.map((text) => h("p", { class: "concern" }, text)));
    }
  }

  #point(at: number | undefined): void {
    this.#pointed = pointAt(this.#history.points, at);
    this.frame.stale();
  }

  #toggleTables(): void {
    const tables = this.#tables.getAttribute("aria-pressed") !== "true";
    this.#tables.setAttribute("aria-pressed", String(tables));
    for (const plot of this.#plots) plot.showTable(tables);
    this.frame.stale();
  }

  async #look(): Promise<void> {
    if (this.#looking || document.hidden || this.client.state !== "ready") return;
    this.#looking = true;
    try {
      const [text, trip] = await Promise.all([
        fetch(PATH).then((response) => response.text()),
        this.client.ping().catch(() => undefined),
      ]);
      this.#figures = new Figures(text);
      this.#failed = false;
      this.#history.look(performance.now(), this.#figures, trip);
    } catch {
      // The connection's own mark says that the server is gone.
      this.#failed = true;
    } finally {
      this.#looking = false;
    }
    if (this.frame.shows(this)) this.frame.stale();
  }
}
