import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import { TRUST_CONFIG_MAP } from '../../api/names.ts';
import type { KubeClient } from '../../kube/types.ts';
import { Backoff } from '../../lib/backoff.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { isCode } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';

export interface TrustConfigMap extends KubeObject {
  data?: Record<string, string>;
}

const FIELD_MANAGER = 'weir-mesh';

/**
 * Keeps the trust bundle in ConfigMap `weir-trust` of every namespace whose pods mount it. Server-side apply of the same
 * content is harmless, so every replica may do it and none must lead.
 */
export class TrustDistributor {
  readonly #client: KubeClient;
  readonly #bundle: () => string;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  readonly #clock: Clock;
  readonly #wanted = new Set<string>();
  /** What each namespace holds, as last written or observed. */
  readonly #present = new Map<string, string>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();

  constructor(options: {
    client: KubeClient;
    bundle: () => string;
    log: Logger;
    signal: AbortSignal;
    clock?: Clock;
  }) {
    this.#client = options.client;
    this.#bundle = options.bundle;
    this.#log = options.log;
    this.#signal = options.signal;
    this.#clock = options.clock ?? systemClock;
  }

  /** Namespaces that have the current bundle. */
  get size(): number {
    return this.#present.size;
  }

  /** From now on the namespace has the bundle, whatever happens to it. */
  want(namespace: string): void {
    this.#wanted.add(namespace);
    if (this.#present.get(namespace) !== this.#bundle()) void this.#retry(namespace);
  }

  /** Like want, and waits for the first attempt; throws what the API server said. */
  async ensure(namespace: string): Promise<void> {
    this.#wanted.add(namespace);
    if (this.#present.get(namespace) !== this.#bundle()) await this.#write(namespace);
  }

  /** What a watch saw: `undefined` when the ConfigMap is gone. */
  observed(namespace: string, map: TrustConfigMap | undefined): void {
    const pem = map?.data?.['ca.pem'];
    if (pem === undefined) this.#present.delete(namespace);
    else this.#present.set(namespace, pem);
    if (!this.#wanted.has(namespace) || pem === this.#bundle()) return;
    // A write that is under way may have come before what was seen now.
    if (this.#running.has(namespace)) this.#again.add(namespace);
    else void this.#retry(namespace);
  }

  /** The namespace is gone, and everything in it. */
  forget(namespace: string): void {
    this.#wanted.delete(namespace);
    this.#present.delete(namespace);
  }

  #write(namespace: string): Promise<void> {
    const running = this.#running.get(namespace);
    if (running) return running;
    const bundle = this.#bundle();
    const attempt = this.#client
      .apply<TrustConfigMap>(
        kinds.ConfigMap,
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: TRUST_CONFIG_MAP, namespace, labels: { 'app.kubernetes.io/part-of': 'weir' } },
          data: { 'ca.pem': bundle },
        },
        { fieldManager: FIELD_MANAGER, force: true, signal: this.#signal },
      )
      .then(() => {
        this.#present.set(namespace, bundle);
      })
      .finally(() => {
        this.#running.delete(namespace);
        if (this.#again.delete(namespace)) void this.#retry(namespace);
      });
    this.#running.set(namespace, attempt);
    return attempt;
  }

  async #retry(namespace: string): Promise<void> {
    if (this.#running.has(namespace)) return;
    const backoff = new Backoff({ initial: 200, max: 30_000 });
    while (!this.#signal.aborted && this.#wanted.has(namespace)) {
      try {
        return await this.#write(namespace);
      } catch (error) {
        // A namespace that is being deleted refuses new objects: nothing in it will need them.
        if (isCode(error, 'NotFound', 'Forbidden')) {
          this.#log.debug({ error, namespace }, 'trust bundle not written');
          return;
        }
        if (this.#signal.aborted) return;
        this.#log.warn({ error, namespace }, 'could not write the trust bundle; trying again');
        await this.#clock.sleep(backoff.next(), this.#signal).catch(() => {});
      }
    }
  }
}
