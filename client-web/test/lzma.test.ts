// The reader of the packed module, against files of `xz` and the module itself.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { unpack } from "../ts/lzma.js";

const TIDE = "the tide keeps the time, the time keeps the tide; ";
const noise = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** Made by `xz --format=lzma --lzma1=preset=9e,lc=3,lp=0,pb=0`, the length put into the header. */
const FILES: Record<string, { packed: string; bytes: Buffer }> = {
  nothing: { packed: "AwAAAAQAAAAAAAAAAACD//v//8AAAAA=", bytes: Buffer.alloc(0) },
  "one byte again and again": {
    packed: "AwAAAAToAwAAAAAAAAAw8HvB/q6O98tarv//mhoAAA==",
    bytes: Buffer.alloc(1000, "a"),
  },
  "text around every byte there is": {
    packed:
      "AwAAAATIAQAAAAAAAAA6GtoFINht9tcQ+8lLOdp9UTq4AqDAfVe2rPoRYvlQHvjiArd0RFzz4Ab3Sdac7hFkOEue9Snf+aa+" +
      "DIfy86Lyksih75vqrEEp69XibiZO6HMjK/tikUbSsuP8yLfsTfEJpT1V43/j9RMDmLMfWs6qnXW1hGy0bHWRjF1OxuaQJi3m" +
      "aIhtgV/rID3GI5UP4nXm/83DSk+dN8UVbT4yPz09zQJ3jhou/sCRBTNyC3kYTZms2M8cZpr3Rq86n1lFy7lPAiz6HMg6L0CR" +
      "+uqloJXykKjhUSCGqYJRKn0HoDPV0XvRcO9Ke/7eQVTYm2E8tkWOGfZOg9o0pYJ0JJE/zwmG4f+MYN//hq5gAA==",
    bytes: Buffer.concat([
      Buffer.from(TIDE.repeat(3)),
      noise,
      Buffer.from("the tide keeps the time, The time keeps the tide; "),
    ]),
  },
};

for (const [what, { packed, bytes }] of Object.entries(FILES)) {
  test(`${what} is unpacked`, () => {
    assert.deepEqual(Buffer.from(unpack(Buffer.from(packed, "base64"))), bytes);
  });
}

test("the packed module is the module", () => {
  const module = readFileSync("dist/tidekeep.wasm");
  const packed = readFileSync("wasm/tidekeep_bg.lzma");
  assert.ok(packed.length < module.length / 2);
  assert.deepEqual(Buffer.from(unpack(packed)), module);
});
