// A leader's bounds: what a tab that does not take in what it watches can cost.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Reader, Writer } from "../ts/codec.js";
import type { Connection, Kit } from "../ts/connection.js";
import type { WatchSink } from "../ts/engine.js";
import { TidekeepError } from "../ts/errors.js";
import { Host } from "../ts/tabs/host.js";
import type { ToTab } from "../ts/tabs/words.js";

const MESSAGE = new Uint8Array(64 << 10);

/** An engine that says what it is told to, and notes what it is asked. */
class FakeEngine {
  asked: string[] = [];
  readonly sinks: WatchSink[] = [];
  state = "ready";
  server = undefined;
  serverTime = () => 0;
  readonly listeners = new Map<string, (about: unknown) => void>();
  on = (event: string, listener: (about: unknown) => void) => {
    this.listeners.set(event, listener);
    return () => {};
  };
  close = () => Promise.resolve();

  watch(_: unknown, sink: WatchSink) {
    const at = this.sinks.push(sink) - 1;
    return Promise.resolve({
      pause: () => this.asked.push(`pause ${at}`),
      resume: () => this.asked.push(`resume ${at}`),
      end: () => this.asked.push(`end ${at}`),
    });
  }

  send(watch: number, messages: number): void {
    for (; messages > 0; messages--) this.sinks[watch]!.message(new Reader(MESSAGE));
  }
}

function start() {
  const engine = new FakeEngine();
  const kit = { Reader, Writer, TidekeepError } as unknown as Kit;
  const host = new Host(kit, engine as unknown as Connection);
  const said: ToTab[] = [];
  const guest = host.admit((words) => said.push(...words));
  return { engine, host, guest, said };
}

const turn = () => new Promise((done) => setImmediate(done));

test("a tab that takes nothing in has its watches paused, and they go on when it does", async () => {
  const { engine, guest } = start();
  guest.hear([["watch", 1, MESSAGE, undefined], ["watch", 2, MESSAGE, undefined]]);
  await turn();
  engine.send(0, 16);
  assert.deepEqual(engine.asked, [], "a mebibyte may be on its way");
  engine.send(1, 1);
  assert.deepEqual(engine.asked, ["pause 0", "pause 1"]);
  engine.asked = [];
  guest.hear([["pause", 2], ["taken", 8 << 16]]);
  assert.deepEqual([...engine.asked], ["pause 1"], "too much is on its way still");
  engine.asked = [];
  guest.hear([["taken", 8 << 16]]);
  assert.deepEqual(engine.asked, ["resume 0", "pause 1"], "what the tab paused itself stays so");
});

test("content cannot pause: at 64 MiB its watch ends, and says why", async () => {
  const { engine, guest, said } = start();
  guest.hear([["watch", 7, MESSAGE, undefined]]);
  await turn();
  engine.send(0, 1100);
  await turn();
  const ended = said.filter(([what]) => what === "ended");
  assert.equal(ended.length, 1);
  assert.equal(ended[0]![1], 7);
  assert.equal((ended[0]![2] as { code: string }).code, "slow-reader");
  assert.equal(engine.asked.at(-1), "end 0");
  const sent = said.reduce((sum, word) => sum + (word[0] === "message" ? word[2].length : 0), 0);
  assert.ok(sent <= (64 << 20) + MESSAGE.length, `${sent} bytes were sent`);
});

test("a tab that is gone ends its watches, also one that is only being opened", async () => {
  const { engine, guest } = start();
  guest.hear([["watch", 1, MESSAGE, undefined]]);
  await turn();
  guest.hear([["watch", 2, MESSAGE, undefined]]);
  guest.gone();
  await turn();
  assert.deepEqual(engine.asked.sort(), ["end 0", "end 1"]);
});

test("a tab that joins is told how mutations ended, within bounds", async () => {
  const { engine, host } = start();
  const end = engine.listeners.get("end")!;
  const joined = async () => {
    const said: ToTab[] = [];
    host.admit((words) => said.push(...words));
    await turn();
    return said.filter(([what]) => what === "end").map((word) => (word[1] as { id: number }).id);
  };
  const key = new Uint8Array(10);
  for (let id = 1; id <= 1500; id++) end({ id, kind: 0x11, key, reply: new Uint8Array(2) });
  assert.deepEqual(await joined(), Array.from({ length: 1000 }, (_, at) => 501 + at));
  for (let id = 1501; id <= 1510; id++) end({ id, kind: 0x11, key, reply: new Uint8Array(300_000) });
  assert.deepEqual(await joined(), [1508, 1509, 1510]);
});
