// Elements of SVG, made as `h` makes those of HTML.

import { set } from "../dom.js";
import type { Props } from "../dom.js";

/** Makes an element of SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Node[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, props);
  element.append(...children);
  return element;
}
