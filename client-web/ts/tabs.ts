// The entry `tidekeep/tabs`: all tabs of an origin share one connection. The tab that holds a Web Lock
// leads: it alone has an engine and a socket. The others give it encoded bodies and get encoded
// bodies; when it goes, the browser passes the lock on. Each tab also holds a lock of its own, by
// which the leader learns that it is gone. See tabs/words.ts for what is said.

import type { Connection, Kit } from "./connection.js";
import { Host } from "./tabs/host.js";
import type { Guest } from "./tabs/host.js";
import { Tab } from "./tabs/tab.js";
import type { Batch, Call, ToLeader, ToTab } from "./tabs/words.js";
import type { TabSharing } from "./types.js";

/** How often the leader is asked whether it is there, while something waits for it. */
const ASK_MS = 2000;
/** Unanswered questions after which another tab takes over from one that is frozen. */
const SILENT_MAX = 3;
/** Tabs do not take over all at once. */
const SPREAD_MS = 1000;

/** Which tabs share. */
export interface TabOptions {
  /**
   * Tabs of the same origin, the same server and the same name share a connection. Default: one name
   * for all. Give each user a name of their own where several sign in in one browser.
   */
  name?: string;
}

/**
 * For the option `tabs` of `connect`: all tabs that give it use one connection, that of the tab that
 * was there first, and go on with another one's when it is closed, crashes or freezes. Where there are
 * no Web Locks (Node, a page without https) each client has a connection of its own.
 */
export function tabs(options: TabOptions = {}): TabSharing {
  return {
    share(kit: Kit): Connection {
      if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) {
        return new kit.Engine(kit.parts);
      }
      const name = JSON.stringify(["tidekeep", options.name ?? "", ...kit.parts.urls]);
      return new Member(kit, name).tab;
    },
  };
}

/** A tab among those that share: joins whoever leads, and leads when its turn comes. */
class Member {
  readonly tab: Tab;
  readonly #kit: Kit;
  readonly #name: string;
  readonly #id = crypto.randomUUID();
  readonly #all: BroadcastChannel;
  readonly #own: BroadcastChannel;
  readonly #over = new AbortController();
  /** Whose words count. */
  #reign: string | undefined;
  /** While this tab leads. */
  #throne: Throne | undefined;
  #queued = false;
  #silent = 0;
  #looked = performance.now();
  readonly #timer = setInterval(() => this.#look(), ASK_MS);
  readonly #woke = () => {
    if (document.visibilityState !== "hidden") this.tab.woke();
  };

  constructor(kit: Kit, name: string) {
    this.#kit = kit;
    this.#name = name;
    // Nobody may ever lead from here; a failure to load is told by who does.
    kit.parts.module.catch(() => {});
    kit.parts.socket.catch(() => {});
    this.#all = new BroadcastChannel(name);
    this.#own = new BroadcastChannel(name + this.#id);
    this.tab = new Tab(kit, () => this.#leave());
    this.#all.onmessage = ({ data }) => this.#overhear(data);
    this.#own.onmessage = ({ data }) => this.#hear(data);
    globalThis.addEventListener("online", this.#woke);
    globalThis.document?.addEventListener("visibilitychange", this.#woke);
    void this.#live();
    this.#queue();
  }

  /** Holds the lock that says that this tab is alive, and asks to be served. */
  async #live(): Promise<void> {
    const { signal } = this.#over;
    await navigator.locks.request(this.#name + this.#id, () => {
      if (signal.aborted) return;
      this.#join();
      return new Promise<void>((over) => signal.addEventListener("abort", () => over()));
    });
  }

  #join(): void {
    if (!this.#throne) this.#call(["join", this.#id]);
  }

  /** Waits for its turn to lead. */
  #queue(): void {
    if (this.#queued || this.#over.signal.aborted) return;
    this.#queued = true;
    const lead = () => {
      this.#queued = false;
      return this.#lead();
    };
    navigator.locks
      .request(this.#name, { signal: this.#over.signal }, lead)
      .catch(() => this.#deposed());
  }

  /** Leads, until it is over. */
  async #lead(): Promise<void> {
    if (this.#throne || this.#over.signal.aborted) return;
    this.tab.orphan();
    const throne = new Throne(this.#kit, this.#name, this.tab);
    this.#throne = throne;
    this.#reign = throne.reign;
    this.#call(["lead", throne.reign]);
    await throne.over;
  }

  /** Another tab has taken the lock, for this one did not answer. */
  #deposed(): void {
    const throne = this.#throne;
    if (!throne) return;
    this.#throne = this.#reign = undefined;
    throne.fall();
    this.tab.orphan();
    this.#queue();
    this.#join();
  }

  #call(word: Call): void {
    if (!this.#over.signal.aborted) this.#all.postMessage(word);
  }

  #overhear([what, who]: Call): void {
    if (what === "join") return this.#throne?.admit(who);
    if (who === this.#reign) return;
    if (this.#throne) return this.#deposed();
    this.#reign = undefined;
    this.tab.orphan();
    this.#join();
  }

  #hear([reign, words]: Batch<ToTab>): void {
    const [first] = words;
    if (first?.[0] === "hello" && reign !== this.#reign && !this.#throne) {
      this.#reign = reign;
      this.tab.greet(first[1], (words) => this.#own.postMessage([reign, words]));
    }
    if (reign !== this.#reign) return;
    this.#silent = 0;
    this.tab.hear(words);
  }

  /** Looks after calls that are late, and whether the leader is there. */
  #look(): void {
    this.tab.expire();
    const now = performance.now();
    const slept = now - this.#looked > 2 * ASK_MS;
    this.#looked = now;
    // Who slept has not read the answers yet.
    if (slept || this.#throne || !this.tab.waits) this.#silent = 0;
    if (this.#throne || !this.tab.waits) return;
    if (++this.#silent > SILENT_MAX) {
      setTimeout(() => this.#silent > SILENT_MAX && this.#takeOver(), Math.random() * SPREAD_MS);
    }
    this.tab.tick();
  }

  /** Takes the lock from a leader that does not answer. */
  #takeOver(): void {
    if (this.#throne || this.#over.signal.aborted) return;
    this.#silent = 0;
    navigator.locks
      .request(this.#name, { steal: true }, () => this.#lead())
      .catch(() => this.#deposed());
  }

  /** The client is closed: others go on. */
  async #leave(): Promise<void> {
    clearInterval(this.#timer);
    globalThis.removeEventListener("online", this.#woke);
    globalThis.document?.removeEventListener("visibilitychange", this.#woke);
    const throne = this.#throne;
    await throne?.leave();
    // What was settled last is on its way to the other tabs.
    if (throne) await new Promise((sent) => setTimeout(sent));
    this.#over.abort();
    throne?.fall();
    this.#all.close();
    this.#own.close();
  }
}

/** What a leader has: the engine, and a channel to every tab. */
class Throne {
  readonly reign = crypto.randomUUID();
  /** Settles when the lock can go to the next. */
  readonly over: Promise<void>;
  readonly #name: string;
  readonly #host: Host;
  readonly #channels = new Map<string, BroadcastChannel>();
  readonly #fallen = new AbortController();

  constructor(kit: Kit, name: string, tab: Tab) {
    this.#name = name;
    // What closes this tab's client lets the engine go on until every tab's calls are settled.
    const options = { ...kit.parts.options, signal: undefined };
    const { signal } = this.#fallen;
    this.over = new Promise((over) => signal.addEventListener("abort", () => over()));
    this.#host = new Host(kit, new kit.Engine({ ...kit.parts, options, takeOver: true }));
    const hear = (words: ToTab[]) => signal.aborted || tab.hear(words);
    const guest: Guest = this.#host.admit(hear);
    tab.greet(this.#host.standing(), (words) => guest.hear(words));
  }

  /** Serves a tab until its lock is free: then it is gone. */
  admit(tab: string): void {
    if (this.#channels.has(tab)) return;
    const { reign } = this;
    const { signal } = this.#fallen;
    const channel = new BroadcastChannel(this.#name + tab);
    this.#channels.set(tab, channel);
    const guest = this.#host.admit((words) => {
      if (!signal.aborted) channel.postMessage([reign, words]);
    });
    channel.onmessage = ({ data: [whose, words] }: MessageEvent<Batch<ToLeader>>) => {
      if (whose === reign) guest.hear(words);
    };
    const gone = () => {
      guest.gone();
      channel.close();
      this.#channels.delete(tab);
    };
    navigator.locks.request(this.#name + tab, { signal }, gone).catch(() => {});
  }

  /** Lets what all tabs have under way settle. */
  leave(): Promise<void> {
    return this.#host.leave();
  }

  fall(): void {
    if (this.#fallen.signal.aborted) return;
    this.#fallen.abort();
    this.#host.dismiss();
    for (const channel of this.#channels.values()) channel.close();
  }
}
