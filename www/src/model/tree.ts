// The key tree: folders by prefix, loaded when they are opened, kept true by what the watch tells.
// Pure: it fetches nothing; pages go in, and lines come out, each found without walking over the others.

import { toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";
import { find, insert, lowerBound, remove } from "./sorted.js";

/** A key: a leaf of the tree. */
export interface Leaf {
  readonly raw: Raw;
  readonly parent: Folder;
}

/** All keys below a prefix. */
export interface Folder {
  /** The whole prefix, with its delimiter at the end. */
  readonly raw: Raw;
  readonly parent: Folder | undefined;
  open: boolean;
  /** Whether the first page is there. */
  loaded: boolean;
  /** Whether a page is on its way. */
  loading: boolean;
  /** The last load failed. */
  failed: boolean;
  /** Where the next page begins; undefined when all are there. */
  after: Uint8Array | undefined;
  /** In byte order. */
  children: Node[];
  /** Those of the children that are open folders, in byte order. */
  opened: Folder[];
  /** What happened below while a page was on its way. */
  meanwhile: TreeChange[];
}

export type Node = Leaf | Folder;

/** A change that a tree cares for. */
export interface TreeChange {
  raw: Raw;
  revision: number;
  removed: boolean;
}

/** One line of the tree as it is shown: a node, or what is to be said at the end of a folder. */
export type Line =
  | { kind: "node"; node: Node; level: number; position: number; size: number }
  | { kind: "more" | "loading" | "empty" | "failed"; node: Folder; level: number };

/** A page of children as the client gives it. */
export interface ChildPage {
  items: { raw: Raw; branch: boolean }[];
  revision: number;
  after: Uint8Array | undefined;
}

export function isFolder(node: Node): node is Folder {
  return "children" in node;
}

export class Tree {
  readonly root: Folder;

  constructor(
    /** What parts one level of keys from the next. */
    readonly delimiter: Raw,
    root: Raw = "",
  ) {
    this.root = makeFolder(root, undefined);
    this.root.open = true;
  }

  /** How many lines there are to show. */
  get length(): number {
    return linesOf(this.root);
  }

  /** The line at a place. */
  line(index: number): Line | undefined {
    return lineAt(this.root, index, 1);
  }

  /** The place of a node's line, if all folders above it are open. */
  indexOf(raw: Raw): number | undefined {
    let folder = this.root;
    let index = 0;
    for (;;) {
      const at = lowerBound(folder.children, this.#childOf(folder, raw));
      const child = folder.children[at];
      if (!child || !raw.startsWith(child.raw)) return undefined;
      index += at + before(folder, child.raw);
      if (child.raw === raw) return index;
      if (!isFolder(child) || !child.open) return undefined;
      folder = child;
      index += 1;
    }
  }

  /** The node with this key or prefix, if it is loaded. */
  node(raw: Raw): Node | undefined {
    let node: Node | undefined = this.root;
    while (node && node.raw !== raw) {
      node = isFolder(node) ? find(node.children, this.#childOf(node, raw)) : undefined;
    }
    return node;
  }

  setOpen(folder: Folder, open: boolean): void {
    folder.open = open;
    if (!folder.parent) return;
    if (open) insert(folder.parent.opened, folder);
    else remove(folder.parent.opened, folder.raw);
  }

  /** A page is asked for: changes below are kept until it is there. */
  begin(folder: Folder): void {
    folder.loading = true;
    folder.failed = false;
    folder.meanwhile = [];
  }

  /** Puts a page in and goes over what happened since it was read. */
  install(folder: Folder, page: ChildPage): void {
    for (const { raw, branch } of page.items) {
      const last = folder.children.at(-1);
      if (!last || last.raw < raw) folder.children.push(makeNode(raw, branch, folder));
      else if (!find(folder.children, raw)) insert(folder.children, makeNode(raw, branch, folder));
    }
    folder.loading = false;
    folder.loaded = true;
    folder.after = page.after;
    const missed = folder.meanwhile.filter((change) => change.revision > page.revision);
    folder.meanwhile = [];
    for (const change of missed) this.#applyAt(folder, change);
  }

  fail(folder: Folder): void {
    folder.loading = false;
    folder.failed = true;
    folder.meanwhile = [];
  }

  /**
   * Takes a change over. Gives back folders that may have lost their last key, which only the
   * server can tell.
   */
  apply(change: TreeChange): Folder[] {
    return change.raw.startsWith(this.root.raw) ? this.#applyAt(this.root, change) : [];
  }

  /** Takes out a folder that turned out to be empty, and those that held nothing else. */
  prune(node: Node): void {
    const { parent } = node;
    if (!parent) return;
    remove(parent.children, node.raw);
    remove(parent.opened, node.raw);
    if (isEmpty(parent)) this.prune(parent);
  }

  /** Which folders are open. */
  open(): Set<Raw> {
    const open = new Set<Raw>();
    const visit = (folder: Folder) => {
      open.add(folder.raw);
      folder.opened.forEach(visit);
    };
    visit(this.root);
    return open;
  }

  /** The folder that a key or a folder lies in. */
  parentOf(raw: Raw): Raw {
    const end = raw.lastIndexOf(this.delimiter, raw.length - this.delimiter.length - 1);
    return end < 0 || raw.length <= this.delimiter.length ? "" : raw.slice(0, end + this.delimiter.length);
  }

  /** The folders on the way to a key, outermost first, without the root. */
  wayTo(raw: Raw): Raw[] {
    const way: Raw[] = [];
    for (let above = this.parentOf(raw); above.length > this.root.raw.length; above = this.parentOf(above)) {
      way.unshift(above);
    }
    return way;
  }

  #applyAt(start: Folder, change: TreeChange): Folder[] {
    let folder = start;
    for (;;) {
      if (folder.loading) folder.meanwhile.push(change);
      if (!folder.loaded) return change.removed && folder.parent ? [folder] : [];
      const raw = this.#childOf(folder, change.raw);
      const branch = raw !== change.raw || raw.endsWith(this.delimiter);
      const child = find(folder.children, raw);
      if (change.removed && !branch) {
        if (child) this.prune(child);
        return [];
      }
      if (child && isFolder(child)) {
        // A key that ends with the delimiter is listed below the folder of the same name.
        if (raw === change.raw) return change.removed ? [child] : [];
        folder = child;
        continue;
      }
      if (!child && !change.removed && isInLoadedPart(folder, raw)) {
        insert(folder.children, makeNode(raw, branch, folder));
      }
      return [];
    }
  }

  /** The child of a folder that a key below it belongs to. */
  #childOf(folder: Folder, raw: Raw): Raw {
    const end = raw.indexOf(this.delimiter, folder.raw.length);
    return end < 0 ? raw : raw.slice(0, end + this.delimiter.length);
  }
}

/** What of a key's or a folder's name is shown: the part behind its parent. */
export function nameOf(node: Node): Raw {
  return node.raw.slice(node.parent?.raw.length ?? 0);
}

/** Lines that a folder shows below itself. */
function linesOf(folder: Folder): number {
  const note = noteOf(folder) === undefined ? 0 : 1;
  return folder.opened.reduce((sum, open) => sum + linesOf(open), folder.children.length + note);
}

/** Lines that open folders show before a child of theirs. */
function before(folder: Folder, raw: Raw): number {
  let sum = 0;
  for (const open of folder.opened) if (open.raw < raw) sum += linesOf(open);
  return sum;
}

function lineAt(folder: Folder, index: number, level: number): Line | undefined {
  const { children, opened } = folder;
  const lineOf = (at: number): Line => {
    const size = folder.after ? -1 : children.length;
    return { kind: "node", node: children[at]!, level, position: at + 1, size };
  };
  let [left, at] = [index, 0];
  for (const open of opened) {
    const place = lowerBound(children, open.raw);
    if (left <= place - at) return lineOf(at + left);
    left -= place - at + 1;
    const inside = linesOf(open);
    if (left < inside) return lineAt(open, left, level + 1);
    left -= inside;
    at = place + 1;
  }
  if (at + left < children.length) return lineOf(at + left);
  const note = at + left === children.length ? noteOf(folder) : undefined;
  return note && { kind: note, node: folder, level };
}

function noteOf(folder: Folder): "failed" | "loading" | "more" | "empty" | undefined {
  if (folder.failed) return "failed";
  if (folder.loading) return "loading";
  if (folder.after) return "more";
  return folder.loaded && folder.children.length === 0 ? "empty" : undefined;
}

/** Behind the last page that was fetched, a new child would seem to be the only one there. */
function isInLoadedPart(folder: Folder, raw: Raw): boolean {
  return !folder.after || raw <= folder.raw + toRaw(folder.after);
}

function isEmpty(folder: Folder): boolean {
  return folder.loaded && !folder.loading && !folder.after && folder.children.length === 0;
}

function makeNode(raw: Raw, branch: boolean, parent: Folder): Node {
  return branch ? makeFolder(raw, parent) : { raw, parent };
}

function makeFolder(raw: Raw, parent: Folder | undefined): Folder {
  const [children, opened, meanwhile]: [Node[], Folder[], TreeChange[]] = [[], [], []];
  const [open, loaded, loading, failed] = [false, false, false, false];
  return { raw, parent, open, loaded, loading, failed, after: undefined, children, opened, meanwhile };
}
