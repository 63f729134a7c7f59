// The page's sources without a page: bundled by esbuild and imported, for tests in Node.

import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const folder = fileURLToPath(new URL("../src", import.meta.url));

/** All that these modules of `src` export, as `model/tree`. */
export async function load(...names) {
  const { outputFiles } = await build({
    stdin: { contents: names.map((name) => `export * from "./${name}.js";`).join("\n"), resolveDir: folder },
    bundle: true,
    write: false,
    format: "esm",
    // One package for what is tested and for the test: its errors are told apart by their class.
    external: ["tidekeep"],
  });
  const address = JSON.stringify(import.meta.resolve("tidekeep"));
  const text = outputFiles[0].text.replaceAll(/from "tidekeep(\/slim)?"/g, () => `from ${address}`);
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
}

/** An entry as the client gives it. */
export function entry(key, revision, { value = "", version = 1 } = {}) {
  const keyBytes = new TextEncoder().encode(key);
  return { keyBytes, value: new TextEncoder().encode(value), revision, created: revision, version };
}

/** A put as a watch tells it. */
export function put(key, revision, more) {
  const made = entry(key, revision, more);
  return { type: "put", keyBytes: made.keyBytes, revision, entry: made };
}

/** A delete as a watch tells it. */
export function removal(key, revision) {
  return { type: "delete", keyBytes: new TextEncoder().encode(key), revision };
}
