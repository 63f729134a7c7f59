// What ioredis sees of a live server: the address is the first argument, the folder that ioredis is
// installed in the second.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [address, folder] = process.argv.slice(2);
const { default: Redis } = createRequire(`${folder}/`)("ioredis");
const [host, port] = address.split(":");
const options = { host, port: Number(port), maxRetriesPerRequest: 1 };
const store = new Redis(options);
await store.flushall();
assert.equal(await store.set("name", "John Doe", "EX", 60), "OK");
assert.equal(await store.get("name"), "John Doe");
assert.equal(await store.set("name", "x", "NX"), null);
assert.deepEqual(await store.getBuffer("name"), Buffer.from("John Doe"));
await store.mset({ a: "1", b: "2" });
assert.deepEqual(await store.mget("a", "none", "b"), ["1", null, "2"]);
assert.deepEqual(await Promise.all([store.incr("n"), store.incr("n"), store.incr("n")]), [1, 2, 3]);
assert.deepEqual(await store.multi().incr("n").get("n").exec(), [
  [null, 4],
  [null, "4"],
]);
const pipeline = store.pipeline();
for (let number = 0; number < 500; number += 1) pipeline.set(`key:${number}`, number);
assert.equal((await pipeline.exec()).filter(([error]) => error).length, 0);
const seen = new Set();
for await (const keys of store.scanStream({ match: "key:*", count: 50 })) {
  keys.forEach((key) => seen.add(key));
}
assert.equal(seen.size, 500);
await store.watch("n");
const other = new Redis(options);
await other.incr("n");
assert.equal(await store.multi().set("n", 0).exec(), null);
await assert.rejects(store.lpush("list", "1"), /unknown command/);

const listener = new Redis(options);
const message = new Promise((resolve) => {
  listener.on("pmessage", (pattern, channel, text) => resolve([pattern, channel, text]));
});
await listener.psubscribe("__keyspace@0__:watched");
await store.set("watched", "1");
assert.deepEqual(await message, ["__keyspace@0__:watched", "__keyspace@0__:watched", "set"]);
for (const client of [listener, other, store]) await client.quit();
console.log("ioredis is served");
