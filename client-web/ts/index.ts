// The default entry: the module comes along as packed text, so that there is nothing to configure.

import { packedModule } from "./inlined.js";
import { EngineClient } from "./client.js";
import { unpack } from "./lzma.js";
import { endpoint, socketClass } from "./socket.js";
import type { Client, ConnectOptions } from "./types.js";

export { TidekeepError } from "./errors.js";
export type { ErrorCode, ErrorDetails, Outcome } from "./errors.js";
export type * from "./types.js";

let module: Promise<WebAssembly.Module> | undefined;

/**
 * Connects to the server at `url`: `http://host:port`, `ws://host/ws`, or a path on the page's own
 * host; or to one node of a cluster after the other, if several are given. Returns at once; calls wait for the connection, and it mends itself when it breaks.
 */
export function connect(url: string | URL | (string | URL)[], options: ConnectOptions = {}): Client {
  module ??= compile();
  return new EngineClient({
    urls: [url].flat().map(endpoint),
    options,
    module,
    socket: socketClass(options.WebSocket),
  });
}

async function compile(): Promise<WebAssembly.Module> {
  return WebAssembly.compile(unpack(packedModule()));
}
