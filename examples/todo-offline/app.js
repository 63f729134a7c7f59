// A list that several people edit, with a network or without one. `view` keeps the list here and live;
// `queue` takes every edit at once, keeps it over reloads, and sends it when the server can be reached.
// Each edit is made on the revision that was shown, so two people never overwrite each other unseen.

import { connect } from "/tidekeep/index.js";
import { indexedDb } from "/tidekeep/offline.js";

import { Line } from "./line.js";

const PREFIX = "list/";
const byId = (id) => document.getElementById(id);

/** Whose queue this is: people who share a browser have one each. */
const me = new URLSearchParams(location.search).get("me") ?? "me";
const line = new Line();
const client = connect("/ws", {
  WebSocket: line.WebSocket,
  offline: { storage: indexedDb({ database: "list" }), identity: me },
});
const { queue } = client;
const list = client.view({ prefix: PREFIX }, { persist: true });
/** What an earlier page has left in the queue, by number: a conflict does not repeat it. */
const left = queue.list().then((all) => new Map(all.map(({ id, value }) => [id, value])));
left.catch(() => {});
/** Keys to the elements that stand for them. */
const rows = new Map();

/** Two people may add at the same moment: a part of the name is drawn. */
function add(text) {
  const key = PREFIX + Date.now().toString(36) + Math.random().toString(36).slice(2, 8);
  edit(queue.put(key, JSON.stringify({ text, done: false }), { ifAbsent: true }));
}

function change(key, part) {
  const entry = list.get(key);
  if (!entry) return;
  const value = JSON.stringify({ ...entry.json(), ...part });
  if (value !== entry.text()) edit(queue.put(key, value, { ifRevision: entry.revision }));
}

function remove(key) {
  const entry = list.get(key);
  if (entry) edit(queue.delete(key, { ifRevision: entry.revision }));
}

/** What becomes of a conflict is asked below; anything else that fails is said where the state is. */
function edit(mutation) {
  mutation.stored.catch(() => {});
  mutation.settled.catch((error) => error.code === "conflict" || say(error.message));
}

function render() {
  for (const [key, row] of rows) {
    if (list.get(key)) continue;
    row.item.remove();
    rows.delete(key);
  }
  for (const entry of list) {
    const row = rows.get(entry.key) ?? makeRow(entry.key);
    const { text, done } = entry.json();
    row.item.className = `${done ? "done" : ""} ${entry.optimistic ? "waiting" : ""}`;
    row.done.checked = done;
    // Not under somebody's fingers.
    if (document.activeElement !== row.text) row.text.value = text;
    byId("items").append(row.item);
  }
  byId("empty").hidden = list.size > 0 || list.freshness === "loading";
}

function makeRow(key) {
  const item = document.createElement("li");
  const [done, text, gone] = ["input", "input", "button"].map((tag) => {
    return item.appendChild(document.createElement(tag));
  });
  Object.assign(done, { type: "checkbox", ariaLabel: "Done" });
  Object.assign(text, { type: "text", ariaLabel: "Item", maxLength: 200 });
  Object.assign(gone, { type: "button", textContent: "✕", ariaLabel: "Remove" });
  done.onchange = () => change(key, { done: done.checked });
  text.onchange = () => change(key, { text: text.value });
  gone.onclick = () => remove(key);
  const row = { item, done, text };
  rows.set(key, row);
  return row;
}

/** Somebody else was first: their entry shows, and this person says which one is to stay. */
async function ask({ mutation, error }) {
  const { id, key, op } = mutation;
  const value = mutation.value ?? (await left).get(id);
  const mine = value ? JSON.parse(new TextDecoder().decode(value)).text : "(removed)";
  const theirs = error.current?.json().text ?? "(removed)";
  const question = document.createElement("p");
  question.textContent = `Both of you changed it: “${mine}” here, “${theirs}” there.`;
  const choice = (label, act) => {
    const button = question.appendChild(document.createElement("button"));
    button.textContent = label;
    button.onclick = () => (question.remove(), act());
  };
  const now = error.current ? { ifRevision: error.current.revision } : { ifAbsent: true };
  choice("Keep mine", () => edit(op === "delete" ? queue.delete(key, now) : queue.put(key, value, now)));
  choice("Keep theirs", () => {});
  byId("conflicts").append(question);
}

function say(text) {
  byId("state").textContent = text;
  byId("state").dataset.state = client.state;
}

function count({ waiting, durable }) {
  const edits = waiting === 1 ? "1 edit waits" : `${waiting} edits wait`;
  byId("waiting").textContent = waiting ? edits + (durable ? ", kept in this browser" : "") : "";
}

byId("add").onsubmit = (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text) add(text);
  byId("text").value = "";
};
byId("cut").onclick = () => {
  line.cut = !line.cut;
  showCut();
};
function showCut() {
  byId("cut").ariaPressed = String(line.cut);
  byId("cut").textContent = line.cut ? "Join again" : "Cut the network off";
}
byId("me").textContent = me;
byId("other").href = `?me=${encodeURIComponent(`guest-${Math.random().toString(36).slice(2, 6)}`)}`;

client.on("state", (state) => say(state === "ready" ? "live" : "offline"));
client.on("storage", (error) => say(`not kept: ${error.message}`));
queue.on("change", count);
queue.on("conflict", ask);
list.subscribe(render);
render();
showCut();
count(queue.info);
