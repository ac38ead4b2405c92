import { setFlagsFromString } from 'node:v8';
import { restWhenQuiet } from '../lib/rest.ts';
import { returnMemory } from '../lib/return-memory.ts';

/** Bytes of heap that have come since the last time, and their share of it: what thousands of Rollouts hold takes a moment to look through. */
const WORTH = 32 * 2 ** 20;
const SHARE = 0.5;
const LOOK_MS = 2_000;
const APART_MS = 20_000;
/** V8's memory reducer waits 8 s after a full collection before it begins with its own. */
const BEFORE_REDUCER_S = 5;

/**
 * After each full collection V8 collects twice more where little is allocated, and finds nothing where `giveBackAtRest` has just been:
 * with a thousand Rollouts those two are a third of what a controller at rest does. To be called first of all: once V8 has begun with
 * them it would end the process.
 */
export function collectOnlyWhenQuiet(): void {
  if (process.uptime() < BEFORE_REDUCER_S) setFlagsFromString('--memory-reducer-gc-count=0');
}

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
