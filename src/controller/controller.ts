import { WorkQueue } from '../kube/workqueue.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { isCode, toAppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { MetricsRegistry } from './metrics.ts';

export interface ReconcileResult {
  /** Milliseconds after which the key is looked at again although nothing changed. */
  requeueAfterMs?: number;
}

export interface ControllerOptions {
  name: string;
  /** Keys worked on at once; one key is never worked on twice at once. Default 1. */
  workers?: number;
  /** Brings one key closer to what is wanted. Throwing retries it with growing delays. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a reconcile that has nothing to say returns nothing
  reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult | undefined | void>;
  log: Logger;
  clock?: Clock;
  metrics?: MetricsRegistry;
  /** Milliseconds of the first retry and of the longest. */
  retry?: { initial: number; max: number };
}

/** The reconcile loop: keys in, one call of `reconcile` at a time for each, retries with back-off. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #clock: Clock;
  readonly #queue: WorkQueue;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#queue = new WorkQueue({
      clock: this.#clock,
      ...(options.retry ? { initialDelay: options.retry.initial, maxDelay: options.retry.max } : {}),
    });
    options.metrics?.gauge('weir_queue_length', 'Keys that wait for a worker.', () => [
      { labels: { controller: options.name }, value: this.#queue.length },
    ]);
  }

  enqueue(key: string): void {
    this.#queue.add(key);
  }

  enqueueAfter(key: string, milliseconds: number): void {
    this.#queue.addAfter(key, milliseconds);
  }

  /** Works until the signal aborts; resolves when the calls under way have returned. */
  async run(signal: AbortSignal): Promise<void> {
    const worker = async (): Promise<void> => {
      for (;;) {
        const key = await this.#queue.get(signal);
        if (key === undefined) return;
        try {
          await this.#work(key, signal);
        } finally {
          this.#queue.done(key);
        }
      }
    };
    await Promise.all(Array.from({ length: this.#options.workers ?? 1 }, worker));
    this.#queue.close();
  }

  async #work(key: string, signal: AbortSignal): Promise<void> {
    const { name, reconcile, log } = this.#options;
    const started = this.#clock.now();
    let outcome = 'success';
    try {
      const result = await reconcile(key, signal);
      this.#queue.forget(key);
      if (result?.requeueAfterMs !== undefined) this.#queue.addAfter(key, result.requeueAfterMs);
    } catch (thrown) {
      if (signal.aborted) return;
      outcome = 'error';
      const error = toAppError(thrown);
      this.#queue.addRateLimited(key);
      // Losing a race is everyday life and heals by looking again; anything else deserves a reader.
      if (isCode(thrown, 'Conflict')) log.debug({ controller: name, key, cause: error.message }, 'conflict');
      else log.warn({ controller: name, key, code: error.code, error }, 'reconcile failed');
    }
    this.#count(outcome, (this.#clock.now() - started) / 1000);
  }

  #count(result: string, seconds: number): void {
    const { metrics, name } = this.#options;
    const labels = { controller: name };
    metrics?.counter('weir_reconcile_total', 'Reconciles by result.').inc({ ...labels, result });
    metrics?.histogram('weir_reconcile_seconds', 'Duration of reconciles.').observe(seconds, labels);
  }
}
