/** Clients whose TLS handshake came to nothing: counted, and told of in the log without filling it. */
import type { Logger } from '../../lib/log.ts';
import type { ProxyMetrics } from './metrics/registry.ts';
import type { Refusal } from './transport/refusal.ts';

/** Milliseconds between two lines about one cause. */
const EVERY = 10_000;

export class Refusals {
  readonly #metrics: ProxyMetrics;
  readonly #log: Logger;
  readonly #now: () => number;
  /** By cause: when the last line was, and how many there were since. */
  readonly #told = new Map<string, { at: number; since: number }>();

  constructor(metrics: ProxyMetrics, log: Logger, now: () => number) {
    this.#metrics = metrics;
    this.#log = log;
    this.#now = now;
  }

  readonly refused = ({ cause, peer, detail }: Refusal): void => {
    this.#metrics.refused(cause);
    const now = this.#now();
    const last = this.#told.get(cause);
    if (last && now - last.at < EVERY) {
      last.since += 1;
      return;
    }
    this.#told.set(cause, { at: now, since: 0 });
    const untold = last && last.since > 0 ? { untold: last.since } : {};
    this.#log.warn({ peer, cause, error: detail, ...untold }, 'the TLS handshake of a client failed');
  };
}
