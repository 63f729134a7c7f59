// The module's text in the default entry, which imports this first: gzip makes more of a script
// and of random text when they lie one behind the other.

import sixBits from "tidekeep-module";

let text = sixBits;

/** What the character at a place stands for: those of `scripts/build.mjs`, in two runs around a backslash. */
function six(at: number): number {
  const char = text.charCodeAt(at);
  return char - (char < 92 ? 40 : 63);
}

/** The packed module. The text is let go, so it is to be had once. */
export function packedModule(): Uint8Array {
  const length = Math.floor(text.length * 0.75);
  // Four characters are three bytes, each of which is in two of them; a place's fraction is cut off.
  const bytes = Uint8Array.from({ length }, (_, at) => {
    const place = (at * 4) / 3;
    return ((six(place) << 6) | six(place + 1)) >> (4 - ((at * 8) % 6));
  });
  text = "";
  return bytes;
}
