import { toAppError } from '../lib/errors.ts';
import { type Rank, Ranked } from './rank.ts';

export interface TurnsOptions {
  /** Calls at the same time: at first, at the least and at the most. */
  first: number;
  least: number;
  most: number;
  /** Milliseconds that only go forward. */
  now?: () => number;
}

/** So many calls wait behind others inside the server before it is asked for less, and so few before it is asked for more. */
const MANY = 12;
const FEW = 6;
/** Steps down for one step up. */
const LESS = 4;
/** What a lone call takes is learnt anew after so many answers, for it may have moved; not all at once, for none of them was alone. */
const FORGET = 5000;
const DRIFT = 1.5;

/**
 * How many calls a server is asked at the same time; the others wait here, by rank and in the order in which they came.
 * TCP Vegas's rule: with `limit` calls under way that take `took`, where a lone one takes `base`, limit * (1 - base / took) of them
 * wait inside the server. More at once than it can work on make every answer late, also those that somebody else waits for, and
 * none of them earlier. A server that is far away takes long for a lone call too, and is asked as much as `most`.
 */
export class Turns {
  readonly #options: Required<TurnsOptions>;
  readonly #waiting = new Ranked<() => void>();
  #limit: number;
  #busy = 0;
  #held = false;
  /** The quickest answer lately, and how many there were since that was begun anew. */
  #base = Number.POSITIVE_INFINITY;
  #next = Number.POSITIVE_INFINITY;
  #answers = 0;

  constructor(options: TurnsOptions) {
    this.#options = { now: () => performance.now(), ...options };
    this.#limit = options.first;
  }

  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** Waits for a turn; what it resolves with gives it back. */
  async take(signal?: AbortSignal, rank: Rank = 'later'): Promise<Turn> {
    signal?.throwIfAborted();
    if (this.#busy < this.limit && (!this.#held || rank === 'urgent')) this.#busy += 1;
    else await this.#wait(rank, signal);
    const began = this.#options.now();
    return {
      answered: () => this.#learn(this.#options.now() - began),
      end: () => this.#end(),
    };
  }

  #wait(rank: Rank, signal?: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const turn = () => {
        signal?.removeEventListener('abort', aborted);
        resolve();
      };
      const aborted = () => {
        this.#waiting.remove(turn, rank);
        reject(toAppError(signal!.reason, 'Aborted'));
      };
      this.#waiting.push(turn, rank);
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  /**
   * While it is held, only what is urgent is asked for. After that little at a time at first: all who waited would come at once, and
   * put the server where it was.
   */
  hold(held: boolean): void {
    if (this.#held === held) return;
    this.#held = held;
    if (held) this.#limit = this.#options.least;
    else this.#hand();
  }

  #end(): void {
    this.#busy -= 1;
    this.#hand();
  }

  #hand(): void {
    while (this.#busy < this.limit) {
      const next = this.#waiting.shift(this.#held ? 'urgent' : undefined);
      if (!next) return;
      this.#busy += 1;
      next();
    }
  }

  #learn(took: number): void {
    const { least, most } = this.#options;
    this.#next = Math.min(this.#next, took);
    this.#base = Math.min(this.#base, took);
    this.#answers += 1;
    if (this.#answers >= FORGET) {
      this.#base = Math.min(this.#next, this.#base * DRIFT);
      this.#next = Number.POSITIVE_INFINITY;
      this.#answers = 0;
    }
    const inside = this.#busy * (1 - this.#base / Math.max(took, 1));
    // A share for each answer: one more, or a few less, in a round of all that are under way.
    if (inside > MANY) this.#limit = Math.max(least, this.#limit - LESS / this.#limit);
    else if (inside < FEW && this.#busy >= this.limit)
      this.#limit = Math.min(most, this.#limit + 1 / this.#limit);
  }
}

export interface Turn {
  /** The server has answered: how long it took is learnt. */
  answered(): void;
  /** Nothing is under way any more. */
  end(): void;
}
