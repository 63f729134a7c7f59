// Everything that the page can be told to do, each with a name and maybe a key. The palette, the help and
// the keyboard read the same list, so none of them can promise what another does not do.

/** Something to do. */
export interface Action {
  /** Which group the help puts it in: a view's title, or "Page". */
  readonly group: string;
  readonly title: string;
  /** `e`, `?`, `Ctrl-K`, or two keys one after the other as `g m`. */
  readonly keys?: string | undefined;
  run(): void;
  /** Whether it can be done now; without it, it always can. */
  ready?(): boolean;
  /** Works while somebody types in a field, too. */
  readonly whileTyping?: boolean | undefined;
}

/** A key as `KeyboardEvent` tells it. */
export interface Stroke {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
}

/** How long the first key of two is remembered. */
const SECOND_KEY_MS = 1500;

export class Actions {
  /** Whether keys without Ctrl do anything: speech input types letters that nobody means. */
  singleKeys = true;
  readonly #all: Action[] = [];
  #first: { name: string; until: number } | undefined;

  add(...actions: Action[]): void {
    this.#all.push(...actions);
  }

  /** Those that can be done now, in the order in which they were added. */
  now(): Action[] {
    return this.#all.filter((action) => action.ready?.() !== false);
  }

  /** All that have a key, for the help. */
  withKeys(): Action[] {
    return this.#all.filter((action) => action.keys !== undefined);
  }

  /** The action that a stroke at `now` asks for. The first key of two is remembered for a moment. */
  stroke(stroke: Stroke, typing: boolean, now: number): Action | undefined {
    const name = nameOf(stroke);
    if (name === undefined) return undefined;
    const first = this.#first && this.#first.until > now ? this.#first.name : undefined;
    this.#first = undefined;
    const chord = name.startsWith("Ctrl-") || name === "Escape";
    const able = this.now().filter(
      (action) => (!typing || action.whileTyping === true) && (chord || this.singleKeys),
    );
    const found =
      (first === undefined ? undefined : able.find(({ keys }) => keys === `${first} ${name}`)) ??
      able.find(({ keys }) => keys === name);
    if (!found && able.some(({ keys }) => keys?.startsWith(`${name} `))) {
      this.#first = { name, until: now + SECOND_KEY_MS };
    }
    return found;
  }
}

/** The actions whose title has all words of a query, best first: titles that begin with it lead. */
export function search(actions: readonly Action[], query: string): Action[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const textOf = ({ group, title }: Action) => `${title} ${group}`.toLowerCase();
  const rank = (action: Action) => (words[0] && textOf(action).startsWith(words[0]) ? 0 : 1);
  const found = actions.filter((action) => words.every((word) => textOf(action).includes(word)));
  return found.sort((a, b) => rank(a) - rank(b));
}

function nameOf({ key, ctrlKey, metaKey, altKey }: Stroke): string | undefined {
  if (altKey) return undefined;
  if (ctrlKey || metaKey) return key.length === 1 ? `Ctrl-${key.toUpperCase()}` : `Ctrl-${key}`;
  return key;
}
