// The console's verbs about the server itself: its round trip, its figures, its cluster.

import { overview } from "../model/cluster.js";
import type { ClusterStatus } from "../model/cluster.js";
import { unitText } from "../model/scale.js";
import { SESSIONS_PATH, totals } from "../model/sessions.js";
import type { Sessions } from "../model/sessions.js";
import { Failure } from "./failure.js";
import type { Reading } from "./reading.js";
import type { Plan } from "./run.js";
import { figureText, print } from "./show.js";

type Planned = { js?: string; run: Plan["run"] };

const PINGS = 5;
const PINGS_MAX = 10_000;

export function pingPlan(reading: Reading): Planned {
  const count = reading.number("count") ?? PINGS;
  if (count < 1 || count > PINGS_MAX) throw new Failure("invalid-input", `--count is 1 to ${PINGS_MAX}`);
  const run: Plan["run"] = async (client, out) => {
    const trips: number[] = [];
    for (let number = 1; number <= count; number++) {
      const trip = await client.ping(reading.call(out.signal));
      trips.push(trip);
      if (out.format === "text") out.line(`${number}: ${unitText(trip, "ms")}`);
    }
    const [min, max] = [Math.min(...trips), Math.max(...trips)];
    const avg = trips.reduce((sum, trip) => sum + trip, 0) / trips.length;
    const ms = (value: number) => unitText(value, "ms");
    print(out, { count, min_ms: min, avg_ms: avg, max_ms: max }, `min ${ms(min)}, avg ${ms(avg)}, max ${ms(max)}`);
  };
  return { js: "await client.ping()", run };
}

export function statusPlan(): Planned {
  const run: Plan["run"] = async (client, out) => {
    const { software, durability, figures } = await client.status({ signal: out.signal });
    if (out.format === "json") return void print(out, { software, durability, figures }, undefined);
    const raw = out.format === "raw";
    const rows = Object.entries(figures).map(([name, value]) => (raw ? [name, String(value)] : figureText(name, value)));
    if (!raw) rows.unshift(["software", software], ["durability", durability]);
    const width = raw ? 0 : Math.max(...rows.map(([name]) => name!.length));
    for (const [name, value] of rows) out.line(`${name!.padEnd(width)}  ${value}`);
  };
  return { js: "await client.status()", run };
}

/** What the server tells at a path. */
async function told(path: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(path, { signal });
  const text = (await response.text()).trim();
  if (!response.ok) throw new Failure(response.status === 404 ? "unsupported" : "unavailable", text);
  return text;
}

export function sessionsPlan(): Planned {
  const run: Plan["run"] = async (_, out) => {
    const all = JSON.parse(await told(SESSIONS_PATH, out.signal)) as Sessions;
    for (const it of all.sessions) print(out, it, `${it.address}  ${it.client}`);
    out.note(totals(all));
    out.go("leases");
  };
  return { run };
}

export function backupPlan(): Planned {
  const run: Plan["run"] = async (client, out) => {
    const pieces: Blob[] = [];
    // The browser may put a blob on its disk.
    for await (const piece of client.backup({ signal: out.signal })) pieces.push(new Blob([piece as BlobPart]));
    const file = new Blob(pieces);
    out.download(file, "backup.tide");
    out.line(`backup.tide, ${unitText(file.size, "bytes")}`);
  };
  return { js: "for await (const piece of client.backup()) pieces.push(piece)", run };
}

export function clusterPlan(reading: Reading): Planned {
  if (reading.word(0) !== "status") {
    const hint = "tidekeep cluster --help names them; `cluster status` works here";
    throw new Failure("unsupported", "changes to a cluster need a terminal", hint);
  }
  const run: Plan["run"] = async (_, out) => {
    const text = await told("/cluster", out.signal);
    if (out.format === "json") return void out.line(text);
    const { health, nodes } = overview(JSON.parse(text) as ClusterStatus);
    out.line(`health  ${health}`);
    for (const { name, notes, where } of nodes) out.line(`${name}  ${where}  ${notes}`);
    out.go("cluster");
  };
  return { run };
}
