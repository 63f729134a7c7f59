// The one error of the package: a stable code, whether trying again can help, what became of it.

import type { Entry } from "./types.js";

/** Why a call failed. The names are stable. */
export type ErrorCode = (typeof CODES)[number];

/** What became of a write: nothing, all of it, or it cannot be told. */
export type Outcome = "not-applied" | "applied" | "unknown";

/** In the order of the numbers on the wire, from 1 (protocol/src/error.rs). */
const CODES = [
  "invalid-input",
  "too-large",
  "not-found",
  "conflict",
  "unsupported",
  "protocol",
  "version",
  "forbidden",
  "unauthenticated",
  "no-space",
  "resource-exhausted",
  "storage",
  "network",
  "timeout",
  "cancelled",
  "unavailable",
  "cursor-too-old",
  "slow-reader",
  "closed",
  "internal",
  "memory-full",
  "rate-limited",
  "too-many-connections",
  "too-many-watches",
  "over-budget",
  "outcome-unknown",
  "change-too-large",
] as const;

/** Every failure of a call. */
export class TidekeepError extends Error {
  /** Why; stable, for programs. */
  readonly code: ErrorCode;
  /** Whether the same call may succeed later without a change. */
  readonly retryable: boolean;
  /** What became of the write. A lost reply to a write is `unknown`. */
  readonly outcome: Outcome;
  /** How long the server asks to wait before trying again, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** With `conflict`: the entry that stood in the way; undefined when there was none. */
  readonly current: Entry | undefined;

  /** Made by the package. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : details);
    this.name = "TidekeepError";
    this.code = code;
    this.retryable = details.retryable ?? false;
    this.outcome = details.outcome ?? "not-applied";
    this.retryAfterMs = details.retryAfterMs || undefined;
    this.current = details.current;
  }
}

/** What an error may bear beside its code. */
export interface ErrorDetails {
  retryable?: boolean;
  outcome?: Outcome;
  retryAfterMs?: number;
  current?: Entry | undefined;
  cause?: unknown;
}

/** The code with this number on the wire; one of a newer server counts as `internal`. */
export function codeOf(number: number): ErrorCode {
  return CODES[number - 1] ?? "internal";
}
