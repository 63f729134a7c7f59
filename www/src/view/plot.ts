// One plot: lines over the last five minutes, a legend with the values at the time that is pointed at,
// and the same as a table. Pointing and arrow keys choose the time; all plots show the same one.

import { h, set } from "../dom.js";
import { WINDOW_MS } from "../model/metrics.js";
import type { PlotSpec, Point } from "../model/metrics.js";
import { nearest, path, roundTop, unitText } from "../model/scale.js";
import { svg } from "./svg.js";
import { column, table } from "./table.js";

const WIDTH = 600;
const HEIGHT = 120;
const ROW_MS = 30_000;
/** The least top of a scale, by unit: what is next to nothing is drawn as such. */
const LEAST = { count: 10, rate: 10, bytes: 1024, byterate: 1024, ms: 0.1 };

/** What all plots share: the points, the time now, and the one that is pointed at. */
export interface Drawn {
  readonly points: readonly Point[];
  readonly now: number;
  readonly pointed: Point | undefined;
  /** What a point's time is by the clock on the wall. */
  clock(at: number): string;
}

export class Plot {
  readonly element: HTMLElement;
  readonly #lines: SVGPathElement[];
  readonly #values: HTMLElement[];
  readonly #top = h("span.plot-top");
  readonly #cross = svg("path", { class: "cross", d: "" });
  readonly #field: HTMLElement;
  readonly #table = h("div.plot-table", { hidden: true });
  #drawn: Drawn | undefined;
  #asTable = false;

  /** `point` is called with the time that is pointed at. */
  constructor(
    readonly spec: PlotSpec,
    readonly point: (at: number | undefined) => void,
  ) {
    this.#lines = spec.series.map((_, at) => svg("path", { class: `plot-line s${at}`, d: "" }));
    this.#values = spec.series.map(() => h("b"));
    const grid = svg("path", { class: "gridline", d: `M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}` });
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": true }, grid, ...this.#lines, this.#cross);
    this.#field = h("div", {
      class: "plot-field",
      role: "slider",
      tabindex: 0,
      "aria-label": `${spec.title}, over the last five minutes`,
      "aria-valuemin": -WINDOW_MS / 1000,
      "aria-valuemax": 0,
      "aria-valuenow": 0,
      pointermove: (event: PointerEvent) => this.#pointAt(event),
      pointerleave: () => point(undefined),
      blur: () => point(undefined),
      keydown: (event: KeyboardEvent) => this.#key(event),
    });
    this.#field.append(picture, this.#top, h("span.plot-from", "5 min ago"));
    this.element = h(
      "figure.card.plot",
      { "data-plot": spec.title },
      h("figcaption", h("h3", { title: spec.about }, spec.title), this.#legend()),
      this.#field,
      this.#table,
      h("p.hidden", spec.about),
    );
  }

  /** Shows the table in place of the picture, or the picture again. */
  showTable(table: boolean): void {
    this.#asTable = table;
    this.#field.hidden = table;
    this.#table.hidden = !table;
  }

  draw(drawn: Drawn): void {
    this.#drawn = drawn;
    const { points, now, pointed } = drawn;
    const { series, unit } = this.spec;
    const shown = pointed ?? points.at(-1);
    series.forEach((one, at) => {
      this.#values[at]!.textContent = unitText(shown?.values.get(one), unit);
    });
    if (this.#asTable) return this.#drawTable();
    const values = points.flatMap((point) => series.map((one) => point.values.get(one)));
    const top = roundTop(values, LEAST[unit], unit);
    const frame = { from: now - WINDOW_MS, to: now, top, width: WIDTH, height: HEIGHT };
    series.forEach((one, at) => {
      const line = points.map((point) => ({ at: point.at, value: point.values.get(one) }));
      set(this.#lines[at]!, { d: path(line, frame) });
    });
    this.#top.textContent = unitText(top, unit);
    const x = pointed ? ((pointed.at - frame.from) / WINDOW_MS) * WIDTH : undefined;
    set(this.#cross, { d: x === undefined ? "" : `M${x.toFixed(1)} 0V${HEIGHT}` });
    this.#say(shown, now);
  }

  #legend(): HTMLElement {
    const entries = this.spec.series.map(({ name }, at) => {
      const line = svg("path", { class: `plot-line s${at}`, d: "M1 2H17" });
      return h("li", svg("svg", { class: "sample", viewBox: "0 0 18 4", "aria-hidden": true }, line), ` ${name} `, this.#values[at]!);
    });
    return h("ul.legend", ...entries);
  }

  /** What a screen reader says of the time that is pointed at. */
  #say(shown: Point | undefined, now: number): void {
    const { series, unit } = this.spec;
    const text = series.map((one) => `${one.name} ${unitText(shown?.values.get(one), unit)}`);
    const at = shown ? `${this.#drawn!.clock(shown.at)}: ` : "";
    set(this.#field, { "aria-valuenow": Math.round(((shown?.at ?? now) - now) / 1000), "aria-valuetext": at + text.join(", ") });
  }

  /** Means of half minutes, newest first. */
  #drawTable(): void {
    const { points, now, clock } = this.#drawn!;
    const { series, title, unit } = this.spec;
    const columns = [column("until"), ...series.map(({ name }) => column(name, "number"))];
    const rows: HTMLElement[] = [];
    for (let end = now; end > now - WINDOW_MS; end -= ROW_MS) {
      const within = points.filter(({ at }) => at > end - ROW_MS && at <= end);
      if (within.length === 0) continue;
      const means = series.map((one) => mean(within.map(({ values }) => values.get(one))));
      rows.push(h("tr", h("td", clock(end)), ...means.map((value) => h("td.number", unitText(value, unit)))));
    }
    this.#table.replaceChildren(table({}, `${title}: means of half minutes`, columns, h("tbody", ...rows)));
  }

  #pointAt(event: PointerEvent): void {
    const { left, width } = this.#field.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - left) / width));
    this.point((this.#drawn?.now ?? 0) - WINDOW_MS * (1 - part));
  }

  #key(event: KeyboardEvent): void {
    const { points = [], pointed } = this.#drawn ?? {};
    const at = pointed ? points.indexOf(pointed) : points.length - 1;
    const places: Record<string, number> = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: points.length - 1 };
    const place = places[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.point(points[Math.min(points.length - 1, Math.max(0, place))]?.at);
  }
}

/** The point that is meant by a time. */
export function pointAt(points: readonly Point[], at: number | undefined): Point | undefined {
  return at === undefined ? undefined : nearest(points, at);
}

function mean(values: readonly (number | undefined)[]): number | undefined {
  const told = values.filter((value) => value !== undefined);
  return told.length === 0 ? undefined : told.reduce((sum, value) => sum + value, 0) / told.length;
}
