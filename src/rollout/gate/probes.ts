import type { Rank } from '../../kube/index.ts';
import type { GateProbe } from '../machine/types.ts';
import type { Probed } from './probe.ts';

/**
 * Dry runs of changes cost an API server what real ones do, and after a change of the policies every Rollout asks for some: so
 * few at a time, for what is urgent must not wait behind a thousand of them.
 */
const AT_ONCE = 8;
/** In a row: for a few milliseconds after the gate's data was written, some API servers do not know it yet. */
const TRIES = 3;

export interface GateTarget {
  namespace: string;
  deployment: string;
  /** Of the gate's admission objects; undefined: they cannot be watched. */
  version: string | undefined;
  /** Before which other calls it goes. */
  rank: Rank;
}

export interface GateProbesOptions {
  /** Tries so many times in a row. */
  probe: (target: GateTarget, tries: number, signal: AbortSignal) => Promise<Probed>;
  /** Called when there is an answer, or none could be had. */
  done: (key: string) => void;
}

interface Started {
  target: GateTarget;
  signal: AbortSignal;
}

/**
 * Whether the gate of each Rollout was seen to hold. All Deployments of a namespace are named by one object, so three tries
 * in a row of any of them show that the API servers know every name that was written before: each other one is then tried once.
 */
export class GateProbes {
  readonly #options: GateProbesOptions;
  readonly #last = new Map<string, GateProbe>();
  readonly #pending = new Map<string, Started>();
  /** By key; what was forgotten goes on unheard, and still counts as one of a few (#busy). */
  readonly #running = new Map<string, Started>();
  #busy = 0;
  /** When a name was written, and when three tries began that all held: in steps of #step, which no clock can set back. */
  readonly #named = new Map<string, number>();
  readonly #proven = new Map<string, { version: string; at: number }>();
  #step = 0;

  constructor(options: GateProbesOptions) {
    this.#options = options;
  }

  last(key: string): GateProbe | undefined {
    return this.#last.get(key);
  }

  /** The gate's data names the Rollout's Deployment from now on. */
  named(key: string): void {
    this.#step += 1;
    this.#named.set(key, this.#step);
  }

  start(key: string, target: GateTarget, signal: AbortSignal): void {
    if (this.#running.has(key)) return;
    // Who waits already keeps its place, and is tried of what the gate is now.
    this.#pending.set(key, { target, signal });
    this.#next();
  }

  forget(key: string): void {
    this.#last.delete(key);
    this.#named.delete(key);
    this.#pending.delete(key);
    this.#running.delete(key);
  }

  clear(): void {
    for (const map of [this.#last, this.#named, this.#pending, this.#running, this.#proven]) map.clear();
  }

  #next(): void {
    for (const [key, started] of this.#pending) {
      if (this.#busy >= AT_ONCE) return;
      this.#pending.delete(key);
      this.#running.set(key, started);
      this.#busy += 1;
      void this.#run(key, started).finally(() => {
        this.#busy -= 1;
        if (this.#running.get(key) === started) {
          this.#running.delete(key);
          if (!started.signal.aborted) this.#options.done(key);
        }
        this.#next();
      });
    }
  }

  async #run(key: string, started: Started): Promise<void> {
    const { target, signal } = started;
    const { namespace, version } = target;
    const proven = this.#proven.get(namespace);
    const known =
      proven !== undefined && proven.version === version && proven.at > (this.#named.get(key) ?? 0);
    this.#step += 1;
    const at = this.#step;
    const probed = await this.#options.probe(target, known ? 1 : TRIES, signal);
    if (signal.aborted || this.#running.get(key) !== started) return;
    if (!probed.holds) this.#proven.delete(namespace);
    else if (!known && version !== undefined && at > (this.#proven.get(namespace)?.at ?? 0))
      this.#proven.set(namespace, { version, at });
    const failures = probed.holds ? 0 : (this.#last.get(key)?.failures ?? 0) + 1;
    this.#last.set(key, { ...probed, version, failures });
  }
}
