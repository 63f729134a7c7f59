// The installed package in other runtimes than this Node, which come from npm: `runtimes/`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";

import { Project, roundTrip } from "./installed.js";
import { ServerProcess } from "./server.js";

const LIMIT_MS = 20_000;
const program = (name: string) => resolve("runtimes/node_modules/.bin", name);

let project: Project;
let server: ServerProcess;

before(async () => {
  project = Project.install();
  server = await ServerProcess.start();
});

after(async () => {
  await server.stop();
  project.remove();
});

/** Each with a WebSocket of its own, so without the package ws. */
const RUNTIMES = [
  { name: "Node 22", program: "node", args: [], own: `process.version.startsWith("v22.")` },
  {
    name: "Deno",
    program: "deno",
    args: ["run", "--quiet", "--allow-net", "--allow-read"],
    own: `"Deno" in globalThis`,
  },
  { name: "Bun", program: "bun", args: ["run"], own: `"Bun" in globalThis` },
];

for (const { name, program: file, args, own } of RUNTIMES) {
  test(`${name} runs it`, () => {
    const source = `
      import { connect } from "tidekeep";
      if (!(${own})) throw new Error("it is another runtime");`;
    const url = JSON.stringify(server.url);
    project.write(`${file}.js`, source + roundTrip(url, "console.log", file));
    const env = { DENO_NO_UPDATE_CHECK: "1", NODE_PATH: "" };
    assert.equal(project.run(program(file), [...args, `${file}.js`], env).trim(), "yes");
  });
}

test("workerd runs it, with the module compiled ahead", async () => {
  const url = JSON.stringify(server.url);
  project.write("worker.js", `
    import { connect } from "tidekeep";
    export default {
      async fetch() {
        let said = "nothing";
        const say = (text) => { said = text; };
        ${roundTrip(url, "say", "workerd")}
        return new Response(said);
      },
    };`);
  // As wrangler does: the condition chosen, the module left a file.
  await build({
    absWorkingDir: project.folder,
    entryPoints: ["worker.js"],
    outfile: project.path("bundle.js"),
    bundle: true,
    format: "esm",
    conditions: ["workerd", "worker"],
    loader: { ".wasm": "copy" },
    assetNames: "module",
    logLevel: "error",
  });
  project.write("config.capnp", `
    using Workerd = import "/workerd/workerd.capnp";
    const config :Workerd.Config = (
      services = [
        (name = "main", worker = .main),
        (name = "internet", network = (allow = ["private", "local"])),
      ],
      sockets = [(name = "http", http = (), service = "main")],
    );
    const main :Workerd.Worker = (
      modules = [
        (name = "worker.js", esModule = embed "bundle.js"),
        (name = "module.wasm", wasm = embed "module.wasm"),
      ],
      compatibilityDate = "2025-01-01",
    );`);
  const address = `127.0.0.1:${await freePort()}`;
  const args = ["serve", project.path("config.capnp"), `--socket-addr=http=${address}`];
  const child = spawn(program("workerd"), args, { stdio: ["ignore", "inherit", "inherit"] });
  try {
    assert.equal(await answer(`http://${address}/`), "yes");
  } finally {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
});

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, "close");
  return port;
}

/** What is answered once somebody listens. */
async function answer(url: string): Promise<string> {
  const signal = AbortSignal.timeout(LIMIT_MS);
  for (;;) {
    try {
      return await (await fetch(url, { signal })).text();
    } catch (error) {
      if (signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
