// How many gets and puts a client gives, from Node and from a page in Chromium, beside NATS KV: by
// turns, against servers on this machine that it starts by itself. Prints a line of JSON for each
// figure; `cargo xtask bench --only rates` makes rows of them.
//
//   node rates.mjs --server TIDEKEEP_SERVER --chromium PATH --data DIR --rounds N --seconds S [--alone]

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect as dial, createServer as listen } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Kvm } from "@nats-io/kv";
import { connect as natsConnect } from "@nats-io/transport-node";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { WebSocket } from "ws";

import { connect } from "../../client-web/dist/index.js";
import { fill, natsStore, rate, tidekeepStore } from "./load.mjs";

const START_MS = 20_000;
const DEPTHS = [1, 64, 1_000];
const { values: options } = parseArgs({
  options: {
    server: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    data: { type: "string" },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "1.5" },
    // Without NATS, to try the bench itself.
    alone: { type: "boolean", default: false },
  },
});
const measuredMs = Number(options.seconds) * 1_000;
const children = [];
let browser;
let origin;

/** A child that ends with this process. */
function start(program, args, stdout) {
  const child = spawn(program, args, { stdio: ["ignore", stdout, "ignore"] });
  children.push(child);
  return child;
}

async function tidekeep(durability, origin) {
  const data = join(options.data, durability);
  const flags = ["--durability", durability, "--allow-origin", origin];
  const child = start(
    options.server,
    ["--listen", "127.0.0.1:0", "--data", data, ...flags],
    "pipe",
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
  for await (const line of createInterface({ input: child.stdout })) {
    const [, url] = /^listening on (\S+)$/.exec(line) ?? [];
    if (!url) continue;
    clearTimeout(timer);
    return url;
  }
  throw new Error("tidekeep-server ended before it listened");
}

/** With JetStream by its defaults: files that are written at once and synced every two minutes. */
async function nats() {
  const [port, webSocket] = [await freePort(), await freePort()];
  const config = join(options.data, "nats.conf");
  const store = join(options.data, "nats");
  mkdirSync(store, { recursive: true });
  writeFileSync(config, `
    listen: "127.0.0.1:${port}"
    jetstream { store_dir: ${JSON.stringify(store)} }
    websocket { listen: "127.0.0.1:${webSocket}", no_tls: true }
  `);
  start("nats-server", ["-c", config], "ignore");
  for (const it of [port, webSocket]) await accepts(it);
  return { tcp: `127.0.0.1:${port}`, webSocket: `ws://127.0.0.1:${webSocket}` };
}

async function freePort() {
  const listener = listen();
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

async function accepts(port) {
  const end = performance.now() + START_MS;
  for (;;) {
    const there = await new Promise((resolve) => {
      const socket = dial(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (there) return;
    if (performance.now() > end) throw new Error(`nobody listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Serves the page with the clients in it. */
async function serve() {
  const here = dirname(fileURLToPath(import.meta.url));
  const { outputFiles } = await build({
    entryPoints: [join(here, "page.mjs")],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    logLevel: "error",
  });
  const server = createServer((request, response) => {
    const script = request.url === "/page.js";
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.end(
      script ? outputFiles[0].contents : `<!doctype html><script type="module" src="/page.js"></script>`,
    );
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, server };
}

async function run() {
  mkdirSync(options.data, { recursive: true });
  origin = await serve();
  const servers = {
    always: await tidekeep("always", origin.url),
    interval: await tidekeep("interval", origin.url),
  };
  const peer = options.alone ? undefined : await nats();
  const names = [...Object.keys(servers), ...(peer ? ["nats"] : [])];

  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  browser = await chromium.launch({ executablePath: options.chromium, args });
  const page = await browser.newPage();
  await page.goto(origin.url);
  await page.waitForFunction(() => "bench" in globalThis);
  const stores = {};
  for (const name of names) {
    const isPeer = name === "nats";
    await page.evaluate(
      ([name, url]) => globalThis.bench.open(name, url),
      [name, isPeer ? peer.webSocket : servers[name]],
    );
    stores[name] = isPeer
      ? natsStore(await new Kvm(await natsConnect({ servers: peer.tcp })).create("node"))
      : tidekeepStore(connect(servers[name], { WebSocket }));
    await fill(stores[name]);
  }
  const runtimes = {
    node: (name, operation, depth) => rate(stores[name], operation, depth, measuredMs),
    page: (...load) =>
      page.evaluate((load) => globalThis.bench.rate(...load), [...load, measuredMs]),
  };
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const [runtime, measure] of Object.entries(runtimes)) {
      for (const operation of ["get", "put"]) {
        for (const depth of DEPTHS) {
          for (const name of names) {
            const perSecond = await measure(name, operation, depth);
            console.log(JSON.stringify({ runtime, operation, depth, name, perSecond }));
          }
        }
      }
    }
  }
}

let failed = false;
try {
  await run();
} catch (error) {
  failed = true;
  console.error(error);
} finally {
  await browser?.close();
  for (const child of children) child.kill("SIGKILL");
  process.exit(failed ? 1 : 0);
}
