// What a view asks the server again and again: every two seconds while somebody can see the answer, one
// question at a time.

import type { Client } from "tidekeep";

export const LOOK_MS = 2000;

/** Asks now and then while it is `wanted`; gives what asks at once. */
export function looking(client: Client, wanted: () => boolean, look: () => Promise<void>): () => void {
  let busy = false;
  const ask = async () => {
    if (busy || document.hidden || client.state !== "ready" || !wanted()) return;
    busy = true;
    // The connection's own mark says that the server is gone; what was known last stays.
    await look().catch(() => {});
    busy = false;
  };
  client.on("state", ask);
  setInterval(ask, LOOK_MS);
  return ask;
}
