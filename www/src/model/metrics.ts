// What the plots show: rates and quantiles between two looks at the server's figures, and the page's own
// round trip, for the last five minutes. Pure: looks go in, with their times.

import { Figures, quantile } from "./prometheus.js";

/** How numbers of a plot are written. */
export type Unit = "count" | "rate" | "bytes" | "byterate" | "ms";

/** A line of a plot. */
export interface Series {
  readonly name: string;
  /** Its value between two looks; undefined where it cannot be told. */
  readonly value: (look: Interval) => number | undefined;
}

/** A plot: what it tells, in a sentence for those who ask, and its lines. */
export interface PlotSpec {
  readonly title: string;
  readonly about: string;
  readonly unit: Unit;
  readonly series: readonly Series[];
}

/** Two looks at the server, and what the page measured itself. */
export interface Interval {
  readonly seconds: number;
  readonly before: Figures;
  readonly now: Figures;
  readonly roundTripMs: number | undefined;
}

/** The values of all lines at one time. */
export interface Point {
  readonly at: number;
  readonly values: ReadonlyMap<Series, number | undefined>;
}

export const WINDOW_MS = 300_000;
/** Looks kept at most, however often one looks. */
const POINTS_MAX = 600;

const READS = ["get", "scan", "children", "leases"];
const WRITES = ["put", "delete", "touch", "increment", "txn", "delete_range", "lease_grant", "lease_keep_alive", "lease_revoke"];
const REQUESTS = "tidekeep_requests_total";
const BATCH = "tidekeep_batch_seconds";
const LAG = "tidekeep_watch_lag_seconds";

const answered = (ops: readonly string[]) => (figures: Figures) =>
  figures.sum(REQUESTS, ({ op, result }) => ops.includes(op ?? "") && result === "ok");
const store = (name: string) => (figures: Figures) => figures.one(`tidekeep_store_${name}`);
const all = (name: string) => (figures: Figures) => figures.sum(`tidekeep_${name}`);

const line = (name: string, value: Series["value"]): Series => ({ name, value });
const rate = (name: string, count: (figures: Figures) => number | undefined) =>
  line(name, (look) => perSecond(look, count));
const gauge = (name: string, value: (figures: Figures) => number | undefined) =>
  line(name, ({ now }) => value(now));
const timed = (name: string, q: number, histogram: string) =>
  line(name, ({ before, now }) => scaled(quantile(q, before.buckets(histogram), now.buckets(histogram)), 1000));

/** Every plot, in the order of the page. */
export const PLOTS: readonly PlotSpec[] = [
  {
    title: "Operations",
    about: "Requests answered each second, of all clients.",
    unit: "rate",
    series: [
      rate("reads", answered(READS)),
      rate("writes", answered(WRITES)),
      rate("Redis", (figures) => figures.sum("tidekeep_resp_commands_total") ?? 0),
      rate("refused", (figures) => figures.sum(REQUESTS, ({ result }) => result !== "ok")),
    ],
  },
  {
    title: "Time in the server",
    about: "From arrival to answer, the log's sync included.",
    unit: "ms",
    series: [timed("p50", 0.5, BATCH), timed("p99", 0.99, BATCH)],
  },
  {
    title: "Round trip of this page",
    about: "To the server and back.",
    unit: "ms",
    series: [line("ping", ({ roundTripMs }) => roundTripMs)],
  },
  {
    title: "Log sync",
    about: "Each makes all writes that wait for it safe.",
    unit: "ms",
    series: [line("mean", meanSync)],
  },
  {
    title: "Log writes",
    about: "Records for a sync tell how well writes share it.",
    unit: "rate",
    series: [rate("syncs", store("log_syncs")), rate("records", store("log_records"))],
  },
  {
    title: "Watch lag",
    about: "From the order of a change to the message with it.",
    unit: "ms",
    series: [timed("p50", 0.5, LAG), timed("p99", 0.99, LAG)],
  },
  {
    title: "Memory",
    about: "Keys and values, recent changes, buffers.",
    unit: "bytes",
    series: [
      gauge("in all", store("memory_bytes")),
      gauge("entries", store("memory_entries_bytes")),
      gauge("recent changes", store("memory_history_bytes")),
    ],
  },
  {
    title: "Traffic",
    about: "Bytes each second.",
    unit: "byterate",
    series: [rate("received", all("received_bytes_total")), rate("sent", all("sent_bytes_total"))],
  },
  {
    title: "Clients",
    about: "What is open.",
    unit: "count",
    series: [gauge("connections", all("connections")), gauge("watches", all("watches"))],
  },
];

/** The last five minutes. */
export class History {
  #points: Point[] = [];
  #last: { at: number; figures: Figures } | undefined;

  get points(): readonly Point[] {
    return this.#points;
  }

  /** Takes a look over: rates begin with the second one, and anew after a restart of the server. */
  look(at: number, figures: Figures, roundTripMs: number | undefined): void {
    const before = this.#last;
    this.#last = { at, figures };
    if (!before || at <= before.at) return;
    const seconds = (at - before.at) / 1000;
    if (restarted(before.figures, figures)) return this.#push(at, undefined);
    this.#push(at, { seconds, before: before.figures, now: figures, roundTripMs });
  }

  /** Nobody looks for a while: what follows is not joined to what was before. */
  pause(at: number): void {
    if (this.#last) this.#push(at, undefined);
    this.#last = undefined;
  }

  #push(at: number, look: Interval | undefined): void {
    const values = new Map<Series, number | undefined>();
    for (const series of PLOTS.flatMap(({ series }) => series)) values.set(series, look && series.value(look));
    const since = at - WINDOW_MS;
    this.#points = [...this.#points, { at, values }].filter((point) => point.at >= since).slice(-POINTS_MAX);
  }
}

function restarted(before: Figures, now: Figures): boolean {
  const uptime = "tidekeep_uptime_seconds";
  return (now.one(uptime) ?? 0) < (before.one(uptime) ?? 0);
}

function perSecond(look: Interval, count: (figures: Figures) => number | undefined): number | undefined {
  const now = count(look.now);
  return now === undefined ? undefined : Math.max(0, now - (count(look.before) ?? 0)) / look.seconds;
}

function meanSync({ before, now }: Interval): number | undefined {
  const [us, syncs] = [store("log_sync_us"), store("log_syncs")];
  const count = (syncs(now) ?? 0) - (syncs(before) ?? 0);
  return count > 0 ? ((us(now) ?? 0) - (us(before) ?? 0)) / count / 1000 : undefined;
}

function scaled(value: number | undefined, by: number): number | undefined {
  return value === undefined ? undefined : value * by;
}
