// The queue of a Node program that keeps it in a file: killed in the middle, it goes on in its next
// life, and each write is applied once.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";

import { connect } from "tidekeep";

import { Proxy } from "./proxy.js";
import { ServerProcess } from "./server.js";

/** Says `stored`, then how much is left whenever that changes; ends when nothing is. */
const PROGRAM = `
  import { connect } from "tidekeep";
  import { file } from "tidekeep/file";
  import WebSocket from "ws";
  const [url, folder, count] = process.argv.slice(1);
  const backoff = { minMs: 1, maxMs: 20 };
  const client = connect(url, { WebSocket, backoff, offline: { storage: file(folder), identity: "me" } });
  client.on("storage", (error) => console.log(String(error)));
  client.queue.on("change", ({ waiting }) => console.log(waiting));
  const made = [];
  for (let n = 0; n < Number(count); n++) {
    made.push(client.queue.increment("n"), client.queue.put("k" + (n % 7), String(n)));
  }
  await Promise.all(made.map(({ stored }) => stored));
  console.log("stored");
  while ((await client.queue.list()).length) await new Promise((again) => client.queue.on("change", again));
  await client.close();
`;

function run(...args: string[]) {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", PROGRAM, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

/** Reads what a program says until it is what is waited for. */
async function until(lines: AsyncIterator<string>, holds: (line: string) => boolean): Promise<void> {
  for (;;) {
    const { done, value } = await lines.next();
    assert.ok(!done, "the program ended before");
    assert.doesNotMatch(value, /Error/);
    if (holds(value)) return;
  }
}

test("killed again and again while it is sent, a queue in a file is applied once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tidekeep-queue-"));
  const server = await ServerProcess.start();
  const proxy = await Proxy.to(server.url);
  const outside = connect(server.url);
  try {
    proxy.refuse();
    const first = run(proxy.url, folder, "300");
    await until(first.lines, (line) => line === "stored");
    first.child.kill("SIGKILL");
    await once(first.child, "exit");
    proxy.restore();
    for (const left of [450, 250, 50]) {
      const life = run(proxy.url, folder, "0");
      await until(life.lines, (line) => Number(line) <= left);
      life.child.kill("SIGKILL");
      await once(life.child, "exit");
    }
    const last = run(proxy.url, folder, "0");
    const [code] = await once(last.child, "exit");
    assert.equal(code, 0, "the last life ends by itself, with nothing left");
    assert.equal((await outside.get("n"))?.text(), "300");
    for (let key = 0; key < 7; key++) {
      const expected = [...Array(300).keys()].filter((n) => n % 7 === key).at(-1);
      assert.equal((await outside.get(`k${key}`))?.text(), String(expected), "the last in order");
    }
  } finally {
    await outside.close();
    proxy.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
