// What the README shows compiles against the types that are published.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const FOLDER = ".test-build/readme";
/** What blocks take as given: those that make no client of their own, too. */
const GIVEN = `declare const user: string;\n`;
const CLIENT = `import type { Client } from "tidekeep";\ndeclare const client: Client;\n`;

test("every example of the README compiles", () => {
  mkdirSync(FOLDER, { recursive: true });
  const blocks = [...readFileSync("README.md", "utf8").matchAll(/^```(js|ts|tsx)\n(.*?)^```$/gms)];
  assert.ok(blocks.length >= 6);
  const files = blocks.map(([, language, code], at) => {
    const name = `${at}.${language === "tsx" ? "tsx" : "ts"}`;
    const needs = /\bclient\./.test(code!) && !/const client = |useClient/.test(code!);
    writeFileSync(join(FOLDER, name), `${needs ? CLIENT : ""}${GIVEN}${code}\nexport {};\n`);
    return name;
  });
  const compilerOptions = { jsx: "react-jsx", types: ["react"], noUnusedLocals: false };
  const config = { extends: "../../tsconfig.json", compilerOptions, files, include: [], exclude: [] };
  writeFileSync(join(FOLDER, "tsconfig.json"), JSON.stringify(config));
  try {
    execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "--project", FOLDER]);
  } catch (error) {
    assert.fail(String((error as { stdout?: Buffer }).stdout));
  }
});
