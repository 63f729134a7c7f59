// The console's `lease`: to grant one, end it, and list them. What a page grants, it keeps alive itself
// until it is revoked or the page is closed.

import type { Lease } from "tidekeep";

import { counted, countText } from "../model/value.js";
import { Failure } from "./failure.js";
import { duration, whole } from "./reading.js";
import type { Reading } from "./reading.js";
import type { Plan } from "./run.js";
import { lifetime, print } from "./show.js";

/** Leases that were granted here, by their number. */
const held = new Map<number, Lease>();

export function leasePlan(reading: Reading): { js?: string; run: Plan["run"] } {
  const [what, argument] = reading.command.words;
  if (what === "list") return list(reading);
  if (what === "grant" && argument !== undefined) return grant(reading, duration(argument));
  if (what === "revoke" && argument !== undefined) return revoke(reading, whole(argument, "a lease"));
  if (what === "keep-alive") {
    const hint = "a lease that this page grants is kept alive by it";
    throw new Failure("unsupported", "keep-alive of another's lease needs a terminal", hint);
  }
  throw new Failure("invalid-input", "lease is typed so: lease grant 30s | lease revoke 54 | lease list");
}

function grant(reading: Reading, ttlMs: number): { js: string; run: Plan["run"] } {
  const run: Plan["run"] = async (client, out) => {
    const lease = await client.lease(ttlMs, reading.call(out.signal));
    held.set(lease.id, lease);
    lease.signal.addEventListener("abort", () => held.delete(lease.id));
    print(out, { lease: lease.id, ttl_ms: ttlMs }, String(lease.id));
    out.note(`this page keeps it alive until it is closed; \`lease revoke ${lease.id}\` ends it`);
  };
  return { js: `const lease = await client.lease(${ttlMs})`, run };
}

function revoke(reading: Reading, id: number): { js: string; run: Plan["run"] } {
  const run: Plan["run"] = async (client, out) => {
    const deleted = await revokeLease(client, id, reading.call(out.signal));
    print(out, { deleted }, counted(deleted, "key"));
  };
  return { js: `await client.revokeLease(${id})`, run };
}

function list(reading: Reading): { js: string; run: Plan["run"] } {
  const run: Plan["run"] = async (client, out) => {
    for (const { lease, ttlMs, expiresAt, keys } of await client.leases(reading.call(out.signal))) {
      const left = lifetime(expiresAt, client.serverTime());
      const text = out.format === "raw" ? String(lease) : `${lease}\t${counted(keys, "key")}\tof ${countText(ttlMs)} ms, ${left}`;
      if (!print(out, { lease, ttl_ms: ttlMs, expires_at: expiresAt, keys }, text)) return;
    }
  };
  return { js: "await client.leases()", run };
}

/** Ends any lease; how many keys went with it. One that was granted here is no longer kept alive. */
export async function revokeLease(
  client: { revokeLease(lease: number, options?: object): Promise<number> },
  id: number,
  options?: object,
): Promise<number> {
  try {
    const deleted = await client.revokeLease(id, options);
    // The revoke of what is over asks nobody for anything but ends keeping it alive.
    await held.get(id)?.revoke();
    held.delete(id);
    return deleted;
  } catch (error) {
    if ((error as { code?: string }).code !== "not-found") throw error;
    throw new Failure("not-found", `there is no lease ${id}`, "its time is over, or it was revoked; `lease list` shows those there are");
  }
}
