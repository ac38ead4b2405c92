import type { Rank } from '../kube/index.ts';
import { WorkQueue } from '../kube/workqueue.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { isCode, toAppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';

export interface ReconcileResult {
  /** Look again after this many milliseconds, if nothing else happens before; the last reconcile of a key decides. */
  requeueAfterMs?: number;
}

export interface ControllerOptions {
  name: string;
  workers?: number;
  /** Before which others a key is taken; those that are urgent wait for no worker that is busy with something else. */
  rank?: (key: string) => Rank;
  /** Brings the world one step closer for one key. Throws AppError; retryable errors come back with growing delays. */
  reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | undefined> | Promise<void>;
  log: Logger;
  clock?: Clock;
  /** Told of every reconcile, for metrics. */
  onReconciled?: (outcome: { seconds: number; error: boolean }) => void;
}

/** Workers that take what is urgent only, beside those that take everything. */
const RESERVED = 4;
/** Milliseconds after which reconciles that wait for nothing let Node's loop have its turn. */
const HOLD_MS = 10;

/** The generic loop: a deduplicating queue and workers. One key is never reconciled by two workers at once. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;
  readonly #clock: Clock;
  /** When they did last, by the real clock: it is real work that holds up the loop. */
  #breath = 0;
  #lastActivity = performance.now();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { rank } = options;
    this.#queue = new WorkQueue({ clock: this.#clock, ...(rank ? { rank } : {}) });
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** When there was something to do last, by `performance.now`. */
  get lastActivity(): number {
    return this.#lastActivity;
  }

  enqueue(key: string): void {
    this.#lastActivity = performance.now();
    this.#queue.add(key);
  }

  /** Works until aborted; resolves when the reconciles in progress have ended. */
  async run(signal: AbortSignal): Promise<void> {
    const { workers = 4, rank } = this.#options;
    await Promise.all([
      ...Array.from({ length: workers }, () => this.#work(signal)),
      ...Array.from({ length: rank ? RESERVED : 0 }, () => this.#work(signal, 'urgent')),
    ]);
    this.#queue.close();
  }

  /**
   * A reconcile that finds nothing to do asks nobody, so a thousand of them would go by without Node's loop: no answer would be
   * read meanwhile and no timer run, the lease's among them.
   */
  async #breathe(): Promise<void> {
    if (performance.now() - this.#breath < HOLD_MS) return;
    await new Promise(setImmediate);
    this.#breath = performance.now();
  }

  async #work(signal: AbortSignal, only?: 'urgent'): Promise<void> {
    const { name, log, reconcile, onReconciled } = this.#options;
    for (;;) {
      const key = await this.#queue.get(signal, only);
      if (key === undefined) return;
      const started = this.#clock.now();
      let failed = false;
      try {
        const result = await reconcile(key, signal);
        this.#queue.forget(key);
        // It has seen all that an earlier one had set a wake-up for.
        this.#queue.unset(key);
        if (result?.requeueAfterMs !== undefined) this.#queue.addAfter(key, result.requeueAfterMs);
      } catch (thrown) {
        failed = true;
        const error = toAppError(thrown);
        if (signal.aborted && isCode(error, 'Aborted')) return;
        // A conflict only says that the cache was behind; the next look decides.
        if (error.code === 'Conflict') log.debug({ controller: name, key }, 'conflict, looking again');
        else log.error({ controller: name, key, error }, 'reconcile failed');
        if (error.retryable || error.code === 'NotFound') this.#queue.addRateLimited(key);
        else this.#queue.addAfter(key, 30_000);
      } finally {
        this.#queue.done(key);
        this.#lastActivity = performance.now();
        onReconciled?.({ seconds: (this.#clock.now() - started) / 1000, error: failed });
      }
      await this.#breathe();
    }
  }
}
