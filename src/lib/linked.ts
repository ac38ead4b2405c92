export interface Linked {
  /** Ends with the signal that it was made of, for the same reason, or by its own `abort`. */
  own: AbortController;
  /** Lets go of that signal, once the work is over. */
  unlink(): void;
}

/**
 * A controller of one's own that also ends with `signal`, at once if that has ended. Not AbortSignal.any(): whether such a one
 * has ended is asked of each that it is made of, and it stays with a long-lived signal until all garbage is collected, which
 * at rest is seldom.
 */
export function linked(signal: AbortSignal): Linked {
  const own = new AbortController();
  const abort = () => own.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return { own, unlink: () => signal.removeEventListener('abort', abort) };
}
