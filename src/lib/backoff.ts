/** Exponential back-off in milliseconds with full jitter between half and the whole of each step. */
export interface BackoffOptions {
  initial: number;
  max: number;
  factor?: number;
  /** Source of randomness in [0, 1). */
  random?: () => number;
}

export class Backoff {
  readonly #options: Required<BackoffOptions>;
  #attempt = 0;

  constructor(options: BackoffOptions) {
    this.#options = { factor: 2, random: Math.random, ...options };
  }

  /** The next delay in milliseconds; each call grows the one after it, up to `max`. */
  next(): number {
    const { initial, max, factor, random } = this.#options;
    const whole = Math.min(max, initial * factor ** this.#attempt);
    if (whole < max) this.#attempt += 1;
    return whole / 2 + (whole / 2) * random();
  }

  reset(): void {
    this.#attempt = 0;
  }
}
