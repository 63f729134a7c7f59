// Transactions: built up call by call, written as one request, their results read one by one.

import { invalid, Kind, malformed } from "./codec.js";
import type { Reader, Writer } from "./codec.js";
import { toBytes } from "./entry.js";
import type { Connection } from "./connection.js";
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

/** Writes an operation, and reads what is its result beside its name. */
interface Operation {
  op: TxnOp["op"];
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the operation with that name
  write(to: Writer, op: any): void;
  read(reply: Reader, key: Uint8Array): object;
}

/** In the order of the variants on the wire. */
const OPS: Operation[] = [
  {
    op: "get",
    write: (to, { key }) => requests.get(to, key),
    read: (reply, key) => ({ entry: replies.got(reply, key) }),
  },
  { op: "put", write: (to, op) => requests.put(to, op.key, op.value, op), read: replies.written },
  { op: "delete", write: (to, op) => requests.remove(to, op.key, op), read: replies.deleted },
  {
    op: "touch",
    write: (to, op) => requests.touch(to, op.key, op),
    read: (reply, key) => ({ touched: replies.touched(reply, key) }),
  },
  {
    op: "increment",
    write: (to, op) => requests.increment(to, op.key, op.by ?? 1, op),
    read: replies.incremented,
  },
  {
    op: "deleteRange",
    write: (to, op) => requests.deleteRange(to, bounds(op.range), op.limit ?? 0),
    read: replies.rangeDeleted,
  },
];

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
  const place = OPS.findIndex(({ op }) => op === asked.op);
  if (place < 0) invalid("a transaction has no such operation");
  OPS[place]!.write(to.number(place), asked);
}

function readResult(reply: Reader, asked: TxnOp | undefined): TxnOpResult {
  const { op, read } = OPS[reply.variant(OPS.length)]!;
  if (asked?.op !== op) malformed();
  const key = "key" in asked ? toBytes(asked.key) : new Uint8Array();
  return { op, ...read(reply, key) } as TxnOpResult;
}
