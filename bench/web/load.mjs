// The load, the same in Node and in a page: `depth` calls are under way at any time, each followed by
// the next one as soon as its promise settles, as an application's would be. Every answer is looked at.

const KEYS = 1_000;
const VALUE_BYTES = 100;
const WARM_UP_MS = 300;

/** A store as the load sees it: `put(key, bytes)` and `get(key)`, which gives bytes. */
export async function fill(store) {
  for (let key = 0; key < KEYS; key++) await store.put(`rates.${key}`, value(key));
}

/** Operations per second, by as many as were answered within the time. */
export async function rate(store, operation, depth, measuredMs) {
  let next = 0;
  let done = 0;
  const step = async () => {
    const key = (next++ * 7919) % KEYS;
    if (operation === "put") {
      await store.put(`rates.${key}`, value(key));
    } else {
      const bytes = await store.get(`rates.${key}`);
      if (bytes.length !== VALUE_BYTES || bytes[1] !== (key & 0xff)) {
        throw new Error(`the value of ${key} is another one`);
      }
    }
    done++;
  };
  const end = performance.now() + WARM_UP_MS + measuredMs;
  const worker = async () => {
    while (performance.now() < end) await step();
  };
  let started = performance.now();
  let before = 0;
  const warm = setTimeout(() => {
    started = performance.now();
    before = done;
  }, WARM_UP_MS);
  await Promise.all(Array.from({ length: depth }, worker));
  clearTimeout(warm);
  return ((done - before) * 1_000) / (performance.now() - started);
}

function value(key) {
  const bytes = new Uint8Array(VALUE_BYTES).fill(0x78);
  bytes[1] = key & 0xff;
  return bytes;
}

/** Ours, behind the same two calls. */
export function tidekeepStore(client) {
  return {
    put: (key, bytes) => client.put(key, bytes),
    get: async (key) => (await client.get(key)).value,
  };
}

/** A bucket of NATS KV: its entries' bytes are under another name. */
export function natsStore(bucket) {
  return {
    put: (key, bytes) => bucket.put(key, bytes),
    get: async (key) => (await bucket.get(key)).value,
  };
}
