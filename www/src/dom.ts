// Elements made by hand: the page runs under Trusted Types, so nothing is ever parsed from text.

/** How long a file's address stays: the browser begins to read at once, and it may be long. */
const DOWNLOAD_MS = 60_000;

export type Child = Node | string | false | undefined;
export type Props = Record<string, string | number | boolean | ((event: never) => void) | undefined>;

/** Makes an element, as `h("p.soft", { role: "status" }, "text")`. False and undefined are no children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K | `${K}.${string}`,
  ...parts: [Props, ...Child[]] | Child[]
): HTMLElementTagNameMap[K] {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag as K);
  if (classes.length > 0) element.className = classes.join(" ");
  const [first, ...rest] = parts;
  const props = first?.constructor === Object ? first as Props : undefined;
  if (props) set(element, props);
  const children = (props ? rest : parts) as Child[];
  element.append(...children.filter((child) => child !== false && child !== undefined));
  return element;
}

/**
 * Gives an element attributes; functions are listeners by their event's name. Undefined takes an attribute
 * away, as false does, but that those of ARIA are written out.
 */
export function set(element: HTMLElement | SVGElement, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value as EventListener);
    else if (value === undefined) element.removeAttribute(name);
    // A style attribute is against the policy; a property set by script is not.
    else if (name.startsWith("--")) element.style.setProperty(name, String(value));
    else if (typeof value === "boolean" && !name.startsWith("aria-")) element.toggleAttribute(name, value);
    else element.setAttribute(name, String(value));
  }
}

/** Puts a text in a place if it is another: screen readers hear of whatever is written. */
export function say(place: Element, text: string): void {
  if (place.textContent !== text) place.textContent = text;
}

/** A button that submits nothing. */
export function button(name: string, click?: () => void, props: Props = {}): HTMLButtonElement {
  return h("button", { type: "button", click, ...props }, name);
}

/** A field for a line that the browser neither completes nor corrects. */
export function textField(props: Props): HTMLInputElement {
  return h("input", { autocomplete: "off", spellcheck: "false", ...props });
}

/** The element with this id, which index.html has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element as T;
}

/** Gives a file to whoever sits before the page. */
export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_MS);
}

/** Calls `draw` once before the next frame, however often it is asked. */
export function oncePerFrame(draw: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
