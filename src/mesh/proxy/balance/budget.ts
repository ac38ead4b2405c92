/** Retry budget: a fifth of the requests plus ten a second, so that retries cannot multiply an overload. Pure. */
const RATIO = 0.2;
const PER_SECOND = 10;
/** Seconds' worth that may pile up. */
const WINDOW = 10;

export class RetryBudget {
  #tokens = PER_SECOND;
  #stamp: number;

  constructor(now: number) {
    this.#stamp = now;
  }

  /** Called per request. */
  deposit(): void {
    if (this.#tokens < PER_SECOND * WINDOW) this.#tokens += RATIO;
  }

  /** Whether a retry may be made at `now` (milliseconds). */
  withdraw(now: number): boolean {
    this.#tokens = Math.min(
      PER_SECOND * WINDOW,
      this.#tokens + (Math.max(0, now - this.#stamp) / 1000) * PER_SECOND,
    );
    this.#stamp = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
