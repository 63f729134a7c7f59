// Why a line of the console did not do what it asked: one sentence with its stable code, and what to do
// now; the same words as the command line's. Pure.

import { TidekeepError } from "tidekeep/slim";

export class Failure extends Error {
  constructor(
    readonly code: string,
    message: string,
    /** What to do now. */
    readonly hint?: string,
  ) {
    super(message);
  }
}

const LIMIT = "the server is at a limit; try again in a moment";
const HINTS: Readonly<Record<string, string>> = {
  "too-large": "the limit is the server's; `tidekeep-server --help` names its options",
  "no-space": "reads and deletes still work; free space on the server's disk",
  "resource-exhausted": LIMIT,
  "too-many-connections": LIMIT,
  "rate-limited": LIMIT,
  "memory-full": "reads and deletes still work; delete, or raise --max-memory of the server",
  "too-many-watches": "end a watch, or close another page",
  "over-budget": "ask for less at once, or raise the server's budget",
  timeout: "give it longer with --timeout, or look at the server's log",
  unavailable: "the server is starting or stopping; try again in a moment",
  storage: "the server's log says what failed on its disk",
  version: "this page and the server are of different versions; load the page again",
  unsupported: "this page and the server are of different versions; load the page again",
  "change-too-large": "begin again with --content, or raise --watch-budget-bytes of the server",
  closed: "load the page again",
  network: "the page connects again by itself; try again when it says ready",
};

/** Any error as a failure. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (!(error instanceof TidekeepError)) return new Failure("internal", String(error));
  const unknown = "whether the change was made is not known; read the key before you try again";
  const hint = error.outcome === "unknown" ? unknown : HINTS[error.code];
  return new Failure(error.code, error.message, hint);
}

/** What went wrong, and what to do now. */
export function sentenceOf(error: unknown): string {
  const { message, hint } = failureOf(error);
  return hint ? `${message}: ${hint}` : message;
}
