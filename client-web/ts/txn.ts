// Transactions: built up call by call, written as one request, their results read one by one.

import { Kind } from "./codec.js";
import type { Reader, Writer } from "./codec.js";
import { toBytes } from "./entry.js";
import type { Engine } from "./engine.js";
import { TidekeepError } from "./errors.js";
import { bounds } from "./range.js";
import * as replies from "./replies.js";
import * as requests from "./requests.js";
import type {
  Bytes,
  CallOptions,
  ConditionOptions,
  Txn,
  TxnOp,
  TxnOpResult,
  TxnResult,
} from "./types.js";

/** In the order of the variants on the wire. */
const OPS: TxnOp["op"][] = ["get", "put", "delete", "touch", "increment", "deleteRange"];

export class TxnBuilder implements Txn {
  readonly #engine: Engine;
  readonly #compares: [Bytes, ConditionOptions][] = [];
  readonly #then: TxnOp[] = [];
  readonly #else: TxnOp[] = [];

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  when(key: Bytes, condition: ConditionOptions): Txn {
    this.#compares.push([key, condition]);
    return this;
  }

  then(...ops: TxnOp[]): Txn {
    // What `await` would call: the mistake is worth a clear word.
    if (typeof ops[0] === "function") {
      throw new TidekeepError("invalid-input", "a transaction is no promise: call commit()");
    }
    this.#then.push(...ops);
    return this;
  }

  else(...ops: TxnOp[]): Txn {
    this.#else.push(...ops);
    return this;
  }

  commit(options?: CallOptions): Promise<TxnResult> {
    const [compares, then, otherwise] = [[...this.#compares], [...this.#then], [...this.#else]];
    const write = (to: Writer) =>
      to
        .list(compares, ([key, condition]) => to.bytes(key).condition(condition))
        .list(then, (op) => writeOp(to, op))
        .list(otherwise, (op) => writeOp(to, op));
    const read = (reply: Reader): TxnResult => {
      const revision = reply.number();
      const succeeded = reply.flag();
      const ops = (succeeded ? then : otherwise)[Symbol.iterator]();
      const results = reply.list(() => readResult(reply, ops.next().value));
      return { revision, succeeded, results };
    };
    const writes = [...then, ...otherwise].some(({ op }) => op !== "get");
    return this.#engine.call(Kind.txn, write, read, options, writes);
  }
}

function writeOp(to: Writer, op: TxnOp): void {
  to.number(OPS.indexOf(op.op));
  if (op.op === "get") requests.get(to, op.key);
  else if (op.op === "put") requests.put(to, op.key, op.value, op);
  else if (op.op === "delete") requests.remove(to, op.key, op);
  else if (op.op === "touch") requests.touch(to, op.key, op);
  else if (op.op === "increment") requests.increment(to, op.key, op.by ?? 1, op);
  else if (op.op === "deleteRange") requests.deleteRange(to, bounds(op.range), op.limit ?? 0);
  else throw new TidekeepError("invalid-input", "a transaction has no such operation");
}

function readResult(reply: Reader, op: TxnOp | undefined): TxnOpResult {
  if (!op || OPS[reply.variant(OPS.length)] !== op.op) {
    throw new TidekeepError("protocol", "a transaction's results are not what was asked for");
  }
  const key = "key" in op ? toBytes(op.key) : new Uint8Array();
  switch (op.op) {
    case "get":
      return { op: op.op, entry: replies.got(reply, key) };
    case "put":
      return { op: op.op, ...replies.written(reply, key) };
    case "delete":
      return { op: op.op, ...replies.deleted(reply, key) };
    case "touch":
      return { op: op.op, touched: replies.touched(reply, key) };
    case "increment":
      return { op: op.op, ...replies.incremented(reply) };
    case "deleteRange":
      return { op: op.op, ...replies.rangeDeleted(reply) };
  }
}
