// A page that loses its connection again and again while others write what it watches and views, and it
// queues what it writes itself: nothing is lost, nothing is done twice, and neither the page's memory
// nor the server's grows with it.

import assert from "node:assert/strict";
import { connect as connectSocket, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { test } from "node:test";

import { connect } from "tidekeep";

import { launch, Origin } from "./browser.js";
import { ServerProcess } from "./server.js";

/** How often the connection breaks; `cargo xtask test --long` takes more. */
const RECONNECTS = Number(process.env["TIDEKEEP_PAGE_RECONNECTS"] ?? 500);
/** Events of others that the page is told of between two breaks. */
const EVENTS = 200;
/** Keys that others write, each with a value of so many letters. */
const KEYS = 100;
const LETTERS = 40;
/** Rounds before memory is first looked at: caches and compiled code are filled by then. */
const WARM_UP = 150;
/** What a measurement may be off by, in bytes, whatever the number of rounds. */
const NOISE = 1.5 * 2 ** 20;

interface Measured {
  usedSize: number;
  backingStorageSize?: number;
}

/** Passes bytes on to the server until it is told to cut. */
class Proxy {
  readonly #server: Server;
  #sockets = new Set<Socket>();
  cuts = 0;

  constructor(port: number) {
    this.#server = createServer((client) => {
      const server = connectSocket(port, "127.0.0.1");
      for (const [from, to] of [[client, server], [server, client]] as const) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    this.cuts += 1;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

test("a page's memory is flat over reconnects and events, and each write counts once", async () => {
  const origin = await Origin.serve();
  // A history that is full by the time memory is first looked at, and holds what is missed in a break.
  const flags = ["--allow-origin", origin.url, "--history-bytes", "262144"];
  const server = await ServerProcess.start(undefined, ...flags);
  const proxy = new Proxy(Number(new URL(server.url).port));
  const port = await proxy.listen();
  const others = connect(server.url);
  const browser = await launch();
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => assert.fail(error));
    const devtools = await page.context().newCDPSession(page);
    const memory = async (): Promise<Measured & { wasm: number }> => {
      await devtools.send("HeapProfiler.collectGarbage");
      const measured = (await devtools.send("Runtime.getHeapUsage")) as Measured;
      return { ...measured, wasm: (await page.evaluate("wasm.buffer.byteLength")) as number };
    };
    // The others' writes of one round: two of each key, so that the second replaces the first.
    const write = async (round: number): Promise<void> => {
      const writes: Promise<unknown>[] = [];
      for (let n = 0; n < EVENTS; n++) {
        const value = `${round}`.padEnd(LETTERS, ".");
        writes.push(others.put(`v/${String(n % KEYS).padStart(3, "0")}`, value, { timeoutMs: 60_000 }));
      }
      await Promise.all(writes);
    };
    await page.exposeFunction("cut", () => proxy.cut());
    await page.exposeFunction("write", write);
    await page.goto(origin.url);
    await page.evaluate(`(async () => {
      const { instantiate } = WebAssembly;
      WebAssembly.instantiate = async (...given) => {
        const instance = await instantiate(...given);
        window.wasm = instance.exports.memory;
        return instance;
      };
      const { connect } = await import("/index.js");
      const { indexedDb } = await import("/offline.js");
      // How soon a call is answered is not looked at here, and a busy machine may stop the page for seconds.
      window.client = connect("ws://127.0.0.1:${port}/ws", {
        backoff: { minMs: 1, maxMs: 4 },
        timeoutMs: 60_000,
        offline: { storage: indexedDb(), identity: "soak" },
      });
      window.told = { n: 0, v: 0 };
      window.patches = 0;
      window.problems = [];
      client.on("storage", (error) => problems.push(String(error)));
      const count = (range, name) => new Promise((live) => {
        (async () => {
          for await (const event of client.watch(range)) {
            if (event.type === "caught-up") live();
            else if (event.type === "put") told[name] += 1;
            else problems.push(event.type);
          }
        })();
      });
      // The queue's keys and the others' are in one view; its copy for the next page is saved as it changes.
      window.view = client.view({ prefix: "v/" }, { persist: true });
      view.subscribe(() => { patches += 1; });
      await Promise.all([count({ key: "n" }, "n"), count({ start: "v/0", end: "v/:" }, "v"), view.ready()]);
      const shows = (key, text) => view.freshness === "fresh"
        && view.get(key)?.text().startsWith(text) && view.optimistic === 0;
      window.rounds = async (from, count) => {
        for (let round = from; round < from + count; round++) {
          // The cut meets requests, replies, events, patches and quiet alike.
          const queued = [
            client.queue.increment("v/n"),
            client.queue.put("v/q" + (round % 10), String(round)),
            client.queue.put("v/q" + (round % 10), round + "."),
          ];
          await Promise.all([
            cut(),
            write(round),
            client.increment("n"),
            ...queued.map(({ settled }) => settled),
          ]);
          for await (const _ of view) {
            if (shows("v/099", round + ".") && shows("v/q" + (round % 10), round + ".")) break;
          }
        }
      };
    })()`);
    await page.evaluate(`rounds(0, ${WARM_UP})`);
    const [early, earlyServer] = [await memory(), server.residentBytes()];
    await page.evaluate(`rounds(${WARM_UP}, ${RECONNECTS})`);
    const [late, lateServer] = [await memory(), server.residentBytes()];

    const all = WARM_UP + RECONNECTS;
    for (const key of ["n", "v/n"]) {
      assert.equal((await others.get(key))?.text(), String(all), "each increment once");
    }
    await page.waitForFunction(`told.n === ${all} && told.v >= ${EVENTS * all}`);
    assert.deepEqual(await page.evaluate("[told.v, problems, client.queue.info.waiting]"), [EVENTS * all, [], 0]);
    assert.ok(proxy.cuts >= all);
    const patches = (await page.evaluate("patches")) as number;
    assert.ok(patches > 2 * all, `the view was told of ${patches} times`);
    const grown = {
      page: late.usedSize - early.usedSize,
      buffers: (late.backingStorageSize ?? 0) - (early.backingStorageSize ?? 0),
      module: late.wasm - early.wasm,
      server: lateServer - earlyServer,
    };
    const sizes = { page: early.usedSize, buffers: early.backingStorageSize, module: early.wasm, server: earlyServer };
    console.log(
      `suite: page reconnects: ${RECONNECTS}, events: ${EVENTS * RECONNECTS}, patches: ${patches}, ` +
        `bytes at first: ${JSON.stringify(sizes)}, grown: ${JSON.stringify(grown)}`,
    );
    assert.ok(grown.page < NOISE, "the page's heap grows");
    assert.ok(grown.buffers < NOISE, "the page's buffers grow");
    assert.ok(grown.module <= 1 << 17, "the module's memory grows");
    assert.ok(grown.server < 4 * NOISE + 128 * RECONNECTS, "the server's memory grows");
  } finally {
    await browser.close();
    await others.close();
    proxy.close();
    await server.stop();
    origin.close();
  }
});
