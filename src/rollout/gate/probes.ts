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

/** When three tries that all held began, and of which gate. */
interface Proof {
  version: string;
  at: number;
}

/**
 * Whether the gate of each Rollout was seen to hold. All Deployments of a namespace are named by one object, so three tries
 * in a row of any of them show that the API servers know every name that was written before: each other one is then tried once,
 * and waits for that while somebody's three are under way, unless the ones before did not hold.
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
  readonly #proven = new Map<string, Proof>();
  /** Who is at its three, by namespace, and where they failed last. */
  readonly #proving = new Map<string, Started>();
  readonly #open = new Set<string>();
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
    for (const [namespace, started] of this.#proving)
      if (started === this.#running.get(key)) this.#proving.delete(namespace);
    this.#last.delete(key);
    this.#named.delete(key);
    this.#pending.delete(key);
    this.#running.delete(key);
  }

  clear(): void {
    for (const map of [this.#last, this.#named, this.#pending, this.#running, this.#proven]) map.clear();
    this.#proving.clear();
    this.#open.clear();
  }

  #next(): void {
    for (const [key, started] of this.#pending) {
      if (this.#busy >= AT_ONCE) return;
      const { namespace, version } = started.target;
      const known = this.#known(key, started.target);
      if (!known && version !== undefined && !this.#open.has(namespace)) {
        if (this.#proving.has(namespace)) continue;
        this.#proving.set(namespace, started);
      }
      this.#pending.delete(key);
      this.#running.set(key, started);
      this.#busy += 1;
      void this.#run(key, started, known).finally(() => {
        this.#busy -= 1;
        if (this.#proving.get(namespace) === started) this.#proving.delete(namespace);
        if (this.#running.get(key) === started) {
          this.#running.delete(key);
          if (!started.signal.aborted) this.#options.done(key);
        }
        this.#next();
      });
    }
  }

  /** Whether the API servers were seen to know its name. */
  #known(key: string, { namespace, version }: GateTarget): boolean {
    const proven = this.#proven.get(namespace);
    return proven !== undefined && proven.version === version && proven.at > (this.#named.get(key) ?? 0);
  }

  async #run(key: string, started: Started, known: boolean): Promise<void> {
    const { target, signal } = started;
    const { namespace, version } = target;
    this.#step += 1;
    const at = this.#step;
    const probed = await this.#options.probe(target, known ? 1 : TRIES, signal);
    if (signal.aborted || this.#running.get(key) !== started) return;
    if (probed.holds) this.#open.delete(namespace);
    else this.#open.add(namespace);
    if (!probed.holds) this.#proven.delete(namespace);
    else if (!known && version !== undefined && at > (this.#proven.get(namespace)?.at ?? 0))
      this.#proven.set(namespace, { version, at });
    const failures = probed.holds ? 0 : (this.#last.get(key)?.failures ?? 0) + 1;
    this.#last.set(key, { ...probed, version, failures });
  }
}
