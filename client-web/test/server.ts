// Starts the real server as a process of its own, on a port and a data folder of its own.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const START_MS = 20_000;

/** A running server. */
export class ServerProcess {
  private constructor(
    readonly url: string,
    readonly folder: string,
    readonly process: ChildProcess,
  ) {}

  /** Starts a server; on the port and data of an earlier one if it is given. */
  static async start(after?: ServerProcess, ...flags: string[]): Promise<ServerProcess> {
    const folder = after?.folder ?? mkdtempSync(join(tmpdir(), "tidekeep-"));
    const listen = after ? new URL(after.url).host : "127.0.0.1:0";
    const child = spawn(binary(), ["--listen", listen, "--data", folder, ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout! });
    const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
    for await (const line of lines) {
      const [, url] = /^listening on (\S+)$/.exec(line) ?? [];
      if (!url) continue;
      clearTimeout(timer);
      return new ServerProcess(url, folder, child);
    }
    throw new Error("the server ended before it listened");
  }

  /** The memory that the process has in use, as the system counts it. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.process.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  /** Ends it without a warning, as a power cut would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends it and removes its data. */
  async stop(): Promise<void> {
    await this.#end("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill(signal);
    await ended;
  }
}

/** The binary that the environment names, else the newest that was built. */
function binary(): string {
  const given = process.env["TIDEKEEP_SERVER_BIN"];
  if (given) return given;
  const built = ["debug", "release"]
    .map((profile) => join("..", "target", profile, "tidekeep-server"))
    .filter((path) => existsSync(path))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  if (built[0]) return built[0];
  throw new Error("there is no tidekeep-server: build it, or name it in TIDEKEEP_SERVER_BIN");
}
