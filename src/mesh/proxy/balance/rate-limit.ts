import type { Policy } from '../../discovery/model.ts';

export type RateLimitPolicy = NonNullable<Policy['rateLimit']>;

/** A token bucket: `perSecond` on average, `burst` at once. Pure; milliseconds. */
export class RateLimit {
  readonly policy: RateLimitPolicy;
  #tokens: number;
  #stamp: number;

  constructor(policy: RateLimitPolicy, now: number) {
    this.policy = policy;
    this.#tokens = policy.burst;
    this.#stamp = now;
  }

  take(now: number): boolean {
    const { perSecond, burst } = this.policy;
    const refill = (Math.max(0, now - this.#stamp) / 1000) * perSecond;
    this.#tokens = Math.min(burst, this.#tokens + refill);
    this.#stamp = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
