// Runs the tests: checks the types, bundles test/*.test.ts for Node and hands them to its runner.
// The package itself is not built here: the tests use dist/ as it is.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** Runs Node with these arguments and ends with its exit code if it fails. */
function node(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: path("."), stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(path("dist/index.js"))) {
  console.error("dist/ is missing: run `cargo xtask web` first");
  process.exit(1);
}
const tsc = path("node_modules/typescript/bin/tsc");
node(tsc);
node(tsc, "--project", "tsconfig.node.json");
node(tsc, "--project", "test");

const wanted = process.argv.slice(2);
const tests = readdirSync(path("test"))
  .filter((name) => name.endsWith(".test.ts"))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)));
rmSync(path(".test-build"), { recursive: true, force: true });
await build({
  entryPoints: tests.map((name) => path(`test/${name}`)),
  outdir: path(".test-build"),
  outExtension: { ".js": ".mjs" },
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: "inline",
  logLevel: "warning",
});
const files = tests.map((name) => `.test-build/${name.replace(/\.ts$/, ".mjs")}`);
node("--enable-source-maps", "--test", "--test-concurrency=1", ...files);
