import { Backoff } from '../../lib/backoff.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Authority, KeyPair } from './authority.ts';

/** The control plane's own serving certificate, replaced at two thirds of its life. */
export class ServerCertificate {
  readonly #authority: Authority;
  readonly #dnsNames: string[];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #listeners = new Set<(pair: KeyPair) => void>();
  #current: (KeyPair & { notAfter: Date }) | undefined;

  constructor(options: { authority: Authority; dnsNames: string[]; log: Logger; clock?: Clock }) {
    this.#authority = options.authority;
    this.#dnsNames = options.dnsNames;
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
  }

  /** Issues the first certificate; renews in the background until the signal. */
  async start(signal: AbortSignal): Promise<void> {
    this.#current = await this.#authority.issueServer(this.#dnsNames);
    void this.#renew(signal);
  }

  current(): KeyPair {
    if (!this.#current) throw new Error('the server certificate is issued by start()');
    return this.#current;
  }

  onRotate(listener: (pair: KeyPair) => void): void {
    this.#listeners.add(listener);
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initial: 1000, max: 60_000 });
    let wait = this.#untilRenewal();
    while (!signal.aborted) {
      try {
        await this.#clock.sleep(wait, signal);
      } catch {
        return;
      }
      try {
        this.#current = await this.#authority.issueServer(this.#dnsNames);
        for (const listener of this.#listeners) listener(this.#current);
        backoff.reset();
        wait = this.#untilRenewal();
        this.#log.info({ notAfter: this.#current.notAfter }, 'renewed the server certificate');
      } catch (error) {
        wait = backoff.next();
        this.#log.error({ error }, 'could not renew the server certificate');
      }
    }
  }

  #untilRenewal(): number {
    const left = this.#current!.notAfter.getTime() - this.#clock.now();
    // A timer holds at most 2^31-1 ms; a root about to expire must not spin this loop.
    return Math.min(Math.max((left * 2) / 3, 1000), 2 ** 31 - 1);
  }
}
