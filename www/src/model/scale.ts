// A plot's numbers: a scale with a round end, the path of a line with its gaps, numbers with their units.
// Pure.

import type { Unit } from "./metrics.js";
import { countText } from "./value.js";

/** A value of a line at its time. */
export interface At {
  readonly at: number;
  readonly value: number | undefined;
}

/** What is drawn on: times from `from` to `to` over `width`, values from 0 to `top` over `height`. */
export interface Frame {
  readonly from: number;
  readonly to: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * The smallest round number that is not below any of these, nor below `least`: 1, 2 or 5 with zeroes, or of
 * bytes a power of two.
 */
export function roundTop(values: Iterable<number | undefined>, least: number, unit?: Unit): number {
  let most = least;
  for (const value of values) if (value !== undefined && value > most) most = value;
  if (unit === "bytes" || unit === "byterate") return 2 ** Math.ceil(Math.log2(most));
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 2, 5, 10].find((step) => most <= step * power * (1 + 1e-9)) ?? 10;
  return step * power;
}

/** An SVG path through the values; it is broken where one is missing. */
export function path(points: readonly At[], frame: Frame): string {
  let text = "";
  let joined = false;
  for (const { at, value } of points) {
    if (value === undefined) {
      joined = false;
      continue;
    }
    const x = ((at - frame.from) / (frame.to - frame.from)) * frame.width;
    const y = frame.height * (1 - Math.min(1, value / frame.top));
    text += `${joined ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    // A value between two gaps is a line of no length, which round ends make a dot.
    if (!joined) text += "h0";
    joined = true;
  }
  return text;
}

/** The point whose time is nearest; undefined when there is none. */
export function nearest<P extends { readonly at: number }>(points: readonly P[], at: number): P | undefined {
  let best: P | undefined;
  for (const point of points) {
    if (!best || Math.abs(point.at - at) < Math.abs(best.at - at)) best = point;
  }
  return best;
}

/** A number of this unit as people read it; a dash where there is none. */
export function unitText(value: number | undefined, unit: Unit): string {
  if (value === undefined) return "–";
  switch (unit) {
    case "count":
      return countText(Math.round(value));
    case "rate":
      return `${short(value)}/s`;
    case "bytes":
      return bytesText(value);
    case "byterate":
      return `${bytesText(value)}/s`;
    case "ms":
      if (value >= 1000) return `${digits(value / 1000)} s`;
      return value > 0 && value < 1 ? `${Math.round(value * 1000)} µs` : `${digits(value)} ms`;
  }
}

/** `17 B`, `2.4 KiB`. */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; bytes >= 1024 && at < units.length - 1; at++) bytes /= 1024;
  return `${at === 0 ? Math.round(bytes) : digits(bytes)} ${units[at]}`;
}

function short(value: number): string {
  if (value >= 1e6) return `${digits(value / 1e6)} M`;
  return value >= 10_000 ? `${digits(value / 1000)} k` : digits(value);
}

/** Three digits at least, and none that say nothing. */
function digits(value: number): string {
  if (value >= 100) return countText(Math.round(value));
  return String(Number(value.toFixed(value >= 10 ? 1 : 2)));
}
