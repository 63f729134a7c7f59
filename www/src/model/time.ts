// Times to live as people write and read them.

/** Units with their other names; a number without one counts seconds. */
const UNITS: [name: string, ms: number, others: RegExp][] = [
  ["w", 604_800_000, /^weeks?$/],
  ["d", 86_400_000, /^days?$/],
  ["h", 3_600_000, /^(hrs?|hours?)$/],
  ["m", 60_000, /^(mins?|minutes?)$/],
  ["s", 1000, /^(secs?|seconds?|)$/],
  ["ms", 1, /^msec$/],
];

/** A countdown, in days and what is less: `2d 03h`, `1h 02m`, `4m 09s`, `12.3 s` near the end. */
export function countdown(leftMs: number): string {
  if (leftMs <= 0) return "now";
  if (leftMs < 10_000) return `${(leftMs / 1000).toFixed(1)} s`;
  let left = Math.ceil(leftMs / 1000) * 1000;
  const parts: string[] = [];
  for (const [name, ms] of UNITS.slice(1, -1)) {
    const count = Math.floor(left / ms);
    left -= count * ms;
    if (parts.length > 0) parts.push(`${String(count).padStart(2, "0")}${name}`);
    else if (count > 0) parts.push(`${count}${name}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** `90`, `90s`, `5m`, `1h30m`, `250ms` as milliseconds; undefined when it is none of these. */
export function parseDuration(text: string): number | undefined {
  const ms = sumOf(text);
  return ms > 0 ? Math.ceil(ms) : undefined;
}

/** Numbers with their units added up, in milliseconds; NaN when there is anything else. */
export function sumOf(text: string): number {
  let sum = 0;
  const rest = text.toLowerCase().replace(/(\d+(?:\.\d+)?)\s*([a-z]*)/g, (_, count: string, unit: string) => {
    const [, ms = NaN] = UNITS.find(([name, , others]) => name === unit || others.test(unit)) ?? [];
    sum += Number(count) * ms;
    return "";
  });
  return rest.trim() === "" ? sum : NaN;
}

/** `14:03:59.120`, in the reader's own time zone. */
export function clockText(epochMs: number): string {
  return `${secondsText(epochMs)}.${String(Math.floor(epochMs % 1000)).padStart(3, "0")}`;
}

/** `14:03:59`. */
export function secondsText(epochMs: number): string {
  return new Date(epochMs).toLocaleTimeString("en-GB");
}
