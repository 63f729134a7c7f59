// What a page downloads for a client: each package bundled and minified by esbuild from the one line
// with which it is used, so that nothing counts which that line does not need. Prints a line of JSON
// for each; `cargo xtask bench --only sizes` makes a table of them.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "../../client-web/dist");

/** Names, what they are, the code that is bundled, and a module that is fetched beside it. */
const CLIENTS = [
  {
    name: "tidekeep/slim",
    what: "this package, script and module apart",
    code: `export { connect, init } from "${dist}/slim.js"`,
    wasm: join(dist, "tidekeep.wasm"),
  },
  {
    name: "tidekeep",
    what: "this package, the module inlined",
    code: `export { connect } from "${dist}/index.js"`,
  },
  {
    name: "partysocket",
    what: "a WebSocket that reconnects, nothing else",
    code: `export { WebSocket } from "partysocket"`,
  },
  {
    name: "@supabase/realtime-js",
    what: "channels and presence",
    code: `export { RealtimeClient } from "@supabase/realtime-js"`,
  },
  {
    name: "convex/browser",
    what: "live queries",
    code: `export { ConvexClient } from "convex/browser"`,
  },
  { name: "surrealdb", what: "a database's SDK", code: `export { Surreal } from "surrealdb"` },
  {
    name: "yjs + y-websocket",
    what: "shared documents",
    code: `export { Doc } from "yjs"; export { WebsocketProvider } from "y-websocket"`,
  },
  {
    name: "@nats-io/nats-core",
    what: "messages",
    code: `export { wsconnect } from "@nats-io/nats-core"`,
  },
  {
    name: "@nats-io/nats-core + kv",
    what: "messages, keys and values",
    code: `export { wsconnect } from "@nats-io/nats-core"; export { Kvm } from "@nats-io/kv"`,
  },
  { name: "ioredis", what: "Redis, in Node", code: `export { Redis } from "ioredis"`, node: true },
  {
    name: "@redis/client",
    what: "Redis, in Node",
    code: `export { createClient } from "@redis/client"`,
    node: true,
  },
];

for (const { name, what, code, wasm, node } of CLIENTS) {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: here },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    platform: node ? "node" : "browser",
    legalComments: "none",
    logLevel: "error",
  });
  const script = Buffer.from(outputFiles[0].contents);
  const module = wasm ? readFileSync(wasm) : Buffer.alloc(0);
  const gzip = (bytes) => (bytes.length ? gzipSync(bytes, { level: 9 }).length : 0);
  const row = {
    ...{ name, what, version: version(code), script: script.length, scriptGzip: gzip(script) },
    ...{ wasm: module.length, wasmGzip: gzip(module) },
  };
  console.log(JSON.stringify(row));
}

/** The version of the package that the line names first. */
function version(code) {
  const [, name] = /from "((?:@[^/"]+\/)?[^@/"]+)/.exec(code) ?? [];
  const folder = name ? join(here, "node_modules", name) : join(dist, "..");
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version;
}
