// What Node adds: a class that is given or missing, the README's example, messages on a real
// socket, and what many breaks leave behind.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";

import { connect, TidekeepError } from "tidekeep";
import { WebSocket } from "ws";

import { ServerProcess } from "./server.js";

const INLINED_LIMIT = 31_200;
const APART_LIMIT = 32_000;
const RECONNECTS = 300;
let server: ServerProcess;
let project: string;

before(async () => {
  project = mkdtempSync(join(tmpdir(), "tidekeep-node-"));
  const installed = join(project, "node_modules/tidekeep");
  mkdirSync(installed, { recursive: true });
  for (const part of ["dist", "package.json"]) {
    cpSync(part, join(installed, part), { recursive: true });
  }
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module", private: true }));
  server = await ServerProcess.start(undefined, "--segment-bytes", "8388608");
});

after(async () => {
  await server.stop();
  rmSync(project, { recursive: true, force: true });
});

/** Runs a script in a project that has the package and nothing else. */
function run(source: string, ...args: string[]): string {
  writeFileSync(join(project, "script.js"), source);
  const options = { cwd: project, encoding: "utf8", timeout: 10_000 } as const;
  return execFileSync(process.execPath, ["script.js", ...args], options).trim();
}

const skip = "WebSocket" in globalThis;
test("without any WebSocket every call says what to install", { skip }, () => {
  const said = run(`
    import { connect } from "tidekeep";
    const client = connect("http://127.0.0.1:1");
    const calls = [client.get("k"), client.watch({ prefix: "" }).next()];
    for (const { reason } of await Promise.allSettled(calls))
      console.log(reason.code, reason.message);
    console.log(client.state);`);
  const line = "unsupported there is no WebSocket here: install `ws` or give the option WebSocket";
  assert.equal(said, `${line}\n${line}\nclosed`);
});

test("a client that is closed from the start fails its calls and nothing else", () => {
  const said = run(`
    import { connect } from "tidekeep";
    const client = connect("http://127.0.0.1:1", { signal: AbortSignal.abort() });
    console.log(await client.get("k").catch(({ code }) => code));
    setTimeout(() => console.log("alive"), 50);`);
  assert.equal(said, "closed\nalive");
});

test("the README's first example runs", () => {
  const [, example] = /```js\n([^]*?)```/.exec(readFileSync("README.md", "utf8")) ?? [];
  assert.ok(example);
  const ws = join(project, "node_modules/ws");
  cpSync("node_modules/ws", ws, { recursive: true, dereference: true });
  try {
    const source = example.replace("http://127.0.0.1:8080", server.url);
    const last = `if (event.type === "caught-up") process.exit(0);`;
    const ended = source.replace(/^for await .*$/m, (line) => `${line}\n  ${last}`);
    assert.match(run(ended), /^\{"name":"Ada"\} \d+\nthere is users\/ada$/);
  } finally {
    rmSync(ws, { recursive: true });
  }
});

test("calls of one turn share a message on a real socket", async () => {
  let sent = 0;
  class Counting extends WebSocket {
    constructor(url: string, protocols?: string) {
      super(url, protocols);
      const send = (data: Uint8Array) => {
        sent++;
        super.send(data);
      };
      Object.assign(this, { send });
    }
  }
  await using client = connect(server.url, { WebSocket: Counting });
  await client.ping();
  sent = 0;
  const keys = Array.from({ length: 500 }, (_, index) => `many/${index}`);
  await Promise.all(keys.map((key) => client.put(key, key)));
  const entries = await Promise.all(keys.map((key) => client.get(key)));
  assert.deepEqual(entries.map((entry) => entry?.text()), keys);
  assert.ok(sent <= 10, `${sent} messages`);
});

test("a call given up before it was sent never reaches the server", async () => {
  await using client = connect(server.url);
  const early = new AbortController();
  const given = client.put("given-up", "1", { signal: early.signal });
  early.abort();
  const error: unknown = await given.catch((error) => error);
  assert.ok(error instanceof TidekeepError);
  assert.equal(error.code, "cancelled");
  assert.equal(error.outcome, "not-applied");
  assert.equal(await client.get("given-up"), undefined);
});

test("hundreds of reconnects leave memory and listeners flat", async () => {
  const sockets: WebSocket[] = [];
  let made = 0;
  class Kept extends WebSocket {
    constructor(url: string, protocols?: string) {
      super(url, protocols);
      sockets.push(this);
      made++;
    }
  }
  await using client = connect(server.url, { WebSocket: Kept, backoff: { minMs: 1, maxMs: 1 } });
  let settled = 0;
  for (let round = 0; round < RECONNECTS; round++) {
    await client.get("k");
    sockets.splice(0).at(-1)?.terminate();
    await client.get("k");
    if (round === RECONNECTS / 3) settled = process.memoryUsage().arrayBuffers;
  }
  assert.ok(made > RECONNECTS, `${made} connections`);
  const grown = process.memoryUsage().arrayBuffers - settled;
  assert.ok(grown < 4 << 20, `${grown} bytes more in buffers`);
  assert.ok(sockets.every((socket) => socket.listenerCount("close") <= 2));
  assert.ok(process.getActiveResourcesInfo().length < 50, String(process.getActiveResourcesInfo()));
});

test("the client stays below the size that was promised, inlined and apart", () => {
  const [inlined, script, module] = ["dist/index.js", "dist/slim.js", "dist/tidekeep.wasm"].map(
    (file) => gzipSync(readFileSync(file), { level: 9 }).length,
  );
  assert.ok(inlined! < INLINED_LIMIT, `${inlined} bytes`);
  assert.ok(script! + module! < APART_LIMIT, `${script! + module!} bytes`);
});
