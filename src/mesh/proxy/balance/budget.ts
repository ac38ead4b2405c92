import type { Policy } from '../../discovery/model.ts';

export type RetryBudgetPolicy = NonNullable<NonNullable<Policy['retries']>['budget']>;

/** A fifth of the requests plus ten a second. */
const DEFAULT: RetryBudgetPolicy = { percent: 20, minPerSecond: 10 };
/** Seconds' worth that may pile up, and at least this many retries, or else a small budget would allow none at once. */
const WINDOW = 10;
const LEAST = 10;

/** Bounds retries, so that they cannot multiply an overload. Pure; milliseconds. */
export class RetryBudget {
  #ratio = 0;
  #perSecond = 0;
  #most = 0;
  #tokens = 0;
  #stamp: number;

  constructor(now: number) {
    this.#stamp = now;
    this.rule(undefined, now);
    this.#tokens = this.#perSecond;
  }

  /** A policy begins to rule it, changes or ends: what has been saved up and used stays so. */
  rule(policy: RetryBudgetPolicy | undefined, now: number): void {
    this.#refill(now);
    const { percent, minPerSecond } = policy ?? DEFAULT;
    this.#ratio = percent / 100;
    this.#perSecond = minPerSecond;
    this.#most = percent + minPerSecond === 0 ? 0 : Math.max(LEAST, minPerSecond * WINDOW);
  }

  /** Called per request. */
  deposit(): void {
    if (this.#tokens < this.#most) this.#tokens += this.#ratio;
  }

  /** Whether a retry may be made at `now` (milliseconds). */
  withdraw(now: number): boolean {
    this.#refill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #refill(now: number): void {
    const earned = (Math.max(0, now - this.#stamp) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#most, this.#tokens + earned);
    this.#stamp = now;
  }
}
