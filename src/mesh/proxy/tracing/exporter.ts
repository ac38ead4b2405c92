/** Sends spans to a collector in batches, away from the hot path. What does not fit is dropped and counted: nothing waits. */
import type { Observation, Outcome } from '../observation.ts';
import { exportRequest, spanOf } from './otlp.ts';
import { post } from './post.ts';

export interface ExporterOptions {
  url: string;
  labels: Record<string, string>;
  /** Milliseconds between batches. */
  interval?: number;
  /** Spans of one batch, and spans that may wait. */
  batch?: number;
  queue?: number;
  /** Milliseconds before what could not be sent is sent again, the first time. */
  backoff?: number;
  problem?: (message: string) => void;
}

/** OTLP/HTTP: what the collector may take at another time. */
const RETRYABLE = new Set([429, 502, 503, 504]);
const TRIES = 3;

export class SpanExporter {
  readonly url: string;
  /** Spans by what became of them. */
  exported = 0;
  dropped = 0;
  readonly #options: Required<Omit<ExporterOptions, 'url'>>;
  #queue: [Observation, Outcome][] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  readonly #stopped = new AbortController();

  constructor({ url, ...options }: ExporterOptions) {
    this.url = url;
    this.#options = {
      interval: 1_000,
      batch: 512,
      queue: 2_048,
      backoff: 500,
      problem: () => {},
      ...options,
    };
  }

  add(observation: Observation, outcome: Outcome): void {
    const { queue, batch, interval } = this.#options;
    if (this.#stopped.signal.aborted || this.#queue.length >= queue) {
      this.dropped += 1;
      return;
    }
    this.#queue.push([observation, outcome]);
    if (this.#sending) return;
    if (this.#queue.length === batch) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#flush(), 0).unref();
    } else this.#timer ??= setTimeout(() => this.#flush(), interval).unref();
  }

  #flush(): void {
    this.#timer = undefined;
    if (this.#sending || this.#queue.length === 0) return;
    const batch = this.#queue.splice(0, this.#options.batch);
    this.#sending = this.#send(batch).finally(() => {
      this.#sending = undefined;
      if (this.#queue.length > 0)
        this.#timer ??= setTimeout(
          () => this.#flush(),
          this.#queue.length >= this.#options.batch ? 0 : this.#options.interval,
        ).unref();
    });
  }

  async #send(batch: [Observation, Outcome][]): Promise<void> {
    const body = exportRequest(
      batch.map(([observation, outcome]) => spanOf(observation, outcome)),
      this.#options.labels,
    );
    let problem = '';
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      if (attempt > 0) {
        await new Promise<void>((resolve) =>
          setTimeout(resolve, this.#options.backoff * 2 ** (attempt - 1)).unref(),
        );
        if (this.#stopped.signal.aborted) break;
      }
      try {
        const status = await post(this.url, body);
        if (status >= 200 && status < 300) {
          this.exported += batch.length;
          return;
        }
        problem = `it answered ${status}`;
        if (!RETRYABLE.has(status)) break;
      } catch (thrown) {
        problem = (thrown as Error).message;
      }
    }
    this.dropped += batch.length;
    this.#options.problem(problem);
  }

  /** Sends what waits, once, and takes no more. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#sending;
    clearTimeout(this.#timer);
    this.#stopped.abort();
    while (this.#queue.length > 0) await this.#send(this.#queue.splice(0, this.#options.batch));
  }
}
