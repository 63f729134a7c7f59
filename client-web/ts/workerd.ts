// The entry for workerd (Cloudflare Workers), which compiles no bytes while it runs: the module is
// imported as a file. Everything else is the slim entry's; scripts/build.mjs leaves both beside it.

import module from "./tidekeep.wasm";

import { connect as connectTo, init } from "./slim.js";
import type { Client, ConnectOptions } from "./types.js";

export * from "./slim.js";

/** As in the default entry. */
export function connect(url: string | URL | (string | URL)[], options?: ConnectOptions): Client {
  // Not as this file is loaded: bundlers may leave out what nobody calls.
  init(module);
  return connectTo(url, options);
}
