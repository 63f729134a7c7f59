// What every view of the page is: one of the tabs at the top, with a place in the address.

import type { Address } from "../address.js";

export interface View {
  /** Its place in the address, as `metrics` in `#/metrics`. */
  readonly name: string;
  /** What its tab says. */
  readonly title: string;
  /** The key behind `g` that leads to it. */
  readonly key: string;
  /** Other first segments that it answers to. */
  readonly places?: readonly string[];
  /** All that it draws into. It is in the page all the time, and hidden while another view is shown. */
  readonly element: HTMLElement;
  /** It is shown now, or its address has changed. */
  show(address: Address): void;
  /** Another view is shown. */
  hide?(): void;
  /** Brings what it shows up to date: at most once per frame, and only while it is shown. */
  draw?(): void;
}
