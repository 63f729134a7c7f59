// The key tree: folders by prefix, loaded when they are opened, kept true by what the watch tells.
// Pure: it fetches nothing; `pages` go in, and what to show comes out as a flat list of lines.

import { toRaw } from "./bytes.js";
import type { Raw } from "./bytes.js";
import { find, insert, remove } from "./sorted.js";

/** What parts one level of keys from the next. */
export const DELIMITER = "/";

/** A key, or all keys below a prefix. */
export interface Node {
  /** The whole key, or the whole prefix with its delimiter at the end. */
  readonly raw: Raw;
  readonly branch: boolean;
  readonly parent: Node | undefined;
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
  /** What happened below while a page was on its way. */
  meanwhile: TreeChange[];
}

/** A change that a tree cares for. */
export interface TreeChange {
  raw: Raw;
  revision: number;
  removed: boolean;
}

/** One line of the tree as it is shown. */
export type Line =
  | { kind: "node"; node: Node; level: number; position: number; size: number }
  | { kind: "more" | "loading" | "empty" | "failed"; node: Node; level: number };

/** A page of children as the client gives it. */
export interface ChildPage {
  items: { raw: Raw; branch: boolean }[];
  revision: number;
  after: Uint8Array | undefined;
}

export class Tree {
  readonly root: Node = makeNode("", true, undefined);

  constructor() {
    this.root.open = true;
  }

  /** The lines to show, from top to bottom. */
  lines(): Line[] {
    const lines: Line[] = [];
    addLines(this.root, 1, lines);
    return lines;
  }

  /** The node with this key or prefix, if it is loaded. */
  node(raw: Raw): Node | undefined {
    let node: Node | undefined = this.root;
    while (node && node.raw !== raw) node = find(node.children, childOf(node, raw));
    return node;
  }

  /** A page is asked for: changes below are kept until it is there. */
  begin(node: Node): void {
    node.loading = true;
    node.failed = false;
    node.meanwhile = [];
  }

  /** Puts a page in and goes over what happened since it was read. */
  install(node: Node, page: ChildPage): void {
    for (const { raw, branch } of page.items) {
      if (!find(node.children, raw)) insert(node.children, makeNode(raw, branch, node));
    }
    node.loading = false;
    node.loaded = true;
    node.after = page.after;
    const missed = node.meanwhile.filter((change) => change.revision > page.revision);
    node.meanwhile = [];
    for (const change of missed) this.#applyAt(node, change);
  }

  fail(node: Node): void {
    node.loading = false;
    node.failed = true;
    node.meanwhile = [];
  }

  /**
   * Takes a change over. Gives back folders that may have lost their last key, which only the
   * server can tell.
   */
  apply(change: TreeChange): Node[] {
    return this.#applyAt(this.root, change);
  }

  /** Takes out a folder that turned out to be empty, and those that held nothing else. */
  prune(node: Node): void {
    const { parent } = node;
    if (!parent) return;
    remove(parent.children, node.raw);
    if (isEmpty(parent)) this.prune(parent);
  }

  /** Forgets everything but which folders are open. */
  reset(): Set<Raw> {
    const open = new Set<Raw>();
    const visit = (node: Node) => {
      if (node.open) open.add(node.raw);
      node.children.forEach(visit);
    };
    visit(this.root);
    Object.assign(this.root, { ...makeNode("", true, undefined), open: true });
    return open;
  }

  #applyAt(start: Node, change: TreeChange): Node[] {
    let node = start;
    for (;;) {
      if (node.loading) node.meanwhile.push(change);
      if (!node.loaded) return change.removed && node.parent ? [node] : [];
      const raw = childOf(node, change.raw);
      const branch = raw !== change.raw || raw.endsWith(DELIMITER);
      const child = find(node.children, raw);
      if (change.removed && !branch) {
        if (child) this.prune(child);
        return [];
      }
      if (child && branch) {
        // A key that ends with the delimiter is listed below the folder of the same name.
        if (raw === change.raw) return change.removed ? [child] : [];
        node = child;
        continue;
      }
      if (!child && !change.removed && isInLoadedPart(node, raw)) {
        insert(node.children, makeNode(raw, branch, node));
      }
      return [];
    }
  }
}

/** What of a key's or a folder's name is shown: the part behind its parent. */
export function nameOf(node: Node): Raw {
  return node.raw.slice(node.parent?.raw.length ?? 0);
}

/** The folder that a key or a folder lies in. */
export function parentOf(raw: Raw): Raw {
  const end = raw.lastIndexOf(DELIMITER, raw.length - 2);
  return raw.slice(0, end + 1);
}

function addLines(node: Node, level: number, lines: Line[]): void {
  const size = node.after ? -1 : node.children.length;
  node.children.forEach((child, index) => {
    lines.push({ kind: "node", node: child, level, position: index + 1, size });
    if (child.branch && child.open) addLines(child, level + 1, lines);
  });
  if (node.failed) lines.push({ kind: "failed", node, level });
  else if (node.loading) lines.push({ kind: "loading", node, level });
  else if (node.after) lines.push({ kind: "more", node, level });
  else if (node.loaded && node.children.length === 0) lines.push({ kind: "empty", node, level });
}

/** The child of `node` that a key below it belongs to. */
function childOf(node: Node, raw: Raw): Raw {
  const end = raw.indexOf(DELIMITER, node.raw.length);
  return end < 0 ? raw : raw.slice(0, end + 1);
}

/** Behind the last page that was fetched, a new child would seem to be the only one there. */
function isInLoadedPart(node: Node, raw: Raw): boolean {
  return !node.after || raw <= node.raw + toRaw(node.after);
}

function isEmpty(node: Node): boolean {
  return node.loaded && !node.loading && !node.after && node.children.length === 0;
}

function makeNode(raw: Raw, branch: boolean, parent: Node | undefined): Node {
  return {
    raw,
    branch,
    parent,
    open: false,
    loaded: false,
    loading: false,
    failed: false,
    after: undefined,
    children: [],
    meanwhile: [],
  };
}
