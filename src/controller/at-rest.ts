import { restWhenQuiet } from '../lib/rest.ts';
import { returnMemory } from '../lib/return-memory.ts';

/** Bytes of heap that have come since the last time, and their share of it: what thousands of Rollouts hold takes a moment to look through. */
const WORTH = 32 * 2 ** 20;
const SHARE = 0.5;
const LOOK_MS = 2_000;
const APART_MS = 20_000;

/**
 * Gives memory back when there has been nothing to do for a while: V8 keeps the pages that a busy time has filled, and collects
 * little while nothing is allocated.
 */
export function giveBackAtRest(work: { readonly lastActivity: number }, signal: AbortSignal): void {
  const heap = () => process.memoryUsage().heapTotal;
  let left = 0;
  const stop = restWhenQuiet(
    {
      now: () => performance.now(),
      get lastActivity() {
        return work.lastActivity;
      },
    },
    (fresh) => {
      returnMemory(fresh);
      left = heap();
    },
    { everyMs: LOOK_MS, apartMs: APART_MS, worth: () => heap() - left >= Math.max(WORTH, left * SHARE) },
  );
  signal.addEventListener('abort', stop, { once: true });
}
