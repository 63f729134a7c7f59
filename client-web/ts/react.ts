// The entry `tidekeep/react`: hooks over `tidekeep/observe`, with React's own way to follow what is
// outside of it. React is a peer: any version from 18 on.

import { createContext, createElement, useContext, useMemo, useSyncExternalStore } from "react";
import type { ReactElement, ReactNode } from "react";

import { observe } from "./observe.js";
import type { Bytes, Client, ConnectionState, Freshness, QueueInfo, Range } from "./types.js";
import type { ViewEntry, ViewOptions, ViewSnapshot } from "./types.js";

const Context = createContext<Client | undefined>(undefined);

/** Gives a client to all hooks below it. It stays yours to close. */
export function TidekeepProvider(props: {
  client: Client;
  children?: ReactNode;
}): ReactElement {
  return createElement(Context.Provider, { value: props.client }, props.children);
}

/** The client of the provider above. */
export function useClient(): Client {
  const client = useContext(Context);
  if (!client) throw new Error("there is no TidekeepProvider above this component");
  return client;
}

/** A key as it is now. */
export interface KeyState {
  /** Undefined when there is none, or none yet: `freshness` tells. */
  readonly entry: ViewEntry | undefined;
  readonly freshness: Freshness | "optimistic";
}

/** Follows one key. Renders again when it changes. */
export function useKey(key: Bytes, options?: Pick<ViewOptions, "persist">): KeyState {
  const snapshot = useRange({ key }, options);
  const freshness = snapshot.freshnessOf(key);
  return useMemo(() => ({ entry: snapshot.get(key), freshness }), [snapshot, freshness]);
}

/** Follows a range: all its entries, in key order. Components that name the same share one view. */
export function useRange(range: Range, options?: Pick<ViewOptions, "persist">): ViewSnapshot {
  const client = useClient();
  // The same every time the same range is named.
  const observed = observe(client, range, options);
  return useSyncExternalStore(observed.subscribe, observed.get, observed.get);
}

/** Where the client stands, and what waits in its queue. */
export interface Status extends QueueInfo {
  readonly state: ConnectionState;
}

/** Follows the connection and the queue. */
export function useStatus(): Status {
  const client = useClient();
  const status = useMemo(() => statusOf(client), [client]);
  return useSyncExternalStore(status.subscribe, status.get, status.get);
}

function statusOf(client: Client) {
  const look = (): Status => ({ state: client.state, ...client.queue.info });
  let now = look();
  return {
    get: () => now,
    subscribe(listener: () => void) {
      const changed = () => {
        now = look();
        listener();
      };
      const ends = [client.on("state", changed), client.queue.on("change", changed)];
      // What changed between the first look and now.
      now = look();
      return () => ends.forEach((end) => end());
    },
  };
}
