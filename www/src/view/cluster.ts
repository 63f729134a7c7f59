// The cluster beside the connection: whether all is well, and a line for each node. A server that runs
// alone says so in its figures, and is asked for nothing more.

import type { Client } from "tidekeep";

import { byId, h } from "../dom.js";
import { overview } from "../model/cluster.js";
import type { ClusterStatus, Overview } from "../model/cluster.js";

const LOOK_MS = 3000;
const PATH = "/cluster";
/** The figure that only a node of a cluster has. */
const FIGURE = "cluster_node";

export class ClusterView {
  readonly #client: Client;
  readonly #place = byId("cluster");
  /** Whether the server is a node of a cluster. */
  #member = false;
  #looking = false;

  constructor(client: Client) {
    this.#client = client;
    client.on("state", () => void this.#ask());
    setInterval(() => void this.#look(), LOOK_MS);
    void this.#ask();
  }

  /** After each connection: it may be another kind of server by now. */
  async #ask(): Promise<void> {
    if (this.#client.state !== "ready") return;
    const status = await this.#client.status().catch(() => undefined);
    if (!status) return;
    this.#member = FIGURE in status.figures;
    if (this.#member) await this.#look();
    else this.#place.hidden = true;
  }

  async #look(): Promise<void> {
    if (!this.#member || this.#looking || document.hidden || this.#client.state !== "ready") return;
    this.#looking = true;
    try {
      this.#draw(await statusNow());
    } catch {
      // The connection shows that the server is gone; what was known last stays.
    } finally {
      this.#looking = false;
    }
  }

  #draw({ well, health, nodes }: Overview): void {
    const lines = nodes.map(({ name, up, notes, where }) =>
      h("li", { "data-up": String(up), title: where }, h("b", {}, name), notes && ` ${notes}`),
    );
    this.#place.replaceChildren(
      h("span", { class: well ? "soft" : "problem" }, `Cluster: ${health}`),
      h("ul", { "aria-label": "Nodes" }, ...lines),
    );
    this.#place.hidden = false;
  }
}

/** What the server says of its cluster; a sentence where nobody coordinates it. */
async function statusNow(): Promise<Overview> {
  const response = await fetch(PATH);
  if (response.ok) return overview((await response.json()) as ClusterStatus);
  return { well: false, health: (await response.text()).trim(), nodes: [] };
}
