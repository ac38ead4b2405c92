import type { Policy } from '../../discovery/model.ts';

/**
 * Passive health of one endpoint: a circuit breaker over its consecutive failures and its success rate. Pure; milliseconds.
 * After `eject` (twice as long each time in a row) one request is let through, and its outcome decides.
 */
export type BreakerPolicy = NonNullable<Policy['breaker']>;

const LONGEST_MS = 300_000;

export class Breaker {
  readonly policy: BreakerPolicy;
  readonly #random: () => number;
  #row = 0;
  #ejections = 0;
  #probing = false;
  /** Two half windows, so that the share looks back between a half and a whole one. */
  #since: number;
  #requests = [0, 0];
  #failures = [0, 0];
  /** Not closed: requests stay away until this moment, then one is tried. 0: closed. */
  openUntil = 0;

  constructor(policy: BreakerPolicy, now: number, random: () => number) {
    this.policy = policy;
    this.#random = random;
    this.#since = now;
  }

  get open(): boolean {
    return this.openUntil !== 0;
  }

  /** An answer or its absence. True: it opened, or stays open, until `openUntil`. */
  observe(success: boolean, now: number): boolean {
    this.#turn(now);
    this.#requests[0]! += 1;
    if (!success) this.#failures[0]! += 1;
    this.#row = success ? 0 : this.#row + 1;
    if (this.open) {
      // Late answers to what was sent before say nothing; the one that was tried does.
      if (now < this.openUntil && !this.#probing) return true;
      if (success) this.#close(now);
      else this.#eject(now);
    } else if (!success && this.#tripped()) this.#eject(now);
    return this.open;
  }

  /** One request is about to be tried: the others stay away until its outcome, or for another `eject` without one. */
  probe(now: number): void {
    this.#probing = true;
    this.openUntil = now + this.policy.eject;
  }

  #close(now: number): void {
    this.openUntil = 0;
    this.#ejections = 0;
    this.#row = 0;
    this.#probing = false;
    this.#since = now;
    this.#requests = [0, 0];
    this.#failures = [0, 0];
  }

  #tripped(): boolean {
    const { consecutive, successRate, minRequests } = this.policy;
    if (consecutive > 0 && this.#row >= consecutive) return true;
    const requests = this.#requests[0]! + this.#requests[1]!;
    if (successRate === 0 || requests < minRequests) return false;
    return 1 - (this.#failures[0]! + this.#failures[1]!) / requests < successRate;
  }

  #eject(now: number): void {
    const whole = Math.min(LONGEST_MS, this.policy.eject * 2 ** this.#ejections);
    this.#ejections += 1;
    this.#probing = false;
    // Spread, so that many proxies do not try at the same moment.
    this.openUntil = now + whole * (1 + this.#random() / 4);
  }

  #turn(now: number): void {
    const half = this.policy.window / 2;
    if (now - this.#since < half) return;
    const stale = now - this.#since >= this.policy.window;
    this.#requests = [0, stale ? 0 : this.#requests[0]!];
    this.#failures = [0, stale ? 0 : this.#failures[0]!];
    this.#since = now;
  }
}
