/**
 * How long after a change of the admission objects the gate is tried again. An API server enforces from a cache of its own, which
 * it renews every second (`policyRefreshInterval` in k8s.io/apiserver), and the other API servers of a cluster learn of it through
 * their own watches: a gate that was removed still holds for a moment, and one that was put back does not hold yet.
 */
const STAGES_MS = [2_000, 10_000];

/**
 * A version that stays provisional until every API server must have taken it in: what was seen of the gate under a provisional
 * version is not relied on under the next one, so each stage has the gate tried once more.
 */
export class SettlingVersion {
  readonly #onChange: () => void;
  readonly #stages: number[];
  #seen: string | undefined;
  #current: string | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(onChange: () => void, stages: number[] = STAGES_MS) {
    this.#onChange = onChange;
    this.#stages = stages;
  }

  get current(): string | undefined {
    return this.#current;
  }

  seen(version: string): void {
    if (version === this.#seen) return;
    const first = this.#seen === undefined;
    this.#seen = version;
    this.stop();
    // The first one is what was there before this process: nothing changed under its eyes.
    if (first) {
      this.#become(version);
      return;
    }
    this.#become(`${version}~0`);
    this.#timers = this.#stages.map((ms, index) => {
      const last = index === this.#stages.length - 1;
      return setTimeout(() => this.#become(last ? version : `${version}~${index + 1}`), ms).unref();
    });
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }

  #become(version: string): void {
    this.#current = version;
    this.#onChange();
  }
}
