import { type Clock, systemClock } from '../lib/clock.ts';
import { type Rank, Ranked } from './rank.ts';

export interface WorkQueueOptions {
  clock?: Clock;
  /** Milliseconds of the first retry and of the longest; doubles between. */
  initialDelay?: number;
  maxDelay?: number;
  /** Before which others a key goes; asked whenever it is added. */
  rank?: (key: string) => Rank;
}

type Taker = (key: string) => void;

/** Otherwise each abort makes an error, with its stack, for nobody. */
const SUPERSEDED = 'another wake-up is set, or none';

/**
 * Keys to be worked on, as client-go's queue: a key waits at most once; a key that is added while it is worked on is handed
 * out again when that work is done, never to two workers at once; failures come back with growing delays. Keys go by
 * their rank, and workers may wait for urgent ones alone.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #initialDelay: number;
  readonly #maxDelay: number;
  readonly #rank: (key: string) => Rank;
  readonly #ready = new Ranked<string>();
  /** Under which rank each of them waits. */
  readonly #ranks = new Map<string, Rank>();
  readonly #dirty = new Set<string>();
  readonly #processing = new Set<string>();
  readonly #failures = new Map<string, number>();
  /** Earliest wake-up of each key that waits for its time. */
  readonly #waiting = new Map<string, { due: number; cancel: AbortController }>();
  readonly #takers: Taker[] = [];
  /** Those that take what is urgent, and nothing else. */
  readonly #reserved: Taker[] = [];

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#initialDelay = options.initialDelay ?? 20;
    this.#maxDelay = options.maxDelay ?? 60_000;
    this.#rank = options.rank ?? (() => 'later');
  }

  /** Keys ready to be taken. */
  get length(): number {
    return this.#ready.length;
  }

  add(key: string): void {
    if (this.#dirty.has(key)) {
      this.#promote(key);
      return;
    }
    this.#dirty.add(key);
    if (this.#processing.has(key)) return;
    this.#hand(key);
  }

  /** Adds the key after a delay in milliseconds; an earlier wake-up that is already set wins. */
  addAfter(key: string, milliseconds: number): void {
    if (milliseconds <= 0) {
      this.add(key);
      return;
    }
    const due = this.#clock.now() + milliseconds;
    const set = this.#waiting.get(key);
    if (set && set.due <= due) return;
    set?.cancel.abort(SUPERSEDED);
    const cancel = new AbortController();
    this.#waiting.set(key, { due, cancel });
    this.#clock.sleep(milliseconds, cancel.signal).then(
      () => {
        if (this.#waiting.get(key)?.cancel === cancel) this.#waiting.delete(key);
        this.add(key);
      },
      () => {},
    );
  }

  /** Forgets the wake-up that is set for the key. */
  unset(key: string): void {
    this.#waiting.get(key)?.cancel.abort(SUPERSEDED);
    this.#waiting.delete(key);
  }

  /** Adds the key after its own growing delay. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, Math.min(this.#maxDelay, this.#initialDelay * 2 ** failures));
  }

  /** The key succeeded: its next failure starts from the shortest delay. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /**
   * Waits for a key; `only`: an urgent one. Every key that was taken must be given back with `done`. Undefined when aborted.
   */
  get(signal: AbortSignal, only?: 'urgent'): Promise<string | undefined> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(undefined);
      const ready = this.#ready.shift(only);
      if (ready !== undefined) return resolve(this.#take(ready));
      const takers = only ? this.#reserved : this.#takers;
      const taker = (key: string) => {
        signal.removeEventListener('abort', onAbort);
        resolve(this.#take(key));
      };
      const onAbort = () => {
        takers.splice(takers.indexOf(taker), 1);
        resolve(undefined);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      takers.push(taker);
    });
  }

  done(key: string): void {
    this.#processing.delete(key);
    if (this.#dirty.has(key)) this.#hand(key);
  }

  /** Forgets every wake-up that is set. */
  close(): void {
    for (const { cancel } of this.#waiting.values()) cancel.abort();
    this.#waiting.clear();
  }

  #take(key: string): string {
    this.#dirty.delete(key);
    this.#ranks.delete(key);
    this.#processing.add(key);
    return key;
  }

  #hand(key: string): void {
    const rank = this.#rank(key);
    const taker = this.#takers.shift() ?? (rank === 'urgent' ? this.#reserved.shift() : undefined);
    if (taker) taker(key);
    else {
      this.#ready.push(key, rank);
      this.#ranks.set(key, rank);
    }
  }

  /** What waits already may have another rank by now. */
  #promote(key: string): void {
    const waits = this.#ranks.get(key);
    if (waits === undefined || waits === this.#rank(key)) return;
    if (this.#ready.remove(key, waits)) this.#hand(key);
  }
}
