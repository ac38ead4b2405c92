/** Decides when a process that has nothing to do gives memory back. */

/** Milliseconds from the start to the first look. */
const FIRST = 2_000;
/** Without anything new to do for so long it is quiet. */
const QUIET = 1_500;
/** Until what a process does only once in its first seconds is over. */
const SETTLED = 60_000;
/** So many requests between two looks are load: what it has compiled it needs again, unless it stays away for so many milliseconds. */
const LOAD = 100;
const AWAY = 30_000;

/** What has a clock, milliseconds, and knows when it was last busy by it. */
export interface Busy {
  now(): number;
  readonly lastActivity: number;
  /** Served so far, by what serves any. */
  readonly requests?: number;
}

export interface RestOptions {
  /** Milliseconds between two looks. */
  everyMs?: number;
  /** Milliseconds between two times; default: a minute, for probes of a kubelet come every few seconds for as long as the pod lives. */
  apartMs?: number;
  /** Whether there is anything to give back, after the first time; default: yes. */
  worth?: () => boolean;
}

/**
 * Calls `give` once it has become quiet after the start, a minute after that, for what a process does only once in its first
 * seconds, and again after it has been busy, where the load has not just paused; `fresh`: it has not been busy yet. Returns how to stop that.
 */
export function restWhenQuiet(
  process: Busy,
  give: (fresh: boolean) => void,
  { everyMs = 10_000, apartMs = SETTLED, worth = () => true }: RestOptions = {},
): () => void {
  let given: number | undefined;
  let fresh = true;
  let times = 0;
  let seen = 0;
  /** When there was load last. */
  let loaded = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout;
  const look = () => {
    const now = process.now();
    const { requests = 0 } = process;
    if (requests - seen >= LOAD) loaded = now;
    seen = requests;
    const busy = given !== undefined && process.lastActivity > given;
    fresh &&= !busy;
    const since = given === undefined ? Number.POSITIVE_INFINITY : now - given;
    const due = since >= apartMs && (busy || times === 0 || (times === 1 && since >= SETTLED));
    if (due && now - process.lastActivity >= QUIET && now - loaded >= AWAY && (times === 0 || worth())) {
      give(fresh);
      given = process.now();
      times += 1;
    }
    // Not quiet from the beginning.
    fresh &&= times > 0;
    timer = setTimeout(look, everyMs).unref();
  };
  timer = setTimeout(look, FIRST).unref();
  return () => clearTimeout(timer);
}
