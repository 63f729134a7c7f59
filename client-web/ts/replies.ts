// Replies as callers see them, read in the order in which src/packed.rs draws them.

import { StoredEntry } from "./entry.js";
import { TidekeepError } from "./errors.js";
import type { Reader } from "./packed.js";
import type { Deleted, Entry, Incremented, RangeDeleted, Touched, Written } from "./types.js";

/** Whether a write applied. */
const Status = { applied: 0, notFound: 1, refused: 2 } as const;
const NOTHING = new Uint8Array();

export function got(reply: Reader, key: Uint8Array): Entry | undefined {
  reply.number();
  return reply.optionalStored(key);
}

export function written(reply: Reader, key: Uint8Array): Written {
  const { revision, previous } = deleted(reply, key);
  return { revision, previous };
}

export function deleted(reply: Reader, key: Uint8Array): Deleted {
  const revision = reply.number();
  const status = reply.u8();
  const entry = reply.optionalStored(key);
  if (status === Status.refused) throw conflict(entry);
  return { deleted: status === Status.applied, revision, previous: entry };
}

export function touched(reply: Reader, key: Uint8Array): Touched | undefined {
  const revision = reply.number();
  const status = reply.u8();
  if (!reply.flag()) {
    if (status === Status.refused) throw conflict(undefined);
    return undefined;
  }
  const [created, modified, version] = [reply.number(), reply.number(), reply.number()];
  const expiresAt = reply.expiresAt();
  if (status === Status.refused) {
    throw conflict(new StoredEntry(key, NOTHING, created, modified, version, expiresAt));
  }
  return { revision, expiresAt };
}

export function incremented(reply: Reader): Incremented {
  return { revision: reply.number(), value: reply.number() };
}

export function rangeDeleted(reply: Reader): RangeDeleted & { more: boolean } {
  return { revision: reply.number(), deleted: reply.number(), more: reply.flag() };
}

function conflict(current: Entry | undefined): TidekeepError {
  const message = current
    ? `the condition does not hold: the key is at revision ${current.revision}`
    : "the condition does not hold: there is no such key";
  return new TidekeepError("conflict", message, { current });
}
