const EXPIRES_MS = 30_000;

interface Expectation {
  creations: Set<string>;
  deletions: Set<string>;
  at: number;
}

/**
 * What this process has written for each owner and not yet seen in its store. Acting before that would create a second
 * pod for one that exists already. An expectation whose event never comes expires.
 */
export class Expectations {
  readonly #byOwner = new Map<string, Expectation>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  #of(owner: string): Expectation {
    let found = this.#byOwner.get(owner);
    if (!found) {
      found = { creations: new Set(), deletions: new Set(), at: 0 };
      this.#byOwner.set(owner, found);
    }
    found.at = this.#now();
    return found;
  }

  expectCreation(owner: string, podKey: string): void {
    this.#of(owner).creations.add(podKey);
  }

  expectDeletion(owner: string, podKey: string): void {
    this.#of(owner).deletions.add(podKey);
  }

  /** The pod was seen, or the write failed. */
  observe(owner: string, change: 'creation' | 'deletion', podKey: string): void {
    const found = this.#byOwner.get(owner);
    if (!found) return;
    (change === 'creation' ? found.creations : found.deletions).delete(podKey);
    if (found.creations.size === 0 && found.deletions.size === 0) this.#byOwner.delete(owner);
  }

  pending(owner: string): boolean {
    const found = this.#byOwner.get(owner);
    if (!found) return false;
    if (this.#now() - found.at <= EXPIRES_MS) return true;
    this.#byOwner.delete(owner);
    return false;
  }

  forget(owner: string): void {
    this.#byOwner.delete(owner);
  }
}
