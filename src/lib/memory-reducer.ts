import { setFlagsFromString } from 'node:v8';

/** V8's memory reducer waits 8 s after a full collection before it begins with its own (`kLongDelayMs`, src/heap/memory-reducer.h). */
const BEFORE_REDUCER_S = 5;

/**
 * After each full collection V8 collects twice more where little is allocated, and finds nothing where a process collects by itself when it
 * has nothing to do (`restWhenQuiet`). To be called first of all: once V8 has begun with them it would end the process, so an older process
 * is left as it is. On the command line the flag would make node compile its own modules again.
 */
export function withoutMemoryReducer(): void {
  if (process.uptime() < BEFORE_REDUCER_S) setFlagsFromString('--memory-reducer-gc-count=0');
}
