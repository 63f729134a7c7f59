// The page's one connection: it feeds the tree, the rows and the log from the store, and tells the
// views when there is something new to draw. Knows the package's public surface and no element.

import { connect } from "tidekeep";
import type { Client, Entry, WatchEvent } from "tidekeep";

import { fromRaw, toRaw } from "./model/bytes.js";
import type { Raw } from "./model/bytes.js";
import { Rows } from "./model/rows.js";
import type { Change } from "./model/rows.js";
import { DELIMITER, Tree } from "./model/tree.js";
import type { Node } from "./model/tree.js";

const CHILDREN_PAGE = 500;
const ROWS_PAGE = 200;
const LOG_MAX = 1000;
const PING_MS = 5000;

/** A change as the log shows it. */
export interface Logged {
  readonly at: number;
  readonly change: Change;
}

/** What a view may want to draw anew. */
export type Part = "tree" | "rows" | "log" | "connection" | "entry";

export class Session {
  readonly client: Client;
  readonly tree = new Tree();
  rows = new Rows("", "");
  /** Newest last. */
  log: Logged[] = [];
  /** Changes seen since the page was opened. */
  seen = 0;
  paused = false;
  revision = 0;
  roundTripMs: number | undefined;
  #held: Logged[] = [];
  /** Folders that the server is being asked about, and whether it must be asked again. */
  readonly #asking = new Map<Node, boolean>();
  readonly #listeners = new Set<(part: Part, change?: Change) => void>();

  constructor(url: string) {
    this.client = connect(url);
    this.client.on("state", () => this.#tell("connection"));
    void this.#follow();
    setInterval(() => void this.#ping(), PING_MS);
  }

  /** Calls `listener` with each part that has something new. */
  listen(listener: (part: Part, change?: Change) => void): void {
    this.#listeners.add(listener);
  }

  /** Shows the keys below another prefix, or those of them that pass the filter. */
  choose(prefix: Raw, filter: string): void {
    this.rows = new Rows(prefix, filter);
    void this.loadRows();
    void this.#count(this.rows);
  }

  /** Fetches the next page of a folder. */
  async loadNode(node: Node): Promise<void> {
    if (node.loading) return;
    this.tree.begin(node);
    this.#tell("tree");
    try {
      const names = this.client.children(fromRaw(node.raw), DELIMITER, { pageSize: CHILDREN_PAGE });
      const page = await names.page(node.after);
      const items = page.items.map(({ keyBytes, branch }) => ({ raw: toRaw(keyBytes), branch }));
      this.tree.install(node, { items, revision: page.revision, after: page.after });
    } catch {
      this.tree.fail(node);
    }
    this.#tell("tree");
  }

  /** Fetches the next page of rows. */
  async loadRows(): Promise<void> {
    const rows = this.rows;
    if (rows.loading) return;
    rows.begin();
    this.#tell("rows");
    try {
      const entries = this.client.scan({ prefix: fromRaw(rows.prefix) }, { pageSize: ROWS_PAGE });
      rows.install(await entries.page(rows.after));
    } catch {
      rows.fail();
    }
    this.#tell("rows");
  }

  /** Stops the log, or goes on with what happened meanwhile. */
  pause(paused: boolean): void {
    this.paused = paused;
    if (!paused) {
      this.#append(this.#held);
      this.#held = [];
    }
    this.#tell("log");
  }

  clearLog(): void {
    this.log = [];
    this.#held = [];
    this.#tell("log");
  }

  entry(raw: Raw): Promise<Entry | undefined> {
    return this.client.get(fromRaw(raw));
  }

  async #follow(): Promise<void> {
    for await (const event of this.client.watch({})) this.#take(event);
  }

  #take(event: WatchEvent): void {
    switch (event.type) {
      case "caught-up":
        this.revision = event.revision;
        this.#tell("connection");
        if (!this.tree.root.loaded) this.#loadAll(new Set());
        break;
      case "reset":
        this.#loadAll(this.tree.reset());
        break;
      case "entry":
        break;
      default:
        this.#change(event);
    }
  }

  #change(change: Change): void {
    const removed = change.type !== "put";
    const raw = toRaw(change.keyBytes);
    this.revision = change.revision;
    for (const folder of this.tree.apply({ raw, revision: change.revision, removed })) {
      void this.#pruneIfEmpty(folder);
    }
    if (this.rows.apply(change, performance.now())) this.#tell("rows");
    const logged = { at: this.client.serverTime(), change };
    this.seen += 1;
    if (this.paused) this.#held = [...this.#held, logged].slice(-LOG_MAX);
    else this.#append([logged]);
    this.#tell("tree");
    this.#tell("log");
    this.#tell("connection");
    this.#tell("entry", change);
  }

  #append(logged: Logged[]): void {
    this.log.push(...logged);
    if (this.log.length > LOG_MAX) this.log.splice(0, this.log.length - LOG_MAX);
  }

  /** Only the server knows whether a folder that was never opened has lost its last key. */
  async #pruneIfEmpty(folder: Node): Promise<void> {
    // Thousands of keys may go at once: one question at a time, and one more for what came meanwhile.
    const asked = this.#asking.has(folder);
    this.#asking.set(folder, asked);
    if (asked) return;
    let left = 1;
    do {
      this.#asking.set(folder, false);
      left = await this.client.count({ prefix: fromRaw(folder.raw) }, { limit: 1 }).catch(() => 1);
    } while (this.#asking.get(folder));
    this.#asking.delete(folder);
    if (left > 0) return;
    this.tree.prune(folder);
    this.#tell("tree");
  }

  #loadAll(open: Set<Raw>): void {
    const load = async (node: Node) => {
      await this.loadNode(node);
      for (const child of node.children) {
        if (!open.has(child.raw)) continue;
        child.open = true;
        await load(child);
      }
    };
    void load(this.tree.root);
    this.choose(this.rows.prefix, this.rows.filter);
  }

  async #count(rows: Rows): Promise<void> {
    rows.total = await this.client.count({ prefix: fromRaw(rows.prefix) }).catch(() => undefined);
    this.#tell("rows");
  }

  async #ping(): Promise<void> {
    if (this.client.state !== "ready" || document.hidden) return;
    this.roundTripMs = await this.client.ping().catch(() => undefined);
    this.#tell("connection");
  }

  #tell(part: Part, change?: Change): void {
    for (const listener of this.#listeners) listener(part, change);
  }
}
