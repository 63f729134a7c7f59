// The offline queue as pages hold it: mutations are handed to the core, which stores them, sends them
// when it can and says what became of each, also of those that an earlier page has left.

import { Reader } from "./codec.js";
import type { Connection } from "./connection.js";
import { toBytes, toText } from "./entry.js";
import { TidekeepError } from "./errors.js";
import { increment, OPERATIONS, put, remove } from "./operations.js";
import type { Asked, Operation } from "./operations.js";
import type {
  Bytes,
  Deleted,
  DeleteOptions,
  Incremented,
  IncrementOptions,
  Mutation,
  MutationQueue,
  PendingMutation,
  QueueEvents,
  QueueInfo,
  PutOptions,
  SettledMutation,
  Written,
} from "./types.js";

/** What became of a mutation: the reply's body, or why there is none. */
export interface Settlement {
  id: number;
  kind: number;
  key: Uint8Array;
  reply?: Uint8Array;
  error?: TidekeepError;
}

/** What waits here for a mutation that was made here. */
interface Waiting {
  stored: PromiseWithResolvers<void>;
  settled: PromiseWithResolvers<unknown>;
}

/** A mutation that has not settled. */
interface Open {
  mutation: PendingMutation;
  /** None where an earlier page or another tab has made it. */
  waiting?: Waiting;
}

/** A promise with the functions that settle it, as the platform has them since 2024. */
interface PromiseWithResolvers<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export class OfflineQueue implements MutationQueue {
  info: QueueInfo = { waiting: 0, bytes: 0, held: false, failing: false, durable: false };
  readonly #connection: Connection;
  readonly #open = new Map<number, Open>();

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.on("change", (info) => (this.info = info));
    connection.on("stored", (id) => this.#open.get(id)?.waiting?.stored.resolve());
    connection.on("end", (settlement) => this.#settled(settlement));
    connection.on("anew", () => void this.#recover());
  }

  put(key: Bytes, value: Bytes, options?: PutOptions): Mutation<Written> {
    return this.#add(put, { ...options, key, value }, toBytes(value));
  }

  delete(key: Bytes, options?: DeleteOptions): Mutation<Deleted> {
    return this.#add(remove, { ...options, key });
  }

  increment(key: Bytes, by = 1, options?: IncrementOptions): Mutation<Incremented> {
    return this.#add(increment, { ...options, key, by });
  }

  async list(): Promise<PendingMutation[]> {
    return readRows(await this.#connection.mutations());
  }

  discard(id: number): Promise<boolean> {
    return this.#connection.discard(id);
  }

  on<K extends keyof QueueEvents>(event: K, listener: QueueEvents[K]): () => void {
    return this.#connection.on<keyof QueueEvents>(event, listener);
  }

  #add<T>(
    { op, kind, writeRequest }: Operation<T>,
    asked: Asked & { key: Bytes },
    value?: Uint8Array,
  ): Mutation<T> {
    const waiting: Waiting = { stored: promise(), settled: promise() };
    const keyBytes = toBytes(asked.key).slice();
    const made = (id: number) =>
      void this.#open.set(id, { mutation: pending(id, op, keyBytes, value), waiting });
    this.#connection
      .enqueue(kind, (to) => writeRequest(to, asked), made)
      .catch((error: unknown) => fail(waiting, error));
    const { stored, settled } = waiting;
    return { keyBytes, stored: stored.promise, settled: settled.promise as Promise<T> };
  }

  #settled({ id, kind, key, reply, error }: Settlement): void {
    const { op, readReply } = operation(kind);
    const { mutation = pending(id, op, key), waiting } = this.#open.get(id) ?? {};
    this.#open.delete(id);
    let result: SettledMutation["result"];
    try {
      if (error) throw error;
      result = readReply(new Reader(reply!), key) as SettledMutation["result"];
      waiting?.stored.resolve();
      waiting?.settled.resolve(result);
    } catch (cause) {
      error = cause as TidekeepError;
      if (waiting) fail(waiting, error);
    }
    const local = !!waiting;
    this.#connection.emit("settled", { mutation, result, error, local });
    if (error?.code === "conflict") this.#connection.emit("conflict", { mutation, error, local });
  }

  /** The core has begun, here or in another tab: what is there that was not, what of ours is no longer? */
  async #recover(): Promise<void> {
    const before = [...this.#open];
    const left = await this.list().catch(() => undefined);
    if (!left) return;
    const ids = new Set(left.map(({ id }) => id));
    for (const [id, { waiting }] of before) {
      if (ids.has(id)) waiting?.stored.resolve();
      else if (this.#open.delete(id) && waiting) {
        const message = "the client began again without it: the mutation may have been applied";
        fail(waiting, new TidekeepError("outcome-unknown", message, { outcome: "unknown" }));
      }
    }
    for (const mutation of left) {
      const { waiting } = this.#open.get(mutation.id) ?? {};
      this.#open.set(mutation.id, { mutation, waiting });
    }
  }
}

/** Reads the rows of mutations, as docs/design-client.md draws them. */
function readRows(rows: Uint8Array): PendingMutation[] {
  const all: PendingMutation[] = [];
  const reader = new Reader(rows);
  while (!reader.done) {
    const id = reader.fixed(8);
    const row = new Reader(reader.block());
    row.byte();
    const { op } = operation(row.byte());
    // Number and base, which are the core's.
    row.fixed(16);
    const keyBytes = row.bytes();
    const value = op === "put" ? row.bytes() : undefined;
    all.push(pending(id, op, keyBytes, value));
  }
  return all.sort((a, b) => a.id - b.id);
}

/** The operation of this kind. */
function operation(kind: number): Operation {
  return OPERATIONS.find((operation) => operation.kind === kind)!;
}

function pending(
  id: number,
  op: Operation["op"],
  keyBytes: Uint8Array,
  value?: Uint8Array,
): PendingMutation {
  return { id, op: op as PendingMutation["op"], key: toText(keyBytes), keyBytes, value };
}

function fail({ stored, settled }: Waiting, error: unknown): void {
  stored.reject(error);
  settled.reject(error);
}

function promise<T>(): PromiseWithResolvers<T> {
  let functions!: Pick<PromiseWithResolvers<T>, "resolve" | "reject">;
  const promise = new Promise<T>((resolve, reject) => (functions = { resolve, reject }));
  // What nobody waits for is told by the queue's events.
  promise.catch(() => {});
  return { promise, ...functions };
}
