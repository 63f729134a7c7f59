// Keys as the page handles them. A `Raw` has one char per byte, so that maps, prefixes and order
// work on it as they do on bytes; people see and type it as text with escapes.

/** Bytes as a string of chars below 256. */
export type Raw = string;

const CHUNK = 8192;
/** What may be a character of several bytes, and bytes that are no letters by themselves. */
const UNPLAIN = /[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xff][\x80-\xbf]{3}|[\x00-\x1f\x7f-\xff\\]/g;
const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function toRaw(bytes: Uint8Array): Raw {
  let raw = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    raw += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return raw;
}

export function fromRaw(raw: Raw): Uint8Array {
  return Uint8Array.from(raw, (char) => char.charCodeAt(0));
}

/** The first key behind all that begin with a prefix; undefined when they reach the last key. */
export function prefixEnd(prefix: Raw): Raw | undefined {
  const kept = prefix.replace(/\xff+$/, "");
  if (kept === "") return undefined;
  return kept.slice(0, -1) + String.fromCharCode(kept.charCodeAt(kept.length - 1) + 1);
}

/** The text of UTF-8 bytes; undefined when they are no UTF-8. */
export function strictText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Text as the bytes of its UTF-8. */
export function rawOfText(text: string): Raw {
  return toRaw(encoder.encode(text));
}

/** Bytes as text where they are text, as the client takes either. */
export function given(raw: Raw): string | Uint8Array {
  const bytes = fromRaw(raw);
  return strictText(bytes) ?? bytes;
}

/** Readable, and the same for no two keys: `\xNN` for what is no text, `\\` for a backslash. */
export function escapeKey(raw: Raw): string {
  return raw.replace(UNPLAIN, (part) => {
    if (part === "\\") return "\\\\";
    const text = strictText(fromRaw(part));
    // Characters that cannot be seen would make two keys look alike.
    return text !== undefined && !/[\p{C}\p{Zl}\p{Zp}]/u.test(text) ? text : part.replace(/[^]/g, (char) => `\\x${hexByte(char)}`);
  });
}

/** What `escapeKey` shows, as bytes again; undefined when an escape is broken. */
export function parseKey(text: string): Raw | undefined {
  if (/\\(?!\\|n|t|x[0-9a-fA-F]{2})/.test(text.replaceAll("\\\\", ""))) return undefined;
  return rawOfText(text).replace(/\\(?:x(..)|(.))/g, (_, hex?: string, letter?: string) =>
    hex ? charOf(hex) : ({ n: "\n", t: "\t" }[letter!] ?? "\\"),
  );
}

/** Bytes for an address: `%NN` for all but the plainest. */
export function percentEncode(raw: Raw): string {
  return raw.replace(/[^A-Za-z0-9\-._~/:@]/g, (char) => `%${hexByte(char)}`);
}

/** The bytes of an address; undefined when it is broken. */
export function percentDecode(text: string): Raw | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined;
  return rawOfText(text).replace(/%(..)/g, (_, hex: string) => charOf(hex));
}

/** The byte of two hexadecimal digits. */
export function charOf(hex: string): Raw {
  return String.fromCharCode(parseInt(hex, 16));
}

function hexByte(char: string): string {
  return hexOf(char.charCodeAt(0));
}

/** Two hexadecimal digits. */
export function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
