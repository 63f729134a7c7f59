// The operations on keys, each with how it is asked for and what its reply says: calls, the queue's
// mutations and the parts of a transaction are the same.

import { Kind, whole } from "./codec.js";
import type { Reader, Writer } from "./codec.js";
import { bounds } from "./range.js";
import * as replies from "./replies.js";
import type { Bytes, CallOptions, TxnOp } from "./types.js";

/** All that an operation is told: its key if it has one, and what else it knows of. */
export type Asked = CallOptions & { key?: Bytes; [field: string]: unknown };

export interface Operation<T = unknown> {
  op: TxnOp["op"];
  kind: Kind;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the operation with that name
  writeRequest(to: Writer, asked: any): Writer;
  readReply(reply: Reader, key: Uint8Array): T;
}

export const get = {
  op: "get",
  kind: Kind.get,
  writeRequest: (to, { key }) => to.bytes(key),
  readReply: replies.got,
} satisfies Operation;

export const put = {
  op: "put",
  kind: Kind.put,
  writeRequest: (to, asked) =>
    to.bytes(asked.key).bytes(asked.value).condition(asked).expiry(asked).flag(asked.previous),
  readReply: replies.written,
} satisfies Operation;

export const remove = {
  op: "delete",
  kind: Kind.delete,
  writeRequest: (to, asked) => to.bytes(asked.key).condition(asked).flag(asked.previous),
  readReply: replies.deleted,
} satisfies Operation;

export const touch = {
  op: "touch",
  kind: Kind.touch,
  writeRequest: (to, asked) => to.bytes(asked.key).expiry(asked).condition(asked),
  readReply: replies.touched,
} satisfies Operation;

export const increment = {
  op: "increment",
  kind: Kind.increment,
  writeRequest: (to, asked) =>
    to.bytes(asked.key).signed(whole(asked.by ?? 1, "by", -Infinity)).expiry(asked),
  readReply: replies.incremented,
} satisfies Operation;

/** A limit of 0 leaves it to the server how many go at once. */
export const deleteRange = {
  op: "deleteRange",
  kind: Kind.deleteRange,
  writeRequest: (to, { range, limit = 0 }) => to.range(bounds(range)).count(limit, "limit"),
  readReply: replies.rangeDeleted,
} satisfies Operation;

/** In the order of the variants in a transaction. */
export const OPERATIONS: Operation[] = [get, put, remove, touch, increment, deleteRange];
