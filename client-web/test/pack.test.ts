// The tarball as users get it: installed into an empty project, it runs in Node and in a browser,
// builds with Vite, and its types hold under strict settings.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { ServerProcess } from "./server.js";

const FILES = ["dist/errors.d.ts", "dist/index.d.ts", "dist/index.js", "dist/slim.d.ts", "dist/slim.js"];
const ROUND_TRIP = `
  const client = connect(process.argv[2]);
  await client.put("packed", "yes");
  console.log((await client.get("packed")).text());
  await client.close();
`;

let project: string;
let server: ServerProcess;

before(async () => {
  project = mkdtempSync(join(tmpdir(), "tidekeep-pack-"));
  const packed = run("npm", ["pack", "--json", "--pack-destination", project], ".");
  const [{ filename, files }] = JSON.parse(packed);
  const names = files.map(({ path }: { path: string }) => path);
  for (const file of [...FILES, "dist/types.d.ts", "dist/tidekeep.wasm", "README.md"]) {
    assert.ok(names.includes(file), `${file} is not in the package`);
  }
  assert.ok(!names.some((name: string) => /^(ts|src|test|wasm)\//.test(name)), String(names));
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module", private: true }));
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", "--legacy-peer-deps", `./${filename}`]);
  symlinkSync(resolve("node_modules/ws"), join(project, "node_modules/ws"));
  server = await ServerProcess.start();
});

after(async () => {
  await server.stop();
  rmSync(project, { recursive: true, force: true });
});

function run(command: string, args: string[], folder = project): string {
  return execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

test("Node runs the default entry, with the package ws", () => {
  writeFileSync(join(project, "default.js"), `import { connect } from "tidekeep"; ${ROUND_TRIP}`);
  assert.equal(run("node", ["default.js", server.url]).trim(), "yes");
});

test("Node runs the slim entry with the module's bytes", () => {
  const source = `
    import { readFile } from "node:fs/promises";
    import { fileURLToPath } from "node:url";
    import { connect, init } from "tidekeep/slim";
    init(readFile(fileURLToPath(import.meta.resolve("tidekeep/tidekeep.wasm"))));
    ${ROUND_TRIP}`;
  writeFileSync(join(project, "slim.js"), source);
  assert.equal(run("node", ["slim.js", server.url]).trim(), "yes");
});

test("Vite builds it without any setting", () => {
  const source = `import { connect } from "tidekeep"; window.client = connect("/ws");`;
  writeFileSync(join(project, "page.js"), source);
  writeFileSync(join(project, "index.html"), `<script type="module" src="/page.js"></script>`);
  run("node", [resolve("node_modules/vite/bin/vite.js"), "build", "--logLevel", "error"]);
  const [bundle] = readdirSync(join(project, "dist/assets")).filter((name) => name.endsWith(".js"));
  assert.ok(bundle, "Vite wrote no bundle");
});

test("a browser runs it unbundled, straight from the package", async () => {
  const types: Record<string, string> = { ".js": "text/javascript", ".wasm": "application/wasm" };
  const dist = join(project, "node_modules/tidekeep/dist");
  const files = createServer((request, response) => {
    const name = request.url ?? "/";
    const type = types[extname(name)];
    response.setHeader("content-type", type ?? "text/html");
    response.end(type ? readFileSync(join(dist, name)) : "<!doctype html><title>page</title>");
  });
  await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(files.address() as AddressInfo).port}`;
  const open = await ServerProcess.start(undefined, "--allow-origin", origin);
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  const browser = await chromium.launch({ executablePath, args });
  try {
    const page = await browser.newPage();
    await page.goto(origin);
    for (const entry of ["index", "slim"]) {
      const source = `(async () => {
        const { connect } = await import("/${entry}.js");
        const client = connect("${open.url}");
        await client.put("from", "${entry}");
        return (await client.get("from")).text();
      })()`;
      assert.equal(await page.evaluate(source), entry);
    }
  } finally {
    await browser.close();
    await open.stop();
    files.close();
  }
});

test("its types hold under strict settings", () => {
  const sample = `
    import { connect, TidekeepError } from "tidekeep";
    import type { Entry, WatchEvent } from "tidekeep";
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
  `;
  writeFileSync(join(project, "sample.ts"), sample);
  const options = { strict: true, noEmit: true, target: "es2022", module: "nodenext", types: [] };
  const lib = ["es2022", "dom"];
  const config = { compilerOptions: { ...options, lib }, files: ["sample.ts"] };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(config));
  run("node", [resolve("node_modules/typescript/bin/tsc"), "--project", "tsconfig.json"]);
});
