// What a key was before: its versions, newest first, from the changes that the server still remembers.
// Pure: a watch's events go in, oldest first.

import type { Entry, WatchEvent } from "tidekeep";

/** The key as one revision left it. */
export interface Version {
  readonly revision: number;
  readonly kind: "put" | "delete" | "expire" | "evict";
  /** Undefined where the key was removed. */
  readonly entry: Entry | undefined;
  /** It was there before the first change that is remembered. */
  readonly oldest: boolean;
}

/** Versions, and bytes of their values, that are kept at most. The oldest go first. */
const VERSIONS_MAX = 500;
const BYTES_MAX = 16 << 20;

export class History {
  /** Newest first. */
  versions: Version[] = [];
  /** Whether all that is remembered is here. */
  complete = false;
  /** Whether versions were let go for want of room. */
  cut = false;
  #bytes = 0;

  take(event: WatchEvent): void {
    if (event.type === "caught-up") this.complete = true;
    else if (event.type === "reset") Object.assign(this, { versions: [], complete: false, cut: false });
    else if (event.type === "entry") this.#add(event.entry.revision, "put", event.entry, true);
    else this.#change(event);
  }

  /** The version of a revision, or the one that was there then. */
  at(revision: number): Version | undefined {
    return this.versions.find((version) => version.revision <= revision);
  }

  /** The version before another. */
  before(version: Version): Version | undefined {
    return this.versions[this.versions.indexOf(version) + 1];
  }

  #change(event: Extract<WatchEvent, { type: Version["kind"] }>): void {
    const { previous } = event;
    // What was there before the first change is the oldest version that can be told of.
    if (this.versions.length === 0 && previous) this.#add(previous.revision, "put", previous, true);
    this.#add(event.revision, event.type, event.type === "put" ? event.entry : undefined, false);
  }

  #add(revision: number, kind: Version["kind"], entry: Entry | undefined, oldest: boolean): void {
    const [last] = this.versions;
    // One transaction may write a key more than once; what it left counts.
    if (last?.revision === revision) this.#bytes -= this.versions.shift()!.entry?.value.length ?? 0;
    this.versions.unshift({ revision, kind, entry, oldest });
    this.#bytes += entry?.value.length ?? 0;
    while (this.versions.length > VERSIONS_MAX || (this.#bytes > BYTES_MAX && this.versions.length > 1)) {
      this.#bytes -= this.versions.pop()?.entry?.value.length ?? 0;
      this.cut = true;
    }
  }
}
