// What a browser is sent before the page works: document, script, style, icon and module, by brotli.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";

const BYTES_MAX = 80_000;
const dist = fileURLToPath(new URL("../dist/", import.meta.url));

test("the page is at most 80 KB, its module included", () => {
  const names = readdirSync(dist).filter((name) => /\.(html|js|css|svg|wasm)$/.test(name));
  const sizes = names.map((name) => [name, brotliCompressSync(readFileSync(dist + name)).length]);
  const sum = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
  assert.ok(names.some((name) => name.endsWith(".wasm")), "the module is part of it");
  assert.ok(sum <= BYTES_MAX, `${sum} bytes: ${JSON.stringify(Object.fromEntries(sizes))}`);
});
