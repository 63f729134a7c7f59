// What the measured page has: clients of both kinds over WebSocket, for rates.mjs to call.

import { Kvm } from "@nats-io/kv";
import { wsconnect } from "@nats-io/nats-core";

import { connect } from "../../client-web/dist/index.js";
import { fill, natsStore, rate, tidekeepStore } from "./load.mjs";

const stores = new Map();

globalThis.bench = {
  async open(name, url) {
    const nats = name === "nats" && (await wsconnect({ servers: url }));
    const store = nats
      ? natsStore(await new Kvm(nats).create("page"))
      : tidekeepStore(connect(url));
    await fill(store);
    stores.set(name, store);
  },
  rate: (name, operation, depth, ms) => rate(stores.get(name), operation, depth, ms),
};
