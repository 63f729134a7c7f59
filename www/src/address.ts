// The page's address behind the `#`: which view is shown, and what in it. `#/k/KEY`, `#/p/PREFIX`,
// `#/metrics`; a query may say more, as `#/k/KEY?rev=7`.

/** What an address names. */
export interface Address {
  /** The first segment: a view's name, or a word that a view answers to. */
  readonly place: string;
  /** What stands behind it, as it is written there. */
  readonly rest: string;
  readonly query: URLSearchParams;
}

/** Reads `location.hash`. */
export function readAddress(hash: string): Address {
  const [, place = "", rest = "", query = ""] = /^#?\/?([^/?]*)\/?([^?]*)\??(.*)/.exec(hash) ?? [];
  return { place, rest, query: new URLSearchParams(query) };
}

/** Writes the address of a place; `rest` is encoded by the caller. */
export function writeAddress(place: string, rest = "", query: Record<string, string> = {}): string {
  const asked = new URLSearchParams(query).toString();
  return `#/${place}${rest === "" ? "" : `/${rest}`}${asked === "" ? "" : `?${asked}`}`;
}
