// A call of the client as people write it: what the console and the key view show beside what they do,
// so that it can be copied into a program. Pure.

import { hexOf, strictText } from "./bytes.js";

/** The call as an expression, `client.put("name", "John Doe", { ttlMs: 30000 })`. */
export function callText(method: string, args: readonly unknown[]): string {
  const given = [...args];
  while (given.length > 0 && isEmpty(given.at(-1))) given.pop();
  return `client.${method}(${given.map(literal).join(", ")})`;
}

/** A value as a literal: bytes that are text as a string, others as a `Uint8Array`. */
export function literal(value: unknown): string {
  if (value instanceof Uint8Array) {
    if (value.length === 0) return "new Uint8Array()";
    const text = strictText(value);
    return text === undefined ? `Uint8Array.of(${Array.from(value, (byte) => `0x${hexOf(byte)}`).join(", ")})` : JSON.stringify(text);
  }
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    const text = fields.map(([name, field]) => `${name}: ${literal(field)}`).join(", ");
    return text === "" ? "{}" : `{ ${text} }`;
  }
  return JSON.stringify(value) ?? "undefined";
}

function isEmpty(value: unknown): boolean {
  if (value === undefined) return true;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  return !Array.isArray(value) && Object.values(value).every((field) => field === undefined);
}
