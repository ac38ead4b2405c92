/** Decides when a proxy that has nothing to do gives memory back. */
import type { Runtime } from './runtime.ts';

/** Milliseconds from the start, or between two looks. */
const FIRST = 2_000;
const LOOK = 10_000;
/** Without a new request or connection for so long it is quiet. */
const QUIET = 1_500;
/** Between two times: probes of a kubelet come every few seconds for as long as the pod lives. */
const RARELY = 60_000;

/**
 * Calls `give` once it has become quiet after the start, a minute after that, for what a process does only once in its first
 * seconds, and again after it has been busy; `fresh`: it has not been busy yet. Returns how to stop that.
 */
export function restWhenQuiet(
  runtime: Pick<Runtime, 'now' | 'lastActivity'>,
  give: (fresh: boolean) => void,
): () => void {
  let given: number | undefined;
  let fresh = true;
  let times = 0;
  let timer: NodeJS.Timeout;
  const look = () => {
    const now = runtime.now();
    const busy = given !== undefined && runtime.lastActivity > given;
    fresh &&= !busy;
    const due = given === undefined || (now - given >= RARELY && (busy || times === 1));
    if (due && now - runtime.lastActivity >= QUIET) {
      give(fresh);
      given = runtime.now();
      times += 1;
    }
    // Not quiet from the beginning.
    fresh &&= times > 0;
    timer = setTimeout(look, LOOK).unref();
  };
  timer = setTimeout(look, FIRST).unref();
  return () => clearTimeout(timer);
}
