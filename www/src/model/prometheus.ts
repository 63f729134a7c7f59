// The server's figures as `/metrics` writes them: Prometheus' text format, as far as one server needs
// it. Pure: text goes in.

/** Labels of a figure, by name. */
type Labels = Readonly<Record<string, string>>;

/** One figure. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/gy;

/** What one look at `/metrics` has found, by the figures' names. */
export class Figures {
  readonly #samples = new Map<string, Sample[]>();

  /** Lines that are no figures are passed over: a page of a newer server still tells the rest. */
  constructor(text: string) {
    for (const line of text.split("\n")) {
      const [, name, labels, number] = /^\s*(#|$)/.test(line) ? [] : (LINE.exec(line.trim()) ?? []);
      const value = parseNumber(number);
      if (name === undefined || value === undefined) continue;
      const sample = { labels: labelsOf(labels ?? ""), value };
      const known = this.#samples.get(name);
      if (known) known.push(sample);
      else this.#samples.set(name, [sample]);
    }
  }

  /** Every figure of this name. */
  all(name: string): readonly Sample[] {
    return this.#samples.get(name) ?? [];
  }

  /** The figure without labels; undefined when the server does not tell it. */
  one(name: string): number | undefined {
    return this.#samples.get(name)?.[0]?.value;
  }

  /** The sum of the figures whose labels pass; undefined when there is none of this name. */
  sum(name: string, passes: (labels: Labels) => boolean = () => true): number | undefined {
    const samples = this.#samples.get(name);
    return samples?.reduce((sum, { labels, value }) => (passes(labels) ? sum + value : sum), 0);
  }

  /** A histogram's buckets: how many were at most as long as each bound, bounds ascending. */
  buckets(name: string): readonly Bucket[] {
    return this.all(`${name}_bucket`)
      .map(({ labels, value }) => ({ bound: parseNumber(labels["le"]) ?? Infinity, count: value }))
      .sort((a, b) => a.bound - b.bound);
  }
}

/** How many were at most so long. */
export interface Bucket {
  readonly bound: number;
  readonly count: number;
}

/**
 * The quantile of what a histogram counted between two looks, evenly spread within its bucket as
 * Prometheus has it; the last bound when it lies behind it, undefined when nothing was counted.
 */
export function quantile(q: number, before: readonly Bucket[], now: readonly Bucket[]): number | undefined {
  const counts = now.map(({ bound, count }, at) => ({ bound, count: count - (before[at]?.count ?? 0) }));
  const wanted = (counts.at(-1)?.count ?? 0) * q;
  if (!(wanted > 0)) return undefined;
  let below = { bound: 0, count: 0 };
  for (const bucket of counts) {
    if (bucket.count >= wanted) {
      if (bucket.bound === Infinity) return below.bound;
      const part = (wanted - below.count) / (bucket.count - below.count);
      return below.bound + (bucket.bound - below.bound) * part;
    }
    below = bucket;
  }
  return below.bound;
}

function labelsOf(text: string): Labels {
  const labels: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(LABEL)) {
    labels[name!] = value!.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
  }
  return labels;
}

function parseNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\+?Inf$/.test(text)) return Infinity;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}
