// The entry without the module in it: smaller, and the module can be fetched and compiled while it
// streams in.

import { EngineClient } from "./client.js";
import { endpoint, socketClass } from "./socket.js";
import type { Client, ConnectOptions } from "./types.js";

export { TidekeepError } from "./errors.js";
export type { ErrorCode, ErrorDetails, Outcome } from "./errors.js";
export type * from "./types.js";

/** The module, or where it is to be had. */
export type ModuleSource = string | URL | Response | BufferSource | WebAssembly.Module;

let module: Promise<WebAssembly.Module> | undefined;

/**
 * Names the module that all clients run on, before the first `connect`. Without a call it is
 * fetched from beside this file, as `tidekeep.wasm`.
 */
export function init(
  source: ModuleSource | Promise<ModuleSource> = new URL("./tidekeep.wasm", import.meta.url),
): Promise<WebAssembly.Module> {
  module = compile(source);
  return module;
}

/**
 * Connects to the server at `url`: `http://host:port`, `ws://host/ws`, or a path on the page's own
 * host; or to one node of a cluster after the other, if several are given. Returns at once; calls wait for the connection, and it mends itself when it breaks.
 */
export function connect(url: string | URL | (string | URL)[], options: ConnectOptions = {}): Client {
  return new EngineClient({
    urls: [url].flat().map(endpoint),
    options,
    module: module ?? init(),
    socket: socketClass(options.WebSocket),
  });
}

async function compile(
  source: ModuleSource | Promise<ModuleSource>,
): Promise<WebAssembly.Module> {
  const given = await source;
  if (given instanceof WebAssembly.Module) return given;
  const response = typeof given === "string" || given instanceof URL ? await fetch(given) : given;
  if (!(response instanceof Response)) return WebAssembly.compile(response as BufferSource);
  if (!response.ok) throw new Error(`${response.url}: HTTP status ${response.status}`);
  // Streaming needs the server to name the type; the bytes are as good.
  const streams = response.headers.get("content-type")?.startsWith("application/wasm");
  if (streams) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}
