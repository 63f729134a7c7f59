// Where to connect to, and with which WebSocket class.

import { invalid } from "./codec.js";
import { TidekeepError } from "./errors.js";
import type { WebSocketConstructor } from "./types.js";

/** The path of the endpoint, as in protocol/src/hello.rs. */
const PATH = "/ws";

/** `http://host`, `ws://host:port/ws`, `host:port`, or a path on the page's own host. */
export function endpoint(text: string | URL): string {
  let url: URL;
  try {
    const bare = typeof text === "string" && /^[\w.-]+(:\d+)?$|^\[[\da-f:]+\](:\d+)?$/i.test(text);
    url = new URL(bare ? `ws://${String(text)}` : text, globalThis.location?.href);
  } catch (cause) {
    invalid(`${String(text)} is no address`, cause);
  }
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    invalid(`${String(text)} is no ws or http address`);
  }
  if (url.pathname === "/") url.pathname = PATH;
  url.hash = "";
  return url.href;
}

/** The class that was given, the platform's own, or that of the package `ws`. */
export async function socketClass(
  given: WebSocketConstructor | undefined,
): Promise<WebSocketConstructor> {
  const found = given ?? globalThis.WebSocket;
  if (found) return found;
  try {
    // Not a literal: bundlers would look for a package that browsers have no use for.
    const name = ["ws"].join("");
    const module = await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
    return module.WebSocket ?? module.default;
  } catch (cause) {
    const message = "there is no WebSocket here: install `ws` or give the option WebSocket";
    throw new TidekeepError("unsupported", message, { cause });
  }
}
