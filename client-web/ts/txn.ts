// Transactions: built up call by call, written as one request, their results read one by one.

import { invalid, Kind, malformed } from "./codec.js";
import type { Reader, Writer } from "./codec.js";
import { toBytes } from "./entry.js";
import type { Connection } from "./connection.js";
import { OPERATIONS } from "./operations.js";
import type {
  Bytes,
  CallOptions,
  ConditionOptions,
  Txn,
  TxnOp,
  TxnOpResult,
  TxnResult,
} from "./types.js";

export class TxnBuilder implements Txn {
  readonly #engine: Connection;
  readonly #compares: [Bytes, ConditionOptions][] = [];
  readonly #then: TxnOp[] = [];
  readonly #else: TxnOp[] = [];

  constructor(engine: Connection) {
    this.#engine = engine;
  }

  when(key: Bytes, condition: ConditionOptions): Txn {
    this.#compares.push([key, condition]);
    return this;
  }

  then(...ops: TxnOp[]): Txn {
    // What `await` would call: the mistake is worth a clear word.
    if (typeof ops[0] === "function") {
      invalid("a transaction is no promise: call commit()");
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

function writeOp(to: Writer, asked: TxnOp): void {
  const place = OPERATIONS.findIndex(({ op }) => op === asked.op);
  if (place < 0) invalid("a transaction has no such operation");
  OPERATIONS[place]!.writeRequest(to.number(place), asked);
}

function readResult(reply: Reader, asked: TxnOp | undefined): TxnOpResult {
  const { op, readReply } = OPERATIONS[reply.variant(OPERATIONS.length)]!;
  if (asked?.op !== op) malformed();
  const result = readReply(reply, "key" in asked ? toBytes(asked.key) : new Uint8Array());
  if (op === "get") return { op, entry: result } as TxnOpResult;
  if (op === "touch") return { op, touched: result } as TxnOpResult;
  return { op, ...(result as object) } as TxnOpResult;
}
