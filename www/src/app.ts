// The page: one session, its views, and the keys of the keyboard. Everything it does to the store
// goes through the npm package's public surface.

import { byId, h, oncePerFrame } from "./dom.js";
import { percentDecode, percentEncode } from "./model/bytes.js";
import type { Raw } from "./model/bytes.js";
import { countText } from "./model/value.js";
import { parentOf } from "./model/tree.js";
import { Session } from "./session.js";
import type { Part } from "./session.js";
import { ClusterView } from "./view/cluster.js";
import { EditorView } from "./view/editor.js";
import { LogView } from "./view/log.js";
import { RowsView } from "./view/rows.js";
import { TreeView } from "./view/tree.js";

const SHORTCUTS: [keys: string, what: string][] = [
  ["/", "filter the keys"],
  ["t", "to the tree; arrows move, Enter opens"],
  ["n", "new key"],
  ["e", "edit the value"],
  ["Ctrl-S", "save"],
  ["Esc", "leave a field, close the key"],
  ["?", "this help"],
];

const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
const session = new Session(url);
const filter = byId<HTMLInputElement>("filter");

const editor = new EditorView(session, (raw) => {
  rows.chosen = raw;
  draw.rows();
  if (raw !== undefined) history.replaceState(null, "", `#/k/${percentEncode(raw)}`);
});
const rows: RowsView = new RowsView(session, (raw) => void editor.open(raw));
const tree = new TreeView(session, (node) => {
  if (node.branch) choose(node.raw);
  else void editor.open(node.raw);
  tree.selected = node.raw;
});
const log = new LogView(session);

const draw: Record<Exclude<Part, "entry">, () => void> = {
  tree: oncePerFrame(() => tree.draw()),
  rows: oncePerFrame(() => rows.draw()),
  log: oncePerFrame(() => log.draw()),
  connection: oncePerFrame(drawConnection),
};

session.listen((part, change) => {
  if (part !== "entry") draw[part]();
  else if (change) editor.changed(change);
});

function choose(prefix: Raw): void {
  session.choose(prefix, filter.value);
  history.replaceState(null, "", `#/p/${percentEncode(prefix)}`);
}

function drawConnection(): void {
  const place = byId("connection");
  const { state } = session.client;
  place.dataset["state"] = state;
  const trip = session.roundTripMs === undefined ? "" : ` · ${session.roundTripMs.toFixed(1)} ms`;
  const revision = session.revision > 0 ? ` · revision ${countText(session.revision)}` : "";
  place.textContent = `${state}${state === "ready" ? trip + revision : ""}`;
}

/** Opens what the address names: `#/k/KEY` or `#/p/PREFIX`. */
function openAddress(): void {
  const [, kind, encoded] = /^#\/([kp])\/(.*)$/s.exec(location.hash) ?? [];
  const raw = encoded === undefined ? undefined : percentDecode(encoded);
  if (raw === undefined) return;
  session.choose(kind === "p" ? raw : parentOf(raw), filter.value);
  tree.selected = raw;
  if (kind === "k") void editor.open(raw);
}

function setTheme(theme: string): void {
  document.documentElement.dataset["theme"] = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `Switch to the ${theme === "dark" ? "light" : "dark"} theme`);
}

function toggleTheme(): void {
  const theme = document.documentElement.dataset["theme"] === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  setTheme(theme);
}

function help(): void {
  const dialog = byId<HTMLDialogElement>("keys");
  const pairs = SHORTCUTS.flatMap(([keys, what]) => [
    h("dt", {}, h("kbd", {}, keys)),
    h("dd", {}, what),
  ]);
  const close = h("button", { type: "button", click: () => dialog.close() }, "Close");
  dialog.replaceChildren(h("h2", {}, "Keyboard"), h("dl", {}, ...pairs), close);
  dialog.showModal();
}

function onKey(event: KeyboardEvent): void {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") {
    event.preventDefault();
    return editor.save();
  }
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (event.key === "Escape") {
    if (typing instanceof HTMLElement) typing.blur();
    else editor.close();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions: Record<string, () => void> = {
    "/": () => filter.focus(),
    t: () => tree.focus(),
    n: () => editor.create(session.rows.prefix),
    e: () => editor.edit(),
    "?": help,
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

filter.addEventListener("input", () => session.choose(session.rows.prefix, filter.value));
byId("new").addEventListener("click", () => editor.create(session.rows.prefix));
byId("theme").addEventListener("click", toggleTheme);
byId("help").addEventListener("click", help);
addEventListener("keydown", onKey);
addEventListener("hashchange", openAddress);
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
setTheme(localStorage.getItem("theme") ?? (dark ? "dark" : "light"));
drawConnection();
new ClusterView(session.client);
openAddress();
