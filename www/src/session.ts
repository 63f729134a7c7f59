// The page's one connection: it feeds the tree and the rows from the store, and tells the
// views when there is something new to draw. Knows the package's public surface and no element.

import { connect, init } from "tidekeep/slim";
import module from "tidekeep/tidekeep.wasm";
import type { Client, Entry, WatchEvent } from "tidekeep";

import { Listing } from "./listing.js";
import { fromRaw, toRaw } from "./model/bytes.js";
import type { Raw } from "./model/bytes.js";
import type { Change } from "./model/row.js";
import { isFolder, Tree } from "./model/tree.js";
import type { Folder } from "./model/tree.js";

const CHILDREN_PAGE = 1000;
const PING_MS = 5000;

/** What a view may want to draw anew. */
export type Part = "tree" | "rows" | "connection" | "entry";

export class Session {
  readonly client: Client;
  tree: Tree;
  listing: Listing;
  revision = 0;
  roundTripMs: number | undefined;
  /** Folders that the server is being asked about, and whether it must be asked again. */
  readonly #asking = new Map<Folder, boolean>();
  readonly #listeners = new Set<(part: Part, change?: Change) => void>();

  constructor(url: string, delimiter: Raw) {
    // By itself it is smaller than as text within the script, and compiles as it streams in.
    void init(module);
    this.client = connect(url);
    this.tree = new Tree(delimiter);
    this.listing = this.#list("", "");
    this.client.on("state", () => this.#tell("connection"));
    void this.#follow();
    setInterval(() => void this.#ping(), PING_MS);
  }

  /** Calls `listener` with each part that has something new. */
  listen(listener: (part: Part, change?: Change) => void): void {
    this.#listeners.add(listener);
  }

  /** Lists the keys below another prefix, or those of them that pass the filter. */
  choose(prefix: Raw, filter: string): void {
    if (prefix === this.listing.prefix && filter === this.listing.filter) return;
    this.#relist(prefix, filter);
  }

  /** Parts keys by another text. */
  delimit(delimiter: Raw): void {
    this.tree = new Tree(delimiter);
    this.#loadAll();
  }

  /** Fetches the next page of a folder. */
  async loadFolder(folder: Folder): Promise<void> {
    if (folder.loading) return;
    const { tree } = this;
    tree.begin(folder);
    this.#tell("tree");
    try {
      const options = { pageSize: CHILDREN_PAGE };
      const names = this.client.children(fromRaw(folder.raw), fromRaw(tree.delimiter), options);
      const page = await names.page(folder.after);
      const items = page.items.map(({ keyBytes, branch }) => ({ raw: toRaw(keyBytes), branch }));
      tree.install(folder, { items, revision: page.revision, after: page.after });
    } catch {
      tree.fail(folder);
    }
    this.#tell("tree");
  }

  /** Opens the folders on the way to a key, so that its line is there; a folder opens itself, too. */
  async unfold(raw: Raw): Promise<void> {
    const { tree } = this;
    const self = raw.endsWith(tree.delimiter) ? [raw] : [];
    for (const above of ["", ...tree.wayTo(raw), ...self]) {
      const folder = tree.node(above);
      if (!folder || !isFolder(folder)) return;
      if (!folder.open) tree.setOpen(folder, true);
      if (!folder.loaded) await this.loadFolder(folder);
    }
    this.#tell("tree");
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
        if (!this.tree.root.loaded && !this.tree.root.loading) this.#loadAll();
        break;
      case "reset":
        this.#loadAll(this.tree.open());
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
    if (this.listing.apply(change, performance.now())) this.#tell("rows");
    this.#tell("tree");
    this.#tell("connection");
    this.#tell("entry", change);
  }

  /** Only the server knows whether a folder that was never opened has lost its last key. */
  async #pruneIfEmpty(folder: Folder): Promise<void> {
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

  /** Begins anew with what is there; these folders stay open. */
  #loadAll(open = new Set<Raw>()): void {
    const tree = new Tree(this.tree.delimiter);
    const load = async (folder: Folder) => {
      await this.loadFolder(folder);
      for (const child of folder.children) {
        if (!isFolder(child) || !open.has(child.raw)) continue;
        tree.setOpen(child, true);
        await load(child);
      }
    };
    this.tree = tree;
    void load(tree.root);
    this.#relist(this.listing.prefix, this.listing.filter);
  }

  #relist(prefix: Raw, filter: string): void {
    this.listing.end();
    this.listing = this.#list(prefix, filter);
    this.#tell("rows");
  }

  #list(prefix: Raw, filter: string): Listing {
    return new Listing(this.client, prefix, filter, () => this.#tell("rows"));
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
