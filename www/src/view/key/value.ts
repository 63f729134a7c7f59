// A value to be read: as text, as a JSON tree, as a hex dump, as base64. Nothing of it is changed.

import { button, h } from "../../dom.js";
import { hexDump, toBase64, toForm } from "../../model/value.js";
import type { Form } from "../../model/value.js";

/** What is shown at once of a long value; the rest is asked for. */
const TEXT_MAX = 100_000;
const DUMP_MAX = 16_384;
const CHILDREN_MAX = 100;
/** How deep a JSON tree is open at first, and how many parts an open one may have. */
const OPEN_DEPTH = 2;
const OPEN_PARTS = 40;

/** The value in a form; `raw` shows JSON as it is written. */
export function valueView(value: Uint8Array, form: Form, raw: boolean): HTMLElement {
  if (value.length === 0) return h("p.soft.value", "The value is empty.");
  if (form === "hex") return long(value.length, DUMP_MAX, (most) => hexDump(value, most));
  if (form === "base64") return long(value.length, TEXT_MAX, (most) => toBase64(value.subarray(0, most)));
  const text = toForm(value, "text");
  if (form === "json" && !raw) return h("div.value.box.json", part(JSON.parse(text), undefined, 0));
  return long(text.length, TEXT_MAX, (most) => text.slice(0, most));
}

function long(length: number, most: number, text: (most: number) => string): HTMLElement {
  const shown = h("pre.value.box", { tabindex: 0, role: "region", "aria-label": "Value" }, text(most));
  if (length <= most) return shown;
  const all = button("Show all of it", () => {
    shown.textContent = text(Infinity);
    all.remove();
  });
  return h("div", shown, all);
}

/** A part of a JSON value, its own parts made when it is opened. */
function part(value: unknown, name: string | undefined, depth: number): HTMLElement {
  const label = name === undefined ? "" : h("span.json-name", name);
  if (value === null || typeof value !== "object") {
    const kind = value === null ? "null" : typeof value;
    return h("div.json-leaf", label, h("span", { class: `json-${kind}` }, JSON.stringify(value)));
  }
  const list = Array.isArray(value);
  const parts = Object.entries(value);
  const count = list ? `[${parts.length}]` : `{${parts.length}}`;
  const details = h("details", h("summary", label, h("span.soft", count)));
  let filled = 0;
  const more = () => {
    const next = parts.slice(filled, filled + CHILDREN_MAX);
    filled += next.length;
    details.append(...next.map(([key, child]) => part(child, key, depth + 1)));
    if (filled >= parts.length) return;
    const on = button(`${parts.length - filled} more`, () => {
      on.remove();
      more();
    });
    details.append(on);
  };
  details.addEventListener("toggle", () => details.open && filled === 0 && more());
  if (depth < OPEN_DEPTH && parts.length <= OPEN_PARTS) {
    more();
    details.open = true;
  }
  return details;
}
