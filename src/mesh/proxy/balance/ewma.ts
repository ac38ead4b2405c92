/** Failures in a row after which an endpoint is asked only while no other is better. One among successes says little. */
const ROW = 3;
/** Milliseconds; twice as long with each further failure, up to so long: whoever works again is soon asked again. */
const SPELL = 1_000;
const LONGEST_SPELL = 10_000;
/** Milliseconds that an answer is expected to take meanwhile. */
const UNLIKELY = 10_000;

/**
 * Peak-EWMA: a latency estimate that jumps up with every slow answer and decays towards quick ones. An endpoint that fails is not
 * quick, however soon it does: failures lower no estimate, and a row of them puts the endpoint behind all others for a spell. Pure.
 */
export class PeakEwma {
  #cost: number;
  #stamp: number;
  #failures = 0;
  /** When the last one was known. */
  #failed = Number.NEGATIVE_INFINITY;
  #behindUntil = 0;
  readonly #decay: number;

  /** Milliseconds: first guess and time constant. */
  constructor(now: number, initial = 1, decay = 10_000) {
    this.#cost = initial;
    this.#stamp = now;
    this.#decay = decay;
  }

  observe(now: number, latency: number): void {
    if (this.#failures > 0 && now - latency >= this.#failed) {
      this.#failures = 0;
      this.#behindUntil = 0;
    }
    if (latency >= this.#cost) this.#cost = latency;
    else {
      const weight = Math.exp(-(now - this.#stamp) / this.#decay);
      this.#cost = this.#cost * weight + latency * (1 - weight);
    }
    this.#stamp = now;
  }

  /** No answer for so long, and none to come: no endpoint is quick because nobody waited for it. */
  waited(now: number, milliseconds: number): void {
    if (milliseconds <= this.#estimate(now)) return;
    this.#cost = milliseconds;
    this.#stamp = now;
  }

  /** What was asked at `since` has failed. Those that were asked before one was known are one with it. */
  failed(now: number, since: number): void {
    this.waited(now, now - since);
    if (since < this.#failed) return;
    this.#failed = now;
    this.#failures += 1;
    if (this.#failures < ROW) return;
    this.#behindUntil = now + Math.min(LONGEST_SPELL, SPELL * 2 ** (this.#failures - ROW));
  }

  /** The estimate at `now`: silence makes a bad endpoint worth trying again. */
  at(now: number): number {
    const estimate = this.#estimate(now);
    return now < this.#behindUntil ? Math.max(estimate, UNLIKELY) : estimate;
  }

  #estimate(now: number): number {
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
