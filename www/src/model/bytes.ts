// Keys as the page handles them. A `Raw` has one char per byte, so that maps, prefixes and order
// work on it as they do on bytes; people see and type it as text with escapes.

/** Bytes as a string of chars below 256. */
export type Raw = string;

const CHUNK = 8192;
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

/** Readable, and the same for no two keys: `\xNN` for what is no text, `\\` for a backslash. */
export function escapeKey(raw: Raw): string {
  // Each run of bytes above ASCII is text or it is not; a broken run is escaped byte by byte.
  return raw.replace(/[\x80-\xff]+|[\x00-\x1f\x7f\\]/g, (part) => {
    if (part === "\\") return "\\\\";
    if (part.charCodeAt(0) < 0x80) return escapeByte(part);
    return decodeRun(part);
  });
}

/** What `escapeKey` shows, as bytes again; undefined when an escape is broken. */
export function parseKey(text: string): Raw | undefined {
  if (/\\(?!\\|n|t|x[0-9a-f]{2})/i.test(text.replaceAll("\\\\", ""))) return undefined;
  let raw = "";
  for (const part of text.split(/(\\\\|\\n|\\t|\\x[0-9a-f]{2})/i)) {
    if (part === "\\\\") raw += "\\";
    else if (part === "\\n") raw += "\n";
    else if (part === "\\t") raw += "\t";
    else if (part.startsWith("\\")) raw += String.fromCharCode(parseInt(part.slice(2), 16));
    else raw += toRaw(encoder.encode(part));
  }
  return raw;
}

/** Bytes for an address: `%NN` for all but the plainest. */
export function percentEncode(raw: Raw): string {
  return raw.replace(/[^A-Za-z0-9\-._~/:@]/g, (char) => `%${hexByte(char)}`);
}

/** The bytes of an address; undefined when it is broken. */
export function percentDecode(text: string): Raw | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined;
  const parts = text.split(/(%[0-9a-f]{2})/i);
  return parts
    .map((part) =>
      part.startsWith("%")
        ? String.fromCharCode(parseInt(part.slice(1), 16))
        : toRaw(encoder.encode(part)),
    )
    .join("");
}

function decodeRun(run: Raw): string {
  let shown = "";
  for (let at = 0; at < run.length; ) {
    const length = sequenceLength(run.charCodeAt(at));
    const text = length > 0 ? strictText(fromRaw(run.slice(at, at + length))) : undefined;
    // Characters that cannot be seen would make two keys look alike.
    if (text !== undefined && !/[\p{C}\p{Zl}\p{Zp}]/u.test(text)) {
      shown += text;
      at += length;
    } else {
      shown += escapeByte(run[at]!);
      at += 1;
    }
  }
  return shown;
}

/** Bytes of the UTF-8 sequence that begins with this byte; 0 when none does. */
function sequenceLength(first: number): number {
  if (first >= 0xf0) return 4;
  if (first >= 0xe0) return 3;
  return first >= 0xc0 ? 2 : 0;
}

function escapeByte(char: string): string {
  return `\\x${hexByte(char)}`;
}

function hexByte(char: string): string {
  return char.charCodeAt(0).toString(16).padStart(2, "0");
}
