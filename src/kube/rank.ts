/**
 * What goes before what when not all can be done at once: traffic that is to be taken away from a canary, then what has begun and
 * stands between a change and its first weight, then what may have to begin, then all else.
 */
export type Rank = 'urgent' | 'soon' | 'next' | 'later';

/** What waits, by rank, and in the order in which it came. */
export class Ranked<T> {
  readonly #lines: Record<Rank, T[]> = { urgent: [], soon: [], next: [], later: [] };

  get length(): number {
    const { urgent, soon, next, later } = this.#lines;
    return urgent.length + soon.length + next.length + later.length;
  }

  push(item: T, rank: Rank): void {
    this.#lines[rank].push(item);
  }

  /** The next one; `only`: of this rank. */
  shift(only?: Rank): T | undefined {
    if (only) return this.#lines[only].shift();
    const { urgent, soon, next, later } = this.#lines;
    return urgent.shift() ?? soon.shift() ?? next.shift() ?? later.shift();
  }

  /** True if it waited there. */
  remove(item: T, rank: Rank): boolean {
    const line = this.#lines[rank];
    const at = line.indexOf(item);
    if (at >= 0) line.splice(at, 1);
    return at >= 0;
  }
}
