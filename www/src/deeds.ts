// What the page does to the store: every write under the condition that the key is as it was shown, and
// remembered so that it can be taken back. Knows no element.

import { TidekeepError } from "tidekeep/slim";
import type { Client, Entry } from "tidekeep";

import { escapeKey, fromRaw, toRaw } from "./model/bytes.js";
import type { Raw } from "./model/bytes.js";
import { deleteWords, putWords, touchWords } from "./model/equivalents.js";
import type { Equivalent, PutWords } from "./model/equivalents.js";

/** Writes that can be taken back, one after the other. */
const UNDO_MAX = 50;

/** A write that was done. */
export interface Deed {
  /** `Saved name`. */
  readonly text: string;
  readonly raw: Raw;
  /** The key as it was; undefined where there was none. */
  readonly before: Entry | undefined;
  /** The revision that it made; undefined where it removed the key. */
  readonly revision: number | undefined;
  /** What would have done the same elsewhere. */
  readonly how: Equivalent;
}

export class Deeds {
  readonly #done: Deed[] = [];

  constructor(
    readonly client: Client,
    /** Tells of a deed, which can be taken back while it is the last one. */
    readonly tell: (deed: Deed) => void,
  ) {}

  get last(): Deed | undefined {
    return this.#done.at(-1);
  }

  /** Puts a value over the entry that was shown, or makes a new key; its end stays unless one is given. */
  async put(raw: Raw, value: Uint8Array, before: Entry | undefined, ttlMs?: number): Promise<number> {
    const words: PutWords = before
      ? { ifRevision: before.revision, keepTtl: ttlMs === undefined || undefined, ttlMs }
      : { ifAbsent: true, ttlMs };
    const { revision } = await this.client.put(fromRaw(raw), value, words);
    const text = `${before ? "Saved" : "Created"} ${escapeKey(raw)}`;
    this.#add({ text, raw, before, revision, how: putWords(raw, value, words) });
    return revision;
  }

  async remove(before: Entry): Promise<void> {
    const raw = toRaw(before.keyBytes);
    await this.client.delete(before.keyBytes, { ifRevision: before.revision });
    const text = `Deleted ${escapeKey(raw)}`;
    this.#add({ text, raw, before, revision: undefined, how: deleteWords(raw, before.revision) });
  }

  /** Moves the time at which a key ends; with none, it does not end by itself any more. */
  async touch(before: Entry, ttlMs: number | undefined): Promise<void> {
    const raw = toRaw(before.keyBytes);
    const expiry = ttlMs === undefined ? {} : { ttlMs };
    const touched = await this.client.touch(before.keyBytes, { ...expiry, ifRevision: before.revision });
    const text = ttlMs === undefined ? "It no longer ends" : "Its end is set";
    this.#add({ text, raw, before, revision: touched?.revision, how: touchWords(raw, ttlMs) });
  }

  /** Takes the last deed back, unless somebody has changed the key since. */
  async undo(): Promise<Deed> {
    const deed = this.#done.at(-1);
    if (!deed) throw new Error("There is nothing to take back.");
    const { raw, before, revision } = deed;
    try {
      if (before) {
        const guard = revision === undefined ? { ifAbsent: true } : { ifRevision: revision };
        await this.client.put(fromRaw(raw), before.value, { ...guard, ...endOf(before) });
      } else if (revision !== undefined) {
        await this.client.delete(fromRaw(raw), { ifRevision: revision });
      }
    } catch (error) {
      if (!(error instanceof TidekeepError) || error.code !== "conflict") throw error;
      throw new Error(`${escapeKey(raw)} was changed again since; nothing was taken back.`);
    } finally {
      this.#done.splice(this.#done.indexOf(deed), 1);
    }
    return deed;
  }

  #add(deed: Deed): void {
    this.#done.push(deed);
    if (this.#done.length > UNDO_MAX) this.#done.shift();
    this.tell(deed);
  }
}

/** The end that an entry has, as a put takes it. */
function endOf({ expiresAt, lease }: Entry): { expiresAt?: number; lease?: number } {
  if (lease !== undefined) return { lease };
  return expiresAt === undefined ? {} : { expiresAt };
}
