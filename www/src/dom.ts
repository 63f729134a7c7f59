// Elements made by hand: the page runs under Trusted Types, so nothing is ever parsed from text.

/** How long a file's address stays: the browser begins to read at once, and it may be long. */
const DOWNLOAD_MS = 60_000;

type Child = Node | string | false | undefined;
type Props = Record<string, string | number | boolean | ((event: never) => void) | undefined>;

/** Makes an element. Functions are listeners by their event's name; false and undefined are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) setAttribute(element, name, String(value));
  }
  element.append(...children.filter((child) => child !== false && child !== undefined));
  return element;
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

function setAttribute(element: HTMLElement, name: string, value: string): void {
  // A style attribute is against the policy; a property set by script is not.
  if (name.startsWith("--")) element.style.setProperty(name, value);
  else element.setAttribute(name, value);
}
