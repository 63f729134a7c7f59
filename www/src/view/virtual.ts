// A list of any length in a few elements: those that are seen, made once and filled anew as others come
// into sight. One row has the tab stop, which keys move. Knows where rows are and nothing of what is in them.

import { h, oncePerFrame } from "../dom.js";
import { Scroll } from "../model/scroll.js";

/** Rows drawn above and below those that are seen, so that a short scroll shows no gap. */
const MARGIN = 6;

export interface Rows<E extends HTMLElement> {
  /** How high every row is, in pixels. */
  readonly height: number;
  make(): E;
  /** Shows the row at this place in an element, whose tab stop is taken care of. */
  fill(element: E, index: number): void;
  /** These are looked at now. */
  look?(from: number, to: number): void;
}

export class VirtualList<E extends HTMLElement> {
  /** Where the rows are; it is as high as all of them, and what scrolls is around it. */
  readonly body = h("div.rows", { role: "presentation" });
  readonly draw = oncePerFrame(() => this.drawNow());
  readonly #scroll = new Scroll();
  readonly #elements: E[] = [];
  #count = 0;
  /** The row that has the tab stop. */
  #current = 0;

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
    this.current = this.#current;
  }

  get current(): number {
    return this.#current;
  }

  set current(index: number) {
    this.#current = Math.max(0, Math.min(index, this.#count - 1));
  }

  /** How many rows a key goes on; undefined of one that goes nowhere. */
  step({ key }: KeyboardEvent): number | undefined {
    const page = Math.max(1, Math.floor(this.#view / this.rows.height) - 1);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.#count,
      End: this.#count,
    };
    return steps[key];
  }

  /** Brings the row with the tab stop into sight, and the focus to it. */
  focus(): void {
    this.reveal();
    this.#elements.find((element) => element.isConnected && this.indexOf(element) === this.#current)?.focus();
  }

  /** The row that an element shows. */
  indexOf(element: HTMLElement): number {
    return Number(element.dataset["index"]);
  }

  /** Scrolls as little as shows the row with the tab stop whole. */
  reveal(): void {
    const { height } = this.rows;
    const at = this.#current * height;
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
    this.body.style.height = `${this.#scroll.height}px`;
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
      element.style.transform = `translateY(${index * this.rows.height - this.#scroll.offset}px)`;
      element.tabIndex = index === this.#current ? 0 : -1;
      this.rows.fill(element, index);
    }
  }

  #scrolled(): void {
    const top = this.#scroll.moved(this.scroller.scrollTop);
    if (Math.abs(top - this.scroller.scrollTop) > 1) this.scroller.scrollTop = top;
    this.draw();
  }
}
