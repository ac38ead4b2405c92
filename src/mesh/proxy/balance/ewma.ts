/** Times the estimate that a failure counts for: relative, so that one among many successes is forgotten soon. */
const PENALTY = 4;
/** Milliseconds; no row of failures makes more of it. */
const MOST = 10_000;

/** Peak-EWMA: a latency estimate that jumps up with every slow answer and decays towards quick ones. Pure. */
export class PeakEwma {
  #cost: number;
  #stamp: number;
  #failed = Number.NEGATIVE_INFINITY;
  readonly #decay: number;

  /** Milliseconds: first guess and time constant. */
  constructor(now: number, initial = 1, decay = 10_000) {
    this.#cost = initial;
    this.#stamp = now;
    this.#decay = decay;
  }

  observe(now: number, latency: number): void {
    if (latency >= this.#cost) this.#cost = latency;
    else {
      const weight = Math.exp(-(now - this.#stamp) / this.#decay);
      this.#cost = this.#cost * weight + latency * (1 - weight);
    }
    this.#stamp = now;
  }

  /** No answer for so long, and none to come: no endpoint is quick because nobody waited for it. */
  waited(now: number, milliseconds: number): void {
    if (milliseconds <= this.at(now)) return;
    this.#cost = milliseconds;
    this.#stamp = now;
  }

  /**
   * What was asked at `since` has failed: that is slow, however soon it was known, or whoever fails at once would be asked most. Each
   * failure in a row counts for more; what was asked before one was known is part of that one.
   */
  failed(now: number, since: number): void {
    if (since < this.#failed) return;
    this.#failed = now;
    const cost = Math.max(this.at(now), now - since);
    this.#cost = Math.max(cost, Math.min(PENALTY * cost, MOST));
    this.#stamp = now;
  }

  /** The estimate at `now`: silence makes a bad endpoint worth trying again. */
  at(now: number): number {
    const idle = now - this.#stamp;
    return idle < 100 ? this.#cost : this.#cost * Math.exp(-idle / this.#decay);
  }
}

export interface Candidate {
  /** Requests in flight. */
  pending: number;
  /** Not offered before this moment, 0 = available. */
  evictedUntil: number;
  readonly latency: PeakEwma;
}

/** Expected cost of one more request. */
export function load(candidate: Candidate, now: number): number {
  return (candidate.latency.at(now) + 0.1) * (candidate.pending + 1);
}

/**
 * The less loaded of two random available candidates (power of two choices). When all are evicted, the one that is
 * due first is offered as a probe: failing fast without a try would never find out that it is back.
 */
export function pickTwo<T extends Candidate>(
  candidates: readonly T[],
  now: number,
  random: () => number,
  cost: (candidate: T, now: number) => number = load,
  excluded?: ReadonlySet<T>,
): T | undefined {
  const { length } = candidates;
  if (length === 0) return undefined;
  if (length === 1) {
    const only = candidates[0]!;
    return excluded?.has(only) ? undefined : only;
  }
  const first = Math.floor(random() * length);
  const other = Math.floor(random() * (length - 1));
  const a = candidates[first]!;
  const b = candidates[other >= first ? other + 1 : other]!;
  const aOk = a.evictedUntil <= now && !excluded?.has(a);
  const bOk = b.evictedUntil <= now && !excluded?.has(b);
  if (aOk && bOk) return cost(b, now) < cost(a, now) ? b : a;
  if (aOk) return a;
  if (bOk) return b;
  let best: T | undefined;
  for (let i = 0; i < length; i += 1) {
    const candidate = candidates[(first + i) % length]!;
    if (excluded?.has(candidate)) continue;
    if (candidate.evictedUntil <= now) {
      if (!best || best.evictedUntil > now || cost(candidate, now) < cost(best, now)) best = candidate;
    } else if (!best || best.evictedUntil > candidate.evictedUntil) best = candidate;
  }
  return best;
}
