// Reads the protocol's golden vectors (protocol/vectors/*.txt).

import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One block of a file: a message, as JSON and as the frames that bear it. */
export interface Vector {
  name: string;
  kind: number;
  /** What a reader must find wrong with it, if it must. */
  expect: string | undefined;
  json: unknown;
  /** The bodies of all frames, joined. */
  body: Uint8Array;
}

const HEADER_BYTES = 12;

/** The vectors of one operation; those that are wrong already as frames are left out. */
export function vectors(operation: string): Vector[] {
  // Tests run with the package's folder as the working directory.
  const text = readFileSync(join("..", "protocol", "vectors", `${operation}.txt`), "utf8");
  return text
    .split(/\n\s*\n/)
    .map(parse)
    .filter((vector) => vector !== undefined);
}

/** Bytes as the vectors' JSON writes them: text, or `hex:…`. */
export function unhex(text: string): Uint8Array {
  const hex = text.startsWith("hex:") ? text.slice(4) : Buffer.from(text).toString("hex");
  return new Uint8Array(Buffer.from(hex, "hex"));
}

function parse(block: string): Vector | undefined {
  const fields = new Map<string, string[]>();
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name) fields.set(name, [...(fields.get(name) ?? []), value ?? ""]);
  }
  const frames = (fields.get("bytes") ?? []).map((hex) => Buffer.from(hex, "hex"));
  const first = frames[0];
  if (!first || first.length < HEADER_BYTES) return undefined;
  return {
    name: fields.get("name")?.[0] ?? "",
    kind: first[4]!,
    expect: fields.get("expect")?.[0],
    json: fields.has("json") ? JSON.parse(fields.get("json")![0]!) : undefined,
    body: new Uint8Array(Buffer.concat(frames.map(bodyOf))),
  };
}

function bodyOf(frame: Buffer): Buffer {
  return frame.subarray(HEADER_BYTES + frame.readUInt16LE(6));
}
