// The entry `tidekeep/offline`: what outlives the page, in IndexedDB. One row a mutation, keyed by
// place; the rows of a batch in one transaction that is on the disk when it is said to be. A place has
// one owner: a Web Lock keeps others out, and each transaction makes sure that nobody took it over.

import { readRows, writeRows } from "./offline/rows.js";
import type { OfflinePlace, OfflineStorage } from "./types.js";

export { readRows, writeRows } from "./offline/rows.js";
export type { Row } from "./offline/rows.js";
export type { OfflinePlace, OfflineStorage } from "./types.js";

/** How long the page before this one may take to let go of a place. */
const GRACE_MS = 2000;
const VIEWS_MAX = 32;

/** Where in the browser. */
export interface IndexedDbOptions {
  /** The database's name. Default "tidekeep". */
  database?: string;
  /** Most copies of views in one place; the oldest goes. Default 32. */
  views?: number;
}

/** Keeps the queue and views in the browser's IndexedDB, for `ConnectOptions.offline`. */
export function indexedDb(options: IndexedDbOptions = {}): OfflineStorage {
  const { database = "tidekeep", views = VIEWS_MAX } = options;
  return {
    async open(place, takeOver) {
      const release = await hold(JSON.stringify([database, place]), takeOver);
      try {
        const opened = new IndexedPlace(database, place, views, release);
        await opened.own();
        return opened;
      } catch (error) {
        release();
        throw error;
      }
    },
  };
}

/** Takes the lock of a place; gives back what releases it. */
async function hold(name: string, takeOver: boolean): Promise<() => void> {
  const { locks } = navigator;
  // Without locks (no https) the owner's mark alone keeps two apart.
  if (!locks) return () => {};
  const options = takeOver ? { steal: true } : { signal: AbortSignal.timeout(GRACE_MS) };
  return new Promise((resolve, reject) => {
    const held = () => new Promise<void>((release) => resolve(release));
    locks.request(`tidekeep offline ${name}`, options, held).catch((cause) => {
      reject(new Error("another page has it open: share a connection (`tabs`)", { cause }));
    });
  });
}

class IndexedPlace implements OfflinePlace {
  readonly #database: string;
  readonly #place: string;
  readonly #views: number;
  readonly #release: () => void;
  readonly #owner = Math.random().toString(36).slice(2);
  #opened: Promise<IDBDatabase> | undefined;

  constructor(database: string, place: string, views: number, release: () => void) {
    this.#database = database;
    this.#place = place;
    this.#views = views;
    this.#release = release;
  }

  /** Marks the place as this one's. What an owner before still writes is refused. */
  async own(): Promise<void> {
    await this.#run(["places"], "readwrite", (stores) => {
      stores("places").put(this.#owner, this.#place);
    });
  }

  async rows(): Promise<Uint8Array> {
    let [ids, contents]: [IDBValidKey[], Uint8Array[]] = [[], []];
    await this.#run(["rows"], "readonly", (stores) => {
      const rows = stores("rows");
      rows.getAllKeys(this.#all()).onsuccess = ({ target }) => (ids = resultOf(target));
      rows.getAll(this.#all()).onsuccess = ({ target }) => (contents = resultOf(target));
    });
    const rows = ids.map((key, at) => ({ id: (key as [string, number])[1], content: contents[at] }));
    return writeRows(rows);
  }

  async store(batch: Uint8Array): Promise<void> {
    const rows = readRows(batch);
    await this.#owned(["rows"], (stores) => {
      for (const { id, content } of rows) {
        if (content) stores("rows").put(content, [this.#place, id]);
        else stores("rows").delete([this.#place, id]);
      }
    });
  }

  async load(view: Uint8Array): Promise<Uint8Array | undefined> {
    let saved: { copy: Uint8Array } | undefined;
    await this.#run(["views"], "readonly", (stores) => {
      stores("views").get(this.#key(view)).onsuccess = ({ target }) => (saved = resultOf(target));
    });
    return saved?.copy;
  }

  async save(view: Uint8Array, copy: Uint8Array): Promise<void> {
    const row = { place: this.#place, at: Date.now(), copy: copy.slice() };
    // By itself and committed at once: a page that is being left does not come to a second request. An
    // older copy than the one before would do no harm.
    await this.#run(["views"], "readwrite", (stores, transaction) => {
      stores("views").put(row, this.#key(view));
      transaction.commit();
    });
    await this.#run(["views"], "readwrite", (stores) => {
      const views = stores("views");
      views.index("age").getAllKeys(this.#all()).onsuccess = ({ target }) => {
        const keys: IDBValidKey[] = resultOf(target);
        for (const key of keys.slice(0, Math.max(0, keys.length - this.#views))) views.delete(key);
      };
    });
  }

  async close(): Promise<void> {
    this.#release();
    (await this.#opened?.catch(() => undefined))?.close();
  }

  #key(view: Uint8Array): IDBValidKey {
    return [this.#place, view.slice()];
  }

  #all(): IDBKeyRange {
    return IDBKeyRange.bound([this.#place], [this.#place, []]);
  }

  /** Runs a transaction that does nothing when another page has taken the place over. */
  async #owned(
    names: string[],
    work: (stores: (name: string) => IDBObjectStore) => void,
  ): Promise<void> {
    let lost = false;
    const checked = (stores: (name: string) => IDBObjectStore, transaction: IDBTransaction) => {
      const places = stores("places");
      places.get(this.#place).onsuccess = ({ target }) => {
        const owner: string | undefined = resultOf(target);
        lost = owner !== undefined && owner !== this.#owner;
        if (lost) return transaction.abort();
        // Cleared by the user: begins again.
        if (owner === undefined) places.put(this.#owner, this.#place);
        work(stores);
      };
    };
    try {
      await this.#run([...names, "places"], "readwrite", checked, "strict");
    } catch (error) {
      throw lost ? new Error("another page has taken over what is stored") : error;
    }
  }

  async #run(
    names: string[],
    mode: IDBTransactionMode,
    work: (stores: (name: string) => IDBObjectStore, transaction: IDBTransaction) => void,
    durability: IDBTransactionDurability = "default",
  ): Promise<void> {
    const database = await (this.#opened ??= this.#openDatabase());
    const transaction = database.transaction(names, mode, { durability });
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("IndexedDB gave up"));
      work((name) => transaction.objectStore(name), transaction);
    });
  }

  async #openDatabase(): Promise<IDBDatabase> {
    const forget = () => (this.#opened = undefined);
    try {
      return await new Promise((resolve, reject) => {
        const request = indexedDB.open(this.#database, 1);
        request.onupgradeneeded = () => {
          const database = request.result;
          database.createObjectStore("places");
          database.createObjectStore("rows");
          database.createObjectStore("views").createIndex("age", ["place", "at"]);
        };
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          const database = request.result;
          database.onclose = forget;
          database.onversionchange = () => {
            forget();
            database.close();
          };
          resolve(database);
        };
      });
    } catch (error) {
      forget();
      throw error;
    }
  }
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- IndexedDB's results have no types
function resultOf(target: EventTarget | null): any {
  return (target as IDBRequest).result;
}
