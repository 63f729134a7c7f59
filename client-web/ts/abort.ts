// Signals, as everything that can be given up takes them.

/** Runs `then` once the signal fires, now if it has; gives back what no longer waits for it. */
export function onAbort(signal: AbortSignal | undefined, then: () => void): () => void {
  if (signal?.aborted) then();
  else signal?.addEventListener("abort", then, { once: true });
  return () => signal?.removeEventListener("abort", then);
}
