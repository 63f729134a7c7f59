// Times to live as people write and read them.

const UNITS: [name: string, ms: number][] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
];

/** A countdown: `2d 03h`, `1h 02m`, `4m 09s`, `12.3 s` near the end. */
export function countdown(leftMs: number): string {
  if (leftMs <= 0) return "now";
  if (leftMs < 10_000) return `${(leftMs / 1000).toFixed(1)} s`;
  let left = Math.ceil(leftMs / 1000) * 1000;
  const parts: string[] = [];
  for (const [name, ms] of UNITS) {
    const count = Math.floor(left / ms);
    left -= count * ms;
    if (parts.length > 0) parts.push(`${String(count).padStart(2, "0")}${name}`);
    else if (count > 0) parts.push(`${count}${name}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** `90`, `90s`, `5m`, `1h 30m`, `250ms` as milliseconds; undefined when it is none of these. */
export function parseDuration(text: string): number | undefined {
  const parts = text.trim().toLowerCase().match(/\d+(\.\d+)?\s*(ms|d|h|m|s)?/g);
  if (!parts || parts.join("").replace(/\s/g, "") !== text.replace(/\s/g, "").toLowerCase()) {
    return undefined;
  }
  let sum = 0;
  for (const part of parts) {
    const unit = part.replace(/[\d.\s]/g, "");
    const scale = unit === "ms" ? 1 : (UNITS.find(([name]) => name === unit)?.[1] ?? 1000);
    sum += parseFloat(part) * scale;
  }
  return sum > 0 ? Math.ceil(sum) : undefined;
}

/** `14:03:59.120`, in the reader's own time zone. */
export function clockText(epochMs: number): string {
  const date = new Date(epochMs);
  const two = (value: number) => String(value).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}
