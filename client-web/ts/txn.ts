// Transactions: built up call by call, packed as one request, their results read one by one.

import { toBytes } from "./entry.js";
import { TidekeepError } from "./errors.js";
import type { Engine } from "./engine.js";
import { Op } from "./packed.js";
import type { Packer, Reader } from "./packed.js";
import { bounds } from "./range.js";
import * as replies from "./replies.js";
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

  commit(options: CallOptions = {}): Promise<TxnResult> {
    const pack = (packer: Packer) => {
      packer.u8(Op.txn).u32(this.#compares.length);
      for (const [key, condition] of this.#compares) packer.bytes(key).condition(condition);
      for (const ops of [this.#then, this.#else]) {
        packer.u32(ops.length);
        for (const op of ops) packOp(packer, op);
      }
      return packer;
    };
    const read = (reply: Reader): TxnResult => {
      const revision = reply.number();
      const succeeded = reply.flag();
      const ran = succeeded ? this.#then : this.#else;
      reply.u32();
      return { revision, succeeded, results: ran.map((op) => readResult(reply, op)) };
    };
    return this.#engine.call(pack, read, { ...options, write: true });
  }
}

function packOp(packer: Packer, op: TxnOp): void {
  packer.u8(Op[op.op]);
  switch (op.op) {
    case "get":
      packer.bytes(op.key);
      break;
    case "put":
      packer.bytes(op.key).bytes(op.value).condition(op).expiry(op).flag(op.previous);
      break;
    case "delete":
      packer.bytes(op.key).condition(op).flag(op.previous);
      break;
    case "touch":
      packer.bytes(op.key).expiry(op).condition(op);
      break;
    case "increment":
      packer.bytes(op.key).number(op.by ?? 1).expiry(op);
      break;
    case "deleteRange":
      packer.range(bounds(op.range)).u32(0);
  }
}

function readResult(reply: Reader, op: TxnOp): TxnOpResult {
  switch (op.op) {
    case "get":
      return { op: op.op, entry: replies.got(reply, toBytes(op.key)) };
    case "put":
      return { op: op.op, ...replies.written(reply, toBytes(op.key)) };
    case "delete":
      return { op: op.op, ...replies.deleted(reply, toBytes(op.key)) };
    case "touch":
      return { op: op.op, touched: replies.touched(reply, toBytes(op.key)) };
    case "increment":
      return { op: op.op, ...replies.incremented(reply) };
    case "deleteRange": {
      const { deleted, revision } = replies.rangeDeleted(reply);
      return { op: op.op, deleted, revision };
    }
  }
}
