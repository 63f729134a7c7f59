// A scroll bar for more rows than an element may be high. Near moves go pixel by pixel; far ones are scaled,
// and the bar is put where it belongs when it has come too far from there. Pure: where the bar stands goes
// in, the place among all rows comes out.

/** Browsers cut an element's height off somewhere above this, in pixels. */
export const HEIGHT_MAX = 8_000_000;
/** So far may the bar be from its true place, as a part of its whole way. */
const DRIFT_PART = 100;

export class Scroll {
  /** Pixels that are left out above: what is at `top` of the element is at `top + offset` of the whole. */
  offset = 0;
  #top = 0;
  #whole = 0;
  #view = 0;

  /** How high the scrolled element is to be. */
  get height(): number {
    return Math.min(this.#whole, HEIGHT_MAX);
  }

  /** How high all rows are together, and the part of them that is seen. */
  resize(whole: number, view: number): void {
    [this.#whole, this.#view] = [whole, view];
    if (whole <= HEIGHT_MAX) this.offset = 0;
  }

  /** The bar stands at `top`. Gives back where it is to be put, which is there but for what was said above. */
  moved(top: number): number {
    if (this.#whole <= HEIGHT_MAX) return (this.#top = top);
    const far = Math.abs(top - this.#top) > this.#view;
    this.#top = top;
    if (far) {
      this.offset = top / this.#scale - top;
      return top;
    }
    const y = Math.max(0, Math.min(top + this.offset, this.#whole - this.#view));
    const atEnd = top <= 0 || top >= HEIGHT_MAX - this.#view;
    const drift = Math.abs(y * this.#scale - top);
    return atEnd || drift > HEIGHT_MAX / DRIFT_PART ? this.to(y) : top;
  }

  /** Where the bar is to be put so that `y` of the whole is at the top. */
  to(y: number): number {
    this.#top = Math.round(y * this.#scale);
    const atEnd = this.#top === 0 || this.#top >= this.height - this.#view;
    this.offset = atEnd ? this.#top / this.#scale - this.#top : y - this.#top;
    return this.#top;
  }

  /** Pixels of the bar's way for one of the whole. */
  get #scale(): number {
    const room = this.#whole - this.#view;
    return this.#whole <= HEIGHT_MAX || room <= 0 ? 1 : (this.height - this.#view) / room;
  }
}
