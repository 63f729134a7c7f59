// The installed package in a page: unbundled, in a worker, and as Vite and esbuild bundle it without
// any setting. The server serves each page itself (`--www`), so its Content-Security-Policy holds.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";
import type { Browser } from "playwright-core";

import { launch } from "./browser.js";
import { Project, roundTrip } from "./installed.js";
import { ServerProcess } from "./server.js";

/** Where a page without a bundler finds the package. */
const UNBUNDLED = "/node_modules/tidekeep/dist";
const SAY = "(text) => { document.documentElement.dataset.said = text; }";
const LIMIT_MS = 20_000;

let project: Project;
let browser: Browser;

before(async () => {
  project = Project.install();
  browser = await launch();
});

after(async () => {
  await browser.close();
  project.remove();
});

/** Writes a page with one script; where it is. */
function page(name: string, script: string): string {
  mkdirSync(project.path(name));
  const html = `<!doctype html><title>${name}</title><script type="module" src="./page.js"></script>`;
  writeFileSync(project.path(`${name}/index.html`), html);
  writeFileSync(project.path(`${name}/page.js`), script);
  return project.path(name);
}

/** What a page of a served folder says, and nothing that went wrong. */
async function said(folder: string, path: string): Promise<string | null> {
  const server = await ServerProcess.start(undefined, "--www", folder);
  const tab = await browser.newPage();
  const wrong: string[] = [];
  tab.on("pageerror", (error) => wrong.push(String(error)));
  tab.on("console", (message) => {
    if (message.type() === "error" && !/favicon/.test(message.location().url)) {
      wrong.push(`${message.text()} ${message.location().url}`);
    }
  });
  try {
    await tab.goto(server.url + path);
    const html = tab.locator("html[data-said]");
    await html.waitFor({ state: "attached", timeout: LIMIT_MS }).catch((error: unknown) => {
      throw new Error(`the page said nothing: ${wrong.join("; ")}`, { cause: error });
    });
    assert.deepEqual(wrong, []);
    return await html.getAttribute("data-said");
  } finally {
    await tab.close();
    await server.stop();
  }
}

for (const entry of ["index", "slim"]) {
  test(`a page runs ${entry}.js as it is`, async () => {
    const script = `import { connect } from "${UNBUNDLED}/${entry}.js"; const say = ${SAY};`;
    page(`plain-${entry}`, script + roundTrip(`"/ws"`, "say", entry));
    assert.equal(await said(project.folder, `/plain-${entry}/`), "yes");
  });
}

test("a worker runs it as it is", async () => {
  page("worker", `
    const worker = new Worker("./worker.js", { type: "module" });
    const say = ${SAY};
    worker.onmessage = ({ data }) => say(data);
    worker.onerror = ({ message }) => { throw new Error(message); };`);
  const script = `import { connect } from "${UNBUNDLED}/index.js";`;
  project.write("worker/worker.js", script + roundTrip(`"/ws"`, "postMessage", "worker"));
  assert.equal(await said(project.folder, "/worker/"), "yes");
});

const BUNDLED = `import { connect } from "tidekeep"; const say = ${SAY};`;

test("Vite bundles it without any setting", async () => {
  const folder = page("vite", BUNDLED + roundTrip(`"/ws"`, "say", "vite"));
  const vite = resolve("node_modules/vite/bin/vite.js");
  project.run("node", [vite, "build", folder, "--logLevel", "error"]);
  assert.equal(await said(join(folder, "dist"), "/"), "yes");
});

test("esbuild bundles it without any setting", async () => {
  const folder = page("esbuild", BUNDLED + roundTrip(`"/ws"`, "say", "esbuild"));
  const outfile = join(folder, "page.js");
  const settings = { bundle: true, format: "esm", logLevel: "error", allowOverwrite: true } as const;
  await build({ ...settings, entryPoints: [outfile], outfile });
  assert.equal(await said(folder, "/"), "yes");
});
