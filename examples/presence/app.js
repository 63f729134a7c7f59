// Who is here, and where their pointers are. One key for each page, put with `session`: it is there
// for as long as its page is, whatever becomes of that. Everybody watches the prefix; that is all.

import { connect } from "/tidekeep/index.js";

const PREFIX = "presence/";
/** A pointer moves more often than others need to see. */
const PAUSE_MS = 50;
const STEP = 0.02;

const client = connect("/ws");
const byId = (id) => document.getElementById(id);
const stage = byId("stage");

/** This page. A reload is the same one, so that it is not there twice. */
const id = (sessionStorage.id ??= Math.random().toString(36).slice(2, 10));
const me = {
  name: localStorage.name ?? `Guest ${id.slice(0, 3)}`,
  hue: parseInt(id.slice(0, 4), 36) % 360,
  x: 0.5,
  y: 0.5,
};
/** Keys to what stands for them on the page. */
const people = new Map();

/** Tells the others where this page is now, at most one write at a time and not too often. */
let telling = false;
let again = false;
async function tell() {
  if (telling) return void (again = true);
  telling = true;
  do {
    again = false;
    const soon = new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    await client.put(PREFIX + id, JSON.stringify(me), { session: true }).catch(console.warn);
    await soon;
  } while (again);
  telling = false;
}

function show(key, person) {
  let shown = people.get(key);
  if (!shown) {
    shown = { cursor: element("div", "cursor", stage), item: element("li", "", byId("people")) };
    shown.label = element("span", "", shown.cursor);
    people.set(key, shown);
  }
  const mine = key === PREFIX + id;
  shown.cursor.style.setProperty("--hue", person.hue);
  shown.item.style.setProperty("--hue", person.hue);
  shown.cursor.style.left = `${person.x * 100}%`;
  shown.cursor.style.top = `${person.y * 100}%`;
  shown.cursor.classList.toggle("mine", mine);
  shown.label.textContent = person.name;
  shown.item.textContent = mine ? `${person.name} (you)` : person.name;
  byId("count").textContent = people.size;
}

function hide(key) {
  const { cursor, item } = people.get(key) ?? {};
  cursor?.remove();
  item?.remove();
  people.delete(key);
  byId("count").textContent = people.size;
}

function element(tag, className, parent) {
  const made = document.createElement(tag);
  made.className = className;
  return parent.appendChild(made);
}

stage.addEventListener("pointermove", (event) => {
  const { left, top, width, height } = stage.getBoundingClientRect();
  move((event.clientX - left) / width, (event.clientY - top) / height);
});
stage.addEventListener("keydown", (event) => {
  const [dx, dy] =
    { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
  if (dx === undefined) return;
  event.preventDefault();
  move(me.x + dx * STEP, me.y + dy * STEP);
});
function move(x, y) {
  me.x = Math.min(1, Math.max(0, x));
  me.y = Math.min(1, Math.max(0, y));
  tell();
}

byId("name").value = me.name;
byId("name").addEventListener("input", (event) => {
  localStorage.name = me.name = event.target.value;
  tell();
});
client.on("state", (state) => {
  byId("state").textContent = state;
});
// After a long sleep the server has let this page's key go.
client.on("session", tell);
// Who leaves is gone at once; who comes back by the browser's own memory begins anew.
addEventListener("pagehide", () => client.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());

tell();
for await (const event of client.watch({ prefix: PREFIX }, { content: true, latest: true })) {
  if (event.type === "entry") show(event.entry.key, event.entry.json());
  else if (event.type === "put") show(event.key, event.entry.json());
  else if (event.type === "reset") [...people.keys()].forEach(hide);
  else if (event.type !== "caught-up") hide(event.key);
}
