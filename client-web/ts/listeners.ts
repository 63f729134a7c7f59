// Who listens to what: the events of a connection, whether it is this page's own or another tab's.

import type { ConnectionEvents } from "./connection.js";

export class Listeners {
  /** Not `#`: those names are shortened class by class, and would meet those of a class on top. */
  private readonly listeners: { [event in string]?: Set<(...args: never[]) => void> } = {};

  /** Calls `listener` from now on; gives back what ends that. */
  on<K extends keyof ConnectionEvents>(event: K, listener: ConnectionEvents[K]): () => void {
    const listeners = (this.listeners[event] ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Listeners run later: what they throw or call must not meet the instance amid its turn. */
  emit<K extends keyof ConnectionEvents>(
    event: K,
    ...args: Parameters<ConnectionEvents[K]>
  ): void {
    for (const listener of this.listeners[event] ?? []) {
      queueMicrotask(() => (listener as (...args: unknown[]) => void)(...args));
    }
  }
}
