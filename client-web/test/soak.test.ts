// A page that loses its connection again and again: nothing is lost, nothing is done twice, and
// neither the page's memory nor the server's grows with it.

import assert from "node:assert/strict";
import { connect as connectSocket, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { test } from "node:test";

import { launch, Origin } from "./browser.js";
import { ServerProcess } from "./server.js";

/** How often the connection breaks; `cargo xtask test --long` takes more. */
const RECONNECTS = Number(process.env["TIDEKEEP_PAGE_RECONNECTS"] ?? 500);
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

test("a page's memory is flat over reconnects, and each increment counts once", async () => {
  const origin = await Origin.serve();
  // A history that is full by the time memory is first looked at.
  const flags = ["--allow-origin", origin.url, "--history-bytes", "65536"];
  const server = await ServerProcess.start(undefined, ...flags);
  const proxy = new Proxy(Number(new URL(server.url).port));
  const port = await proxy.listen();
  const browser = await launch();
  try {
    const page = await browser.newPage();
    const devtools = await page.context().newCDPSession(page);
    const memory = async (): Promise<Measured> => {
      await devtools.send("HeapProfiler.collectGarbage");
      return (await devtools.send("Runtime.getHeapUsage")) as Measured;
    };
    await page.exposeFunction("cut", () => proxy.cut());
    await page.goto(origin.url);
    await page.evaluate(`(async () => {
      const { connect } = await import("/index.js");
      // How soon a call is answered is not looked at here, and a busy machine may stop the page for seconds.
      const patient = { backoff: { minMs: 1, maxMs: 4 }, timeoutMs: 60_000 };
      window.client = connect("ws://127.0.0.1:${port}/ws", patient);
      window.events = 0;
      await new Promise((live) => {
        (async () => {
          for await (const event of client.watch({ key: "n" })) {
            if (event.type === "caught-up") live();
            if (event.type === "put") events += 1;
          }
        })();
      });
      window.rounds = async (count) => {
        for (let round = 0; round < count; round++) {
          // The cut and the increment race: it meets requests, replies and quiet alike.
          await Promise.all([cut(), client.increment("n")]);
        }
      };
    })()`);
    await page.evaluate(`rounds(${WARM_UP})`);
    const [early, earlyServer] = [await memory(), server.residentBytes()];
    await page.evaluate(`rounds(${RECONNECTS})`);
    const [late, lateServer] = [await memory(), server.residentBytes()];

    const value = await page.evaluate(`client.get("n").then((entry) => entry.text())`);
    assert.equal(value, String(WARM_UP + RECONNECTS), "each increment once");
    await page.waitForFunction(`events === ${WARM_UP + RECONNECTS}`);
    assert.ok(proxy.cuts >= WARM_UP + RECONNECTS);
    const grown = {
      page: late.usedSize - early.usedSize,
      buffers: (late.backingStorageSize ?? 0) - (early.backingStorageSize ?? 0),
      server: lateServer - earlyServer,
    };
    console.log(`suite: page reconnects: ${RECONNECTS}, bytes grown: ${JSON.stringify(grown)}`);
    assert.ok(grown.page < NOISE, "the page's heap grows");
    assert.ok(grown.buffers < NOISE, "the page's buffers grow");
    assert.ok(grown.server < 4 * NOISE + 128 * RECONNECTS, "the server's memory grows");
  } finally {
    await browser.close();
    proxy.close();
    await server.stop();
    origin.close();
  }
});
