// The module's text in the default entry, which imports this first: gzip makes more of a script
// and of random text when they lie one behind the other.

import base64 from "tidekeep-module";

let text = base64;

/** The packed module. The text is let go, so it is to be had once. */
export function packedModule(): Uint8Array {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  text = "";
  return bytes;
}
