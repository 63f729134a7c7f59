// Values as people look at them: what kind they are, a line to show, a hex dump to edit.

import { fromRaw, hexOf, strictText, toRaw } from "./bytes.js";

/** How a value can be shown and edited. */
export type Form = "text" | "json" | "hex" | "base64";

/** All forms, with their names. */
export const FORMS: readonly (readonly [Form, string])[] = [
  ["text", "Text"],
  ["json", "JSON"],
  ["hex", "Hex"],
  ["base64", "Base64"],
];

const PREVIEW_BYTES = 256;
const HEX_COLUMNS = 16;

/** The form that tells most about a value. */
export function formOf(value: Uint8Array): Form {
  const text = strictText(value);
  if (text === undefined || /[\x00-\x08\x0e-\x1f]/.test(text)) return "hex";
  return /^\s*[[{]/.test(text) && jsonProblem(text) === undefined ? "json" : "text";
}

/** One line of a value: its beginning as text, or as hex when it is none. */
export function preview(value: Uint8Array): string {
  const start = value.subarray(0, PREVIEW_BYTES);
  // The cut may go through a character; that is no reason to call the value binary.
  const cut = value.length > PREVIEW_BYTES ? 3 : 0;
  for (let less = 0; less <= cut; less++) {
    const text = strictText(start.subarray(0, start.length - less));
    if (text !== undefined && !/[\x00-\x08\x0e-\x1f]/.test(text)) return text.replace(/\s+/g, " ");
  }
  return Array.from(start.subarray(0, 32), hexOf).join(" ");
}

/** Why a text is no JSON; undefined when it is. */
export function jsonProblem(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The same JSON with line breaks, its numbers and order untouched as far as JSON.parse keeps them. */
export function prettyJson(text: string): string {
  return JSON.stringify(JSON.parse(text), undefined, 2);
}

/** Whether reformatting a JSON text keeps its meaning: numbers too long for a double do not. */
export function survivesPretty(text: string): boolean {
  const compact = (json: string) => json.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (part) => (part[0] === '"' ? part : ""));
  return jsonProblem(text) === undefined && compact(JSON.stringify(JSON.parse(text))) === compact(text);
}

/** A value as text in a form to edit; bytes that are no text are lost in "text" and "json". */
export function toForm(value: Uint8Array, form: Form): string {
  if (form === "hex") return toHex(value);
  if (form === "base64") return toBase64(value);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(value);
}

/** What a text in a form stands for; a sentence where it stands for nothing. */
export function fromForm(text: string, form: Form): Uint8Array | string {
  if (form === "hex") return fromHex(text) ?? "This is not whole bytes of hex digits.";
  if (form === "base64") return fromBase64(text) ?? "This is no base64.";
  const problem = form === "json" ? jsonProblem(text) : undefined;
  return problem === undefined ? new TextEncoder().encode(text) : `No JSON yet: ${problem}`;
}

export function toBase64(value: Uint8Array): string {
  return btoa(toRaw(value)).replace(/.{76}(?=.)/g, "$&\n");
}

/** Base64 as bytes, with or without padding and line breaks; undefined when it is none. */
export function fromBase64(text: string): Uint8Array | undefined {
  try {
    return fromRaw(atob(text.replace(/\s+/g, "").replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return undefined;
  }
}

/** What else a text value may be: a time, a UUID, a number. Undefined when nothing is known. */
export function guess(value: Uint8Array): string | undefined {
  const text = value.length <= 64 ? strictText(value)?.trim() : undefined;
  if (text === undefined) return undefined;
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return `UUID, version ${text[14]}`;
  // Seconds since 1970, or milliseconds.
  if (/^1\d{9}(\d{3})?$/.test(text)) return `maybe ${new Date(Number(text.padEnd(13, "0"))).toISOString()}`;
  return /^-?\d+(\.\d+)?$/.test(text) ? "number" : undefined;
}

/** Hex bytes, sixteen a line. */
export function toHex(value: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < value.length; at += HEX_COLUMNS) {
    lines.push(Array.from(value.subarray(at, at + HEX_COLUMNS), hexOf).join(" "));
  }
  return lines.join("\n");
}

/** A dump to read: offset, hex, what of it is text. */
export function hexDump(value: Uint8Array, bytesMax: number): string {
  const shown = value.subarray(0, bytesMax);
  const lines: string[] = [];
  for (let at = 0; at < shown.length; at += HEX_COLUMNS) {
    const row = shown.subarray(at, at + HEX_COLUMNS);
    const bytes = Array.from(row, hexOf);
    const left = bytes.slice(0, 8).join(" ").padEnd(23);
    const right = bytes.slice(8).join(" ").padEnd(23);
    const text = Array.from(row, (byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "."));
    lines.push(`${at.toString(16).padStart(6, "0")}  ${left}  ${right}  ${text.join("")}`);
  }
  return lines.join("\n");
}

/** Hex text as bytes; undefined when it is not whole bytes of hex digits. */
export function fromHex(text: string): Uint8Array | undefined {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) return undefined;
  const bytes = new Uint8Array(digits.length / 2);
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = parseInt(digits.slice(at * 2, at * 2 + 2), 16);
  }
  return bytes;
}

/** `12,345`. */
export function countText(count: number): string {
  return count.toLocaleString("en-US");
}

/** `1 key`, `12,345 keys`. */
export function counted(count: number, what: string): string {
  return `${countText(count)} ${what}${count === 1 ? "" : "s"}`;
}
