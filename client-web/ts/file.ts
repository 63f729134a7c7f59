// The entry `tidekeep/file`: what outlives the process, in files of a folder, for Node and what is
// like it. A place is a log of batches, each behind its length and a part of its hash; when it is
// opened, a torn end is cut and what is left is written anew.

import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { readRows, writeRows } from "./offline/rows.js";
import type { OfflinePlace, OfflineStorage } from "./types.js";

const HEAD_BYTES = 12;
const HASH_BYTES = 8;
/** A log that is longer than this, and mostly out of date, is written anew. */
const COMPACT_BYTES = 4 << 20;

/** Keeps the queue and views in files of `folder`, which is made if need be. */
export function file(folder: string): OfflineStorage {
  return {
    async open(place) {
      await mkdir(folder, { recursive: true });
      const path = join(folder, digest(place).toString("hex").slice(0, 32));
      await lock(`${path}.lock`);
      try {
        const opened = new FilePlace(folder, path);
        await opened.begin();
        return opened;
      } catch (error) {
        await unlock(`${path}.lock`);
        throw error;
      }
    },
  };
}

/** Lock files that this process holds. */
const held = new Set<string>();

/** Makes the lock file, unless a process that lives has. */
async function lock(path: string): Promise<void> {
  for (let again = true; ; again = false) {
    try {
      await writeFile(path, `${process.pid} ${await bornAt(process.pid)}`, { flag: "wx" });
      held.add(path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await readFile(path, "utf8").catch(() => "");
    const pid = parseInt(holder);
    if (!again || (await lives(pid, holder, path))) throw new Error(`process ${pid} has ${path} open`);
    await rm(path, { force: true });
  }
}

async function unlock(path: string): Promise<void> {
  held.delete(path);
  await rm(path, { force: true });
}

/** Whether who wrote a lock file lives. Numbers come again: in a container, often the same after each start. */
async function lives(pid: number, holder: string, path: string): Promise<boolean> {
  if (pid === process.pid) return held.has(path);
  try {
    if (!(pid > 0 && process.kill(pid, 0))) return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const born = await bornAt(pid);
  return !born || holder === `${pid} ${born}`;
}

/** When a process began, which tells it from others of its number; empty where the system does not tell. */
async function bornAt(pid: number): Promise<string> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    // The name, in brackets, may hold anything; the 20th field behind it is the start.
    const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /s, "").split(" ");
    return `${boot.trim()} ${fields[19]}`;
  } catch {
    return "";
  }
}

class FilePlace implements OfflinePlace {
  readonly #folder: string;
  readonly #path: string;
  readonly #rows = new Map<number, Uint8Array>();
  #log: FileHandle | undefined;
  #logBytes = 0;
  #liveBytes = 0;

  constructor(folder: string, path: string) {
    this.#folder = folder;
    this.#path = path;
  }

  async begin(): Promise<void> {
    const bytes = await readFile(`${this.#path}.log`).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return Buffer.alloc(0);
      throw error;
    });
    for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
      const end = at + HEAD_BYTES + bytes.readUInt32LE(at);
      const batch = bytes.subarray(at + HEAD_BYTES, end);
      const hash = bytes.subarray(at + 4, at + HEAD_BYTES);
      if (end > bytes.length || !digest(batch).subarray(0, HASH_BYTES).equals(hash)) break;
      this.#apply(batch);
      at = end;
    }
    await this.#compact();
  }

  rows(): Promise<Uint8Array> {
    return Promise.resolve(this.#batch());
  }

  async store(batch: Uint8Array): Promise<void> {
    if (this.#logBytes > COMPACT_BYTES && this.#logBytes > 2 * this.#liveBytes) await this.#compact();
    if (!this.#log) throw new Error("it was closed");
    const framed = frame(batch);
    // At its place, so that one that failed half way is written over.
    const { bytesWritten } = await this.#log.write(framed, 0, framed.length, this.#logBytes);
    if (bytesWritten < framed.length) throw new Error("the disk took a part only");
    await this.#log.datasync();
    this.#logBytes += framed.length;
    this.#apply(batch);
  }

  async load(view: Uint8Array): Promise<Uint8Array | undefined> {
    return readFile(this.#viewPath(view)).catch(() => undefined);
  }

  async save(view: Uint8Array, copy: Uint8Array): Promise<void> {
    const path = this.#viewPath(view);
    await writeFile(`${path}.new`, copy);
    await rename(`${path}.new`, path);
  }

  async close(): Promise<void> {
    const log = this.#log;
    this.#log = undefined;
    await log?.close();
    await unlock(`${this.#path}.lock`);
  }

  #viewPath(view: Uint8Array): string {
    return `${this.#path}-${digest(view).toString("hex").slice(0, 32)}.view`;
  }

  #apply(batch: Uint8Array): void {
    for (const { id, content } of readRows(batch)) {
      this.#liveBytes += (content?.length ?? 0) - (this.#rows.get(id)?.length ?? 0);
      if (content) this.#rows.set(id, content);
      else this.#rows.delete(id);
    }
  }

  #batch(): Uint8Array {
    return writeRows([...this.#rows].map(([id, content]) => ({ id, content })));
  }

  /** Writes what is left beside the log, and puts it in its place. */
  async #compact(): Promise<void> {
    const path = `${this.#path}.log`;
    const framed = this.#rows.size ? frame(this.#batch()) : new Uint8Array();
    const log = await open(`${path}.new`, "w");
    try {
      await log.write(framed);
      await log.sync();
      await rename(`${path}.new`, path);
      const folder = await open(this.#folder, "r");
      await folder.sync().finally(() => folder.close());
    } catch (error) {
      await log.close();
      throw error;
    }
    await this.#log?.close();
    this.#log = log;
    this.#logBytes = framed.length;
  }
}

/** A batch behind its length and the first bytes of its hash. */
function frame(batch: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(batch.length);
  return Buffer.concat([head, digest(batch).subarray(0, HASH_BYTES), batch]);
}

function digest(bytes: Uint8Array | string): Buffer {
  return createHash("sha256").update(bytes).digest();
}
