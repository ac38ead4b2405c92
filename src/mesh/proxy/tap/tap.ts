import type { AccessRecord } from '../access-log/line.ts';
import { RateLimit } from '../balance/rate-limit.ts';
import { matches, type TapFilter } from './filter.ts';

/** Somebody who watches: a stream that lines go to. False: it takes no more for now. */
export type Sink = (line: string) => boolean;

/** One live view of the requests of a proxy: filtered, at most so many a second, and never waited for. */
export class Tap {
  readonly #filter: TapFilter;
  readonly #limit: RateLimit;
  readonly #sink: Sink;
  readonly #now: () => number;
  #full = false;
  /** Matched and not shown, since the last line. */
  #skipped = 0;

  constructor(filter: TapFilter, sink: Sink, now: () => number) {
    this.#filter = filter;
    this.#sink = sink;
    this.#now = now;
    this.#limit = new RateLimit(
      { perSecond: filter.maxRps, burst: Math.max(1, Math.ceil(filter.maxRps)) },
      now(),
    );
  }

  offer(record: AccessRecord): void {
    if (!matches(this.#filter, record)) return;
    if (this.#full || !this.#limit.take(this.#now())) {
      this.#skipped += 1;
      return;
    }
    const shown = this.#skipped === 0 ? record : { ...record, skipped: this.#skipped };
    this.#skipped = 0;
    this.#full = !this.#sink(`${JSON.stringify(shown)}\n`);
  }

  /** The watcher reads again. */
  drained(): void {
    this.#full = false;
  }
}
