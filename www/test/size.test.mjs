// What a browser is sent for the page itself, by brotli: document, script, style, icon. The client within
// the script, and its module, have a limit of their own (`cargo xtask web`); both together shall be 80 KB.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";

const OWN_BYTES_MAX = 48_000;
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const bytes = (file) => brotliCompressSync(readFileSync(file)).length;

test("the page itself is at most 48 KB beside its client", () => {
  const names = readdirSync(path("dist")).filter((name) => /\.(html|js|css|svg)$/.test(name));
  const sizes = names.map((name) => [name, bytes(path(`dist/${name}`))]);
  const client = bytes(path("node_modules/tidekeep/dist/slim.js"));
  const own = sizes.reduce((sum, [, bytes]) => sum + bytes, -client);
  assert.ok(own <= OWN_BYTES_MAX, `${own} bytes: ${JSON.stringify(Object.fromEntries(sizes))}`);
});
