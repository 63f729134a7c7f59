// A list of any length in a few elements: those that are seen, made once and filled anew as others come
// into sight. Knows where rows are and nothing of what is in them.

import { h, oncePerFrame } from "../dom.js";
import { Scroll } from "../model/scroll.js";

/** Rows drawn above and below those that are seen, so that a short scroll shows no gap. */
const MARGIN = 6;

export interface Rows<E extends HTMLElement> {
  /** How high every row is, in pixels. */
  readonly height: number;
  make(): E;
  /** Shows the row at this place in an element. */
  fill(element: E, index: number): void;
  /** These are looked at now. */
  look?(from: number, to: number): void;
}

export class VirtualList<E extends HTMLElement> {
  /** Where the rows are; it is as high as all of them, and what scrolls is around it. */
  readonly body = h("div", { class: "rows", role: "presentation" });
  readonly draw = oncePerFrame(() => this.drawNow());
  readonly #scroll = new Scroll();
  readonly #elements: E[] = [];
  #count = 0;

  constructor(
    readonly scroller: HTMLElement,
    readonly rows: Rows<E>,
  ) {
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.drawNow()).observe(scroller);
  }

  /** How many rows there are. */
  set count(count: number) {
    this.#count = count;
  }

  /** Rows that fit in at once. */
  get page(): number {
    return Math.max(1, Math.floor(this.#view / this.rows.height) - 1);
  }

  /** The element that shows a row, if it is drawn. */
  element(index: number): E | undefined {
    return this.#elements.find((element) => element.dataset["index"] === String(index) && element.isConnected);
  }

  /** Scrolls as little as shows a row whole. */
  reveal(index: number): void {
    const { height } = this.rows;
    const at = index * height;
    const top = this.scroller.scrollTop + this.#scroll.offset;
    let y: number | undefined;
    if (at < top) y = at;
    else if (at + height > top + this.#view) y = at + height - this.#view;
    if (y !== undefined) this.scroller.scrollTop = this.#scroll.to(Math.max(0, y));
    this.drawNow();
  }

  /** Goes to the top. */
  home(): void {
    this.scroller.scrollTop = this.#scroll.to(0);
  }

  drawNow(): void {
    const { height } = this.rows;
    this.#scroll.resize(this.#count * height, this.#view);
    this.body.style.setProperty("height", `${this.#scroll.height}px`);
    const top = this.scroller.scrollTop + this.#scroll.offset;
    const first = Math.max(0, Math.floor(top / height) - MARGIN);
    const last = Math.min(this.#count, Math.ceil((top + this.#view) / height) + MARGIN);
    this.rows.look?.(first, last);
    this.#show(first, last);
  }

  /** What of the scroller shows rows: a head may stand above them. */
  get #view(): number {
    return this.scroller.clientHeight;
  }

  /** A row keeps its element while it is in sight: focus and animations stay with it. */
  #show(first: number, last: number): void {
    const size = Math.max(last - first, this.#elements.length);
    while (this.#elements.length < size) {
      this.#elements.push(this.rows.make());
    }
    for (let slot = 0; slot < size; slot++) {
      const element = this.#elements[slot]!;
      const index = first + ((((slot - first) % size) + size) % size);
      if (index >= last) {
        element.remove();
        continue;
      }
      if (!element.isConnected) this.body.append(element);
      element.dataset["index"] = String(index);
      element.style.setProperty("transform", `translateY(${index * this.rows.height - this.#scroll.offset}px)`);
      this.rows.fill(element, index);
    }
  }

  #scrolled(): void {
    const top = this.#scroll.moved(this.scroller.scrollTop);
    if (Math.abs(top - this.scroller.scrollTop) > 1) this.scroller.scrollTop = top;
    this.draw();
  }
}
