// What tabs say to each other. Bodies cross as they go to the server or came from it; a message is a
// list of words, those of one turn together. Words of another reign are dropped: a leader that was
// frozen and replaced may still speak.
//
// ```text
// channel        from     to       words
// name           leader   all      lead: there is a leader, and this is its reign
// name           tab      leader   join: the tab wants to be served
// name + tab id  both     both     [reign, ToLeader[] or ToTab[]]
// ```

import type { Kept } from "../connection.js";
import type { ErrorCode, Outcome } from "../errors.js";
import type { Settlement } from "../queue.js";
import type { ConnectionState, QueueInfo, ServerInfo } from "../types.js";

/** On the channel that all tabs hear. */
export type Call = ["lead", reign: string] | ["join", tab: string];

/** An error without what belongs to a page. */
export interface PlainError {
  code: ErrorCode;
  message: string;
  retryable: boolean;
  outcome: Outcome;
  retryAfterMs: number | undefined;
}

/** Where the leader's connection stands. `clock` is the server's time less the machine's. */
export interface Standing {
  state: ConnectionState;
  server: ServerInfo | undefined;
  clock: number;
  queue: QueueInfo;
}

/** A mutation's end, as it crosses. */
export type PlainSettlement = Omit<Settlement, "error"> & { error: PlainError | undefined };

/** Kinds of calls that the leader's engine answers itself. */
export const Own = {
  /** With the operation's kind added. */
  enqueue: 0x100,
  mutations: 0x200,
  discard: 0x201,
} as const;

export type ToLeader =
  | ["call", id: number, kind: number, body: Uint8Array, timeoutMs: number, writes: boolean]
  | ["cancel", id: number]
  | ["watch", id: number, body: Uint8Array, kept: Kept | undefined]
  | ["pause" | "resume" | "unwatch", id: number]
  /** So many bytes of watches were taken in. */
  | ["taken", bytes: number]
  /** Are you there? Also lets the leader's timers run, which browsers slow down in hidden tabs. */
  | ["ask"]
  /** The tab became visible or the network came back. */
  | ["woke"];

export type ToTab =
  | ["hello" | "state", Standing]
  | ["reply", id: number, body: Uint8Array]
  | ["failed", id: number, PlainError]
  | ["message", id: number, body: Uint8Array]
  | ["reset", id: number]
  | ["ended", id: number, PlainError]
  | ["disconnect" | "storage", PlainError]
  | ["change", QueueInfo]
  | ["stored", mutation: number]
  | ["end", PlainSettlement]
  /** The leader's engine began again. */
  | ["anew"]
  /** The leader is about to leave: what is under way still settles, nothing new is taken. */
  | ["leaving"]
  | ["here"];

/** A channel's message between one tab and the leader. */
export type Batch<Word> = [reign: string, words: Word[]];

/** Collects the words of one turn and sends them together. */
export class Mouth<Word> {
  #words: Word[] = [];
  readonly #send: (words: Word[]) => void;

  constructor(send: (words: Word[]) => void) {
    this.#send = send;
  }

  say(word: Word): void {
    if (this.#words.push(word) === 1) queueMicrotask(() => this.#send(this.#words.splice(0)));
  }
}
