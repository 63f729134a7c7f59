// A real browser, and a page on an origin of its own that imports the built package.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";

import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";

const TYPES: Record<string, string> = { ".js": "text/javascript", ".wasm": "application/wasm" };

/** Serves the files of dist/, and an empty page for every other path. */
export class Origin {
  private constructor(
    readonly url: string,
    readonly server: Server,
  ) {}

  static async serve(): Promise<Origin> {
    const server = createServer((request, response) => {
      if (request.url === "/frozen") return void server.emit("frozen", response);
      const type = TYPES[extname(request.url ?? "")];
      response.setHeader("content-type", type ?? "text/html");
      response.end(type ? readFileSync(`dist${request.url}`) : "<!doctype html><title>page</title>");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return new Origin(url, server);
  }

  /** Stops a page that this origin serves, all of its code, until what this gives is called. */
  async freeze(page: Page): Promise<() => Promise<unknown>> {
    const asked = once(this.server, "frozen");
    // While it waits for an answer in this old way, it does nothing else.
    const thawed = page.evaluate(`(() => {
      const request = new XMLHttpRequest();
      request.open("GET", "/frozen", false);
      request.send();
    })()`);
    const [answer] = (await asked) as [ServerResponse];
    return () => {
      answer.end();
      return thawed;
    };
  }

  close(): void {
    this.server.close();
  }
}

export function launch(): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  return chromium.launch({ executablePath, args });
}
