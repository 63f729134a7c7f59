// A way to the server that tests can cut, or make a black hole: nothing passes, nothing is closed,
// nobody is told. Counts what passes.

import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

export class Proxy {
  readonly #listener: Server;
  readonly #sockets = new Set<Socket>();
  #swallows = false;
  #refuses = false;
  /** Connections that were made. */
  accepted = 0;
  /** Bytes that the server has sent. */
  down = 0;
  url = "";

  private constructor(port: number) {
    this.#listener = createServer((client) => {
      if (this.#refuses) return client.destroy();
      this.accepted += 1;
      const server = connect(port, "127.0.0.1");
      this.#carry(client, server, () => {});
      this.#carry(server, client, (bytes) => (this.down += bytes));
    });
  }

  /** A way to the server at this address. */
  static async to(url: string): Promise<Proxy> {
    const proxy = new Proxy(Number(new URL(url).port));
    await new Promise<void>((done) => proxy.#listener.listen(0, "127.0.0.1", done));
    proxy.url = `ws://127.0.0.1:${(proxy.#listener.address() as AddressInfo).port}/ws`;
    return proxy;
  }

  /** How many connections there are. */
  get open(): number {
    return this.#sockets.size / 2;
  }

  /** Waits until no more than this many connections are left. */
  async untilOpen(count: number): Promise<void> {
    const signal = AbortSignal.timeout(10_000);
    while (this.open > count) await once(this.#listener, "left", { signal });
  }

  /** Breaks all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Breaks all connections, and every new one until `restore`. */
  refuse(): void {
    this.#refuses = true;
    this.cut();
  }

  swallow(): void {
    this.#swallows = true;
    for (const socket of this.#sockets) socket.pause();
  }

  restore(): void {
    this.#refuses = this.#swallows = false;
    for (const socket of this.#sockets) socket.resume();
  }

  close(): void {
    this.cut();
    this.#listener.close();
  }

  #carry(from: Socket, to: Socket, count: (bytes: number) => void): void {
    this.#sockets.add(from);
    from.on("data", (bytes) => {
      count(bytes.length);
      to.write(bytes);
    });
    from.on("end", () => to.end());
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      this.#listener.emit("left");
      to.destroy();
    });
    if (this.#swallows) from.pause();
  }
}
