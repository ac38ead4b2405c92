/** What a peer may do without asking for anything: so much at once, and so much a second from then on. Pure. */
export class Budget {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #stamp = -1;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
  }

  /** False when it is used up. `now` in milliseconds. */
  spend(now: number): boolean {
    if (this.#stamp < 0) this.#stamp = now;
    if (this.#tokens < 1) {
      const earned = ((now - this.#stamp) / 1000) * this.#perSecond;
      this.#tokens = Math.min(this.#burst, this.#tokens + earned);
      this.#stamp = now;
      if (this.#tokens < 1) return false;
    }
    this.#tokens -= 1;
    return true;
  }

  /** Something useful happened that entitles the peer to `count` more. */
  earn(count: number): void {
    if (this.#tokens < this.#burst) this.#tokens += count;
  }
}
