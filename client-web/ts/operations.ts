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
  write(to: Writer, asked: any): Writer;
  read(reply: Reader, key: Uint8Array): T;
}

export const get = {
  op: "get",
  kind: Kind.get,
  write: (to, { key }) => to.bytes(key),
  read: replies.got,
} satisfies Operation;

export const put = {
  op: "put",
  kind: Kind.put,
  write: (to, asked) =>
    to.bytes(asked.key).bytes(asked.value).condition(asked).expiry(asked).flag(asked.previous),
  read: replies.written,
} satisfies Operation;

export const remove = {
  op: "delete",
  kind: Kind.delete,
  write: (to, asked) => to.bytes(asked.key).condition(asked).flag(asked.previous),
  read: replies.deleted,
} satisfies Operation;

export const touch = {
  op: "touch",
  kind: Kind.touch,
  write: (to, asked) => to.bytes(asked.key).expiry(asked).condition(asked),
  read: replies.touched,
} satisfies Operation;

export const increment = {
  op: "increment",
  kind: Kind.increment,
  write: (to, asked) =>
    to.bytes(asked.key).signed(whole(asked.by ?? 1, "by", -Infinity)).expiry(asked),
  read: replies.incremented,
} satisfies Operation;

/** A limit of 0 leaves it to the server how many go at once. */
export const deleteRange = {
  op: "deleteRange",
  kind: Kind.deleteRange,
  write: (to, { range, limit = 0 }) => to.range(bounds(range)).count(limit, "limit"),
  read: replies.rangeDeleted,
} satisfies Operation;

/** In the order of the variants in a transaction. */
export const OPERATIONS: Operation[] = [get, put, remove, touch, increment, deleteRange];
