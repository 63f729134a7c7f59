// What the page's tests stand on: a real server on a directory of its own, a real browser whose every
// complaint fails the test, and a second client to look from outside.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, beforeEach } from "node:test";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";
import { connect } from "tidekeep";
import WebSocket from "ws";

const BROWSER_ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A server process that can be killed and started again on the same port and data. */
export class Server {
  #data = mkdtempSync(join(tmpdir(), "tidekeep-page-"));
  #child;
  #port = 0;
  #flags;

  constructor(...flags) {
    this.#flags = ["--data", this.#data, "--segment-bytes", "8388608", ...flags];
  }

  async start() {
    const flags = ["--listen", `127.0.0.1:${this.#port}`, ...this.#flags];
    this.#child = spawn(program(), flags, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: this.#child.stdout });
    for await (const line of lines) {
      const [, port] = /^listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(line) ?? [];
      if (!port) throw new Error(`the server said ${line}`);
      this.#port = Number(port);
      return;
    }
    throw new Error("the server ended before it listened");
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** `kill -9`. */
  async kill() {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await gone;
  }

  async remove() {
    await this.kill();
    rmSync(this.#data, { recursive: true, force: true });
  }

  /** A client beside the page. */
  client() {
    return connect(`ws://127.0.0.1:${this.#port}/ws`, { WebSocket });
  }
}

function program() {
  const named = process.env.TIDEKEEP_SERVER_BIN;
  if (named) return named;
  const built = ["release", "debug"].map((profile) =>
    fileURLToPath(new URL(`../../target/${profile}/tidekeep-server`, import.meta.url)),
  );
  const found = built.find(existsSync);
  if (!found) throw new Error("build the server first: cargo build --package tidekeep-server");
  return found;
}

/**
 * A way to a server that can become a black hole: nothing passes, nothing is closed, nobody is told. What
 * was sent meanwhile comes late, as when the system sends it again.
 */
export class Way {
  #sockets = new Set();
  #open = true;
  #listener;

  constructor(url) {
    const port = Number(new URL(url).port);
    this.#listener = createServer((client) => {
      const server = connectSocket(port, "127.0.0.1");
      this.#carry(client, server);
      this.#carry(server, client);
    });
  }

  /** Gives the address that leads to the server. */
  async listen() {
    await new Promise((resolve) => this.#listener.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${this.#listener.address().port}/`;
  }

  swallow() {
    this.#open = false;
    for (const socket of this.#sockets) socket.pause();
  }

  mend() {
    this.#open = true;
    for (const socket of this.#sockets) socket.resume();
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
  }

  #carry(from, to) {
    this.#sockets.add(from);
    // An end is read like bytes: a socket that is paused does not learn of it.
    from.on("data", (bytes) => to.write(bytes));
    from.on("end", () => to.end());
    from.on("error", () => to.destroy());
    from.on("close", () => this.#sockets.delete(from));
    if (!this.#open) from.pause();
  }
}

/** A browser; close it after the tests. */
export function launch() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: BROWSER_ARGUMENTS });
}

/** The page's messages to the server, which a test can keep from arriving for a while. */
class Messages {
  #threshold = Infinity;
  #holding = false;
  #kept = [];
  #hold;
  #first = new Promise((resolve) => (this.#hold = resolve));

  /** Takes the place of the page's WebSockets. */
  async take(page) {
    await page.routeWebSocket(/\/ws$/, (socket) => {
      const server = socket.connectToServer();
      socket.onMessage((message) => this.#pass(message, (message) => server.send(message)));
    });
  }

  /** Lets everything through up to the next message of at least so many bytes, that one included. */
  holdAfter(bytes) {
    this.#threshold = bytes;
  }

  /** Waits until a message is kept. */
  async held() {
    await this.#first;
  }

  release() {
    this.#threshold = Infinity;
    this.#holding = false;
    for (const send of this.#kept.splice(0)) send();
  }

  #pass(message, send) {
    if (this.#holding) {
      this.#kept.push(() => send(message));
      this.#hold();
      return;
    }
    send(message);
    this.#holding = message.length >= this.#threshold;
  }
}

/**
 * A browser for all tests of a suite, and for each a server of its own with a client, which `use` is given
 * before it begins.
 */
export function stage(use) {
  let browser, server, client;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());
  beforeEach(async () => {
    server = new Server();
    await server.start();
    client = server.client();
    use({ browser, server, client });
  });
  afterEach(async () => {
    await client.close();
    for (const context of browser.contexts()) await context.close();
    await server.remove();
  });
}

/**
 * Opens the page and waits until it is live. `complaints` collects errors, policy violations and
 * failed requests; `allow` names those that a test brings about on purpose. With `holdable`, `messages`
 * can keep what the page sends.
 */
export async function openPage(browser, url, { colorScheme = "light", viewport, allow, holdable } = {}) {
  const context = await browser.newContext({ colorScheme, viewport: viewport ?? { width: 1280, height: 800 } });
  const page = await context.newPage();
  const complaints = [];
  const complain = (text) => allow?.test(text) || complaints.push(text);
  page.on("pageerror", (error) => complain(error.message));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complain(message.text());
  });
  const messages = new Messages();
  if (holdable) await messages.take(page);
  await page.goto(url);
  await page.locator('#connection[data-state="ready"]').waitFor();
  return { page, complaints, messages };
}
