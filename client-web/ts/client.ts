// The client as users hold it: one method an operation, each a request packed and a reply read.

import { toBytes, toText } from "./entry.js";
import { Engine } from "./engine.js";
import type { Parts } from "./engine.js";
import { Op } from "./packed.js";
import type { Packer, Reader } from "./packed.js";
import { PagedList } from "./pages.js";
import { bounds, successor } from "./range.js";
import * as replies from "./replies.js";
import { TxnBuilder } from "./txn.js";
import type {
  Bytes,
  CallOptions,
  Child,
  ChildrenOptions,
  Client,
  ClientEvents,
  ConnectionState,
  Deleted,
  DeleteOptions,
  Entry,
  Incremented,
  IncrementOptions,
  Pages,
  PutOptions,
  Range,
  RangeDeleted,
  ScanOptions,
  ServerInfo,
  ServerStatus,
  Touched,
  TouchOptions,
  Txn,
  Watch,
  WatchOptions,
  Written,
} from "./types.js";
import { QueuedWatch } from "./watch.js";

/** What of each entry a scan returns. */
const Projection = { full: 0, keys: 1, count: 2 } as const;

export class EngineClient implements Client {
  readonly #engine: Engine;

  constructor(parts: Parts) {
    this.#engine = new Engine(parts);
  }

  get state(): ConnectionState {
    return this.#engine.state;
  }

  get server(): ServerInfo | undefined {
    return this.#engine.server;
  }

  serverTime(): number {
    return this.#engine.serverTime();
  }

  on<K extends keyof ClientEvents>(event: K, listener: ClientEvents[K]): () => void {
    return this.#engine.on(event, listener);
  }

  get(key: Bytes, options: CallOptions = {}): Promise<Entry | undefined> {
    const bytes = toBytes(key);
    const pack = (packer: Packer) => packer.u8(Op.get).bytes(bytes);
    return this.#engine.call(pack, (reply) => replies.got(reply, bytes), options);
  }

  put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<Written> {
    const bytes = toBytes(key);
    const pack = (packer: Packer) =>
      packer
        .u8(Op.put)
        .bytes(bytes)
        .bytes(value)
        .condition(options)
        .expiry(options)
        .flag(options.previous);
    return this.#write(pack, (reply) => replies.written(reply, bytes), options);
  }

  delete(key: Bytes, options: DeleteOptions = {}): Promise<Deleted> {
    const bytes = toBytes(key);
    const pack = (packer: Packer) =>
      packer.u8(Op.delete).bytes(bytes).condition(options).flag(options.previous);
    return this.#write(pack, (reply) => replies.deleted(reply, bytes), options);
  }

  async deleteRange(range: Range, options: CallOptions = {}): Promise<RangeDeleted> {
    const whole = bounds(range);
    const pack = (packer: Packer) => packer.u8(Op.deleteRange).range(whole).u32(0);
    for (let deleted = 0; ; ) {
      const page = await this.#write(pack, replies.rangeDeleted, options);
      deleted += page.deleted;
      if (!page.more) return { deleted, revision: page.revision };
    }
  }

  touch(key: Bytes, options: TouchOptions = {}): Promise<Touched | undefined> {
    const bytes = toBytes(key);
    const pack = (packer: Packer) =>
      packer.u8(Op.touch).bytes(bytes).expiry(options).condition(options);
    return this.#write(pack, (reply) => replies.touched(reply, bytes), options);
  }

  increment(key: Bytes, by = 1, options: IncrementOptions = {}): Promise<Incremented> {
    const pack = (packer: Packer) =>
      packer.u8(Op.increment).bytes(key).integer(by, "by").expiry(options);
    return this.#write(pack, replies.incremented, options);
  }

  scan(range: Range, options: ScanOptions = {}): Pages<Entry> {
    const { reverse, keysOnly } = options;
    const projection = keysOnly ? Projection.keys : Projection.full;
    const whole = bounds(range);
    return new PagedList(async (after, limit) => {
      const start = after && !reverse ? successor(after) : whole.start;
      const end = after && reverse ? after : whole.end;
      const pack = (packer: Packer) =>
        packer.u8(Op.scan).range({ start, end }).u32(limit).flag(reverse).u8(projection);
      return this.#engine.call(
        pack,
        (reply) => {
          const revision = reply.number();
          reply.number();
          const more = reply.flag();
          const items = reply.list(() => reply.entry());
          return { items, revision, after: more ? items.at(-1)?.keyBytes : undefined };
        },
        options,
      );
    }, options);
  }

  count(range: Range, options: CallOptions & { limit?: number } = {}): Promise<number> {
    const whole = bounds(range);
    const limit = options.limit ?? 0;
    const pack = (packer: Packer) =>
      packer.u8(Op.scan).range(whole).u32(limit).flag(false).u8(Projection.count);
    const read = (reply: Reader) => (reply.number(), reply.number());
    return this.#engine.call(pack, read, options);
  }

  children(prefix: Bytes, delimiter: Bytes = "/", options: ChildrenOptions = {}): Pages<Child> {
    const above = toBytes(prefix);
    return new PagedList(async (after, limit) => {
      const pack = (packer: Packer) =>
        packer.u8(Op.children).bytes(above).bytes(delimiter).optional(after).u32(limit);
      return this.#engine.call(
        pack,
        (reply) => {
          const revision = reply.number();
          const more = reply.flag();
          const items = reply.list(() => readChild(reply, above));
          return { items, revision, after: more ? items.at(-1)?.nameBytes : undefined };
        },
        options,
      );
    }, options);
  }

  watch(range: Range, options: WatchOptions = {}): Watch {
    return new QueuedWatch(this.#engine, range, options);
  }

  txn(): Txn {
    return new TxnBuilder(this.#engine);
  }

  async ping(options: CallOptions = {}): Promise<number> {
    const start = performance.now();
    await this.#engine.call((packer) => packer.u8(Op.ping), () => undefined, options);
    return performance.now() - start;
  }

  status(options: CallOptions = {}): Promise<ServerStatus> {
    return this.#engine.call(
      (packer) => packer.u8(Op.status),
      (reply) => ({
        software: reply.text(),
        durability: reply.text(),
        figures: Object.fromEntries(reply.list(() => [reply.text(), reply.number()])),
      }),
      options,
    );
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #write<T>(
    pack: (packer: Packer) => Packer,
    read: (reply: Reader) => T,
    options: CallOptions,
  ): Promise<T> {
    const { signal, timeoutMs } = options;
    return this.#engine.call(pack, read, { signal, timeoutMs, write: true });
  }
}

function readChild(reply: Reader, above: Uint8Array): Child {
  const nameBytes = reply.bytes();
  const keyBytes = new Uint8Array(above.length + nameBytes.length);
  keyBytes.set(above);
  keyBytes.set(nameBytes, above.length);
  return { name: toText(nameBytes), nameBytes, keyBytes, branch: reply.flag() };
}
