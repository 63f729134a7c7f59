// The tarball by itself: what is in it, that tools which look such packages over find nothing, that
// its types hold under strict settings, and that Node runs its entries.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { after, before, test } from "node:test";

import { Project, roundTrip, run } from "./installed.js";
import { ServerProcess } from "./server.js";

const FILES = [
  ...["tabs", "offline", "file", "observe", "react", "testing"].map((name) => `dist/${name}.js`),
  ...["dist/index.js", "dist/index.d.ts", "dist/slim.js", "dist/slim.d.ts", "dist/workerd.js"],
  ...["dist/types.d.ts", "dist/errors.d.ts", "dist/tidekeep.wasm", "README.md"],
];

let project: Project;
let server: ServerProcess;

before(async () => {
  project = Project.install();
  project.link("ws");
  server = await ServerProcess.start();
});

after(async () => {
  await server.stop();
  project.remove();
});

test("everything that runs is in it, and nothing that it was made from", () => {
  for (const file of FILES) assert.ok(project.files.includes(file), `${file} is not in the package`);
  const sources = project.files.filter((name) => /^(ts|src|test|wasm|runtimes)\//.test(name));
  assert.deepEqual(sources, []);
});

test("publint finds nothing", () => {
  const publint = resolve("runtimes/node_modules/publint/src/cli.js");
  const said = run("node", [publint, project.tarball, "--strict", "--pack", "false"], ".");
  assert.match(said, /All good!/);
});

test("are-the-types-wrong finds nothing", () => {
  const attw = resolve("runtimes/node_modules/@arethetypeswrong/cli/dist/index.js");
  // The package is made of modules alone, which `require` of Node 20.19 and newer takes. A problem
  // ends it with another exit code than 0.
  const said = run("node", [attw, project.tarball, "--profile", "esm-only", "--no-color"], ".");
  const entries = said.match(/^"tidekeep.*"\n\nnode16 \(from ESM\): 🟢.*\nbundler: 🟢/gm) ?? [];
  const { exports } = JSON.parse(readFileSync("package.json", "utf8"));
  assert.equal(entries.length, Object.keys(exports).length, said);
});

test("Node runs the default entry, with the package ws", () => {
  const source = `import { connect } from "tidekeep";`;
  project.write("default.js", source + roundTrip("process.argv[2]", "console.log", "default"));
  assert.equal(project.run("node", ["default.js", server.url]).trim(), "yes");
});

test("Node runs the slim entry with the module's bytes", () => {
  const source = `
    import { readFile } from "node:fs/promises";
    import { fileURLToPath } from "node:url";
    import { connect, init } from "tidekeep/slim";
    init(readFile(fileURLToPath(import.meta.resolve("tidekeep/tidekeep.wasm"))));`;
  project.write("slim.js", source + roundTrip("process.argv[2]", "console.log", "slim"));
  assert.equal(project.run("node", ["slim.js", server.url]).trim(), "yes");
});

test("its types hold under strict settings, however they are resolved", () => {
  project.write("sample.ts", `
    import { connect, TidekeepError } from "tidekeep";
    import type { Entry, WatchEvent } from "tidekeep";
    import { init } from "tidekeep/slim";
    import { indexedDb } from "tidekeep/offline";
    import { tabs } from "tidekeep/tabs";
    import address from "tidekeep/tidekeep.wasm";
    await init(address);
    const kept = connect("/ws", { offline: { storage: indexedDb(), identity: "ada" }, tabs: tabs() });
    const view = kept.view({ prefix: "a/" }, { persist: true });
    for (const { key, optimistic } of view) console.log(key, optimistic, view.freshnessOf(key));
    const { revision } = await kept.queue.put("a/b", "c", { ifAbsent: true }).settled;
    console.log(revision.toFixed());
    const client = connect("ws://host/ws", { timeoutMs: 5 });
    const entry: Entry | undefined = await client.get(new Uint8Array([1]));
    const name: string | undefined = entry?.json<{ name: string }>().name;
    // @ts-expect-error: a revision is a number
    await client.put("k", "v", { ifRevision: "7" });
    for await (const event of client.watch({ prefix: "a/" }, { content: true })) {
      const seen: WatchEvent = event;
      if (seen.type === "put") console.log(name, seen.entry.text(), seen.revision);
    }
    try { await client.delete("k"); } catch (error) {
      if (error instanceof TidekeepError && error.code === "conflict") console.log(error.current?.key);
    }
    await client.close();
  `);
  const strict = {
    ...{ strict: true, noEmit: true, skipLibCheck: false, exactOptionalPropertyTypes: true },
    ...{ noUncheckedIndexedAccess: true, verbatimModuleSyntax: true, isolatedModules: true },
    ...{ noPropertyAccessFromIndexSignature: true, noImplicitOverride: true, types: [] },
    ...{ target: "es2022", lib: ["es2022", "dom"] },
  };
  for (const ways of [{ module: "nodenext" }, { module: "esnext", moduleResolution: "bundler" }]) {
    const config = { compilerOptions: { ...strict, ...ways }, files: ["sample.ts"] };
    project.write("tsconfig.json", JSON.stringify(config));
    project.run("node", [resolve("node_modules/typescript/bin/tsc"), "--project", "tsconfig.json"]);
  }
});
