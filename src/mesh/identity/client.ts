import { readFile as readFileLater } from 'node:fs';
import { promisify } from 'node:util';
import { Backoff } from '../../lib/backoff.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { AppError, toAppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { createRequest, type MakeKey, spiffeOf } from './client/csr.ts';
import { type Caller, type ControlPlane, HttpsCaller, postJson } from './client/request.ts';

/** Not of node:fs/promises, which loads half a megabyte for lines of text. */
const readFile = promisify(readFileLater);

/** Key, certificate chain and trust bundle, PEM. */
export interface IdentityMaterial {
  key: string;
  cert: string;
  trust: string;
}

export interface IdentityClientOptions extends ControlPlane {
  /** PEM bundle to check the control plane against before the first certificate; read again on each try. */
  trustFile: string;
  /** ServiceAccount token with audience weir-identity; read again on each try, the kubelet renews it. */
  tokenFile: string;
  trustDomain: string;
  /** How requests are made, unless by node:https. */
  caller?: Caller;
  /** How keys are made, unless by node:crypto. */
  makeKey?: MakeKey;
  log: Logger;
  clock?: Clock;
  random?: () => number;
}

/** Keeps this process supplied with a certificate: asks for one, renews it at 60 to 70 % of its life. */
export class IdentityClient {
  readonly #options: IdentityClientOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #caller: Caller;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  #current: IdentityMaterial | undefined;
  #running: Promise<void> | undefined;
  #first = Promise.withResolvers<void>();

  constructor(options: IdentityClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#caller = options.caller ?? new HttpsCaller(options);
  }

  /** Begins asking. Resolves when the first certificate is there, however long that takes. */
  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#first.promise;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Undefined before the first certificate. */
  current(): IdentityMaterial | undefined {
    return this.#current;
  }

  /** SPIFFE id in the current certificate. */
  get identity(): string | undefined {
    return this.#current && spiffeOf(this.#current.cert);
  }

  /** Calls back whenever `current` changed; returns the unsubscriber. */
  onRotate(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A new trust bundle from the discovery stream. */
  setTrust(bundle: string): void {
    if (!this.#current || this.#current.trust === bundle) return;
    this.#current = { ...this.#current, trust: bundle };
    for (const listener of this.#listeners) listener();
  }

  async #run(): Promise<void> {
    const { log } = this.#options;
    const backoff = new Backoff({ initial: 100, max: 10_000, random: this.#random });
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let wait: number;
      try {
        const lifetime = await this.#renew(signal);
        backoff.reset();
        this.#first.resolve();
        wait = lifetime * (0.6 + 0.1 * this.#random());
      } catch (thrown) {
        if (signal.aborted) return;
        const error = toAppError(thrown);
        wait = backoff.next();
        log.warn({ error: error.message, retryIn: Math.round(wait) }, 'no certificate yet');
      }
      await this.#clock.sleep(wait, signal).catch(() => {});
    }
  }

  /** Returns the milliseconds the new certificate has to live. */
  async #renew(signal: AbortSignal): Promise<number> {
    const { trustFile, tokenFile, log } = this.#options;
    const [anchor, token] = await Promise.all([readFile(trustFile, 'utf8'), readFile(tokenFile, 'utf8')]);
    const { key, csr } = createRequest(this.#options.makeKey);
    const answer = (await postJson(this.#caller, {
      path: '/v1/certificates',
      body: { csr, token: token.trim() },
      credentials: { trust: anchor },
      signal,
    })) as { certificate?: unknown; trust?: unknown; notAfter?: unknown } | undefined;
    const { certificate, trust, notAfter } = answer ?? {};
    if (typeof certificate !== 'string' || typeof trust !== 'string' || typeof notAfter !== 'string') {
      throw new AppError(
        'Internal',
        'the control plane answered without a certificate: is it the same version?',
      );
    }
    if (this.#stop.signal.aborted) throw new AppError('Aborted', 'stopped');
    this.#current = { key, cert: certificate, trust };
    for (const listener of this.#listeners) listener();
    log.info({ identity: this.identity, notAfter }, 'certificate issued');
    return Math.max(1_000, Date.parse(notAfter) - this.#clock.now());
  }
}
