// Runs the page's tests: checks the types, then drives the real server's page in a real browser. The
// server must have been built with the page in it, as `cargo xtask test` does.

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** Runs Node with these arguments and ends with its exit code if it fails. */
function node(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: path("."), stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

node(path("node_modules/typescript/bin/tsc"));
const tests = readdirSync(path("test")).filter((name) => name.endsWith(".test.mjs"));
node("--test", "--test-concurrency=1", "--test-timeout=120000", ...tests.map((name) => `test/${name}`));
