/** Time as an argument. `now` is milliseconds since the epoch; `sleep` rejects with AbortError when aborted. */
export interface Clock {
  now(): number;
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** What one timer of Node can hold, 24 days; with more it would fire at once, and whoever waits for a date would spin. */
const LONGEST = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortError());
      let timer: NodeJS.Timeout;
      const onAbort = () => {
        clearTimeout(timer);
        reject(abortError());
      };
      const wait = (left: number) => {
        timer = setTimeout(
          () => {
            if (left > LONGEST) return wait(left - LONGEST);
            signal?.removeEventListener('abort', onAbort);
            resolve();
          },
          Math.min(left, LONGEST),
        );
      };
      wait(milliseconds);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};

/** Milliseconds since some moment, for how long something took: nobody sets it, as people and NTP do the other. */
export const steadyClock: Clock = { ...systemClock, now: () => performance.now() };

function abortError(): Error {
  return new DOMException('stopped', 'AbortError');
}

/** A clock for tests: time moves only by `advance`, which also wakes the sleepers that are due, in order. */
export class FakeClock implements Clock {
  #now: number;
  #sleepers: { due: number; wake: () => void }[] = [];

  constructor(now = Date.parse('2026-01-05T12:00:00Z')) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortError());
      const sleeper = { due: this.#now + milliseconds, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(abortError());
      });
    });
  }

  get sleeping(): number {
    return this.#sleepers.length;
  }

  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const next = this.#sleepers.filter((sleeper) => sleeper.due <= end).sort((a, b) => a.due - b.due)[0];
      if (!next) break;
      this.#now = Math.max(this.#now, next.due);
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== next);
      next.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#now = end;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
