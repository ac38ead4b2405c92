import type { KubeObject, ResourceKind } from '../api/meta.ts';
import { keyOf } from '../api/meta.ts';
import type { KubeClient } from '../kube/types.ts';
import { Backoff } from '../lib/backoff.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { isCode } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';

export interface WebhookConfiguration extends KubeObject {
  webhooks?: {
    name: string;
    clientConfig?: { service?: { namespace: string; name: string }; caBundle?: string };
    [field: string]: unknown;
  }[];
}

/** The same configuration with our bundle in each webhook that calls our Service; undefined when nothing differs. */
export function withCaBundle(
  configuration: WebhookConfiguration,
  service: { namespace: string; name: string },
  bundle: string,
): WebhookConfiguration | undefined {
  const caBundle = Buffer.from(bundle).toString('base64');
  let changed = false;
  const webhooks = (configuration.webhooks ?? []).map((webhook) => {
    const target = webhook.clientConfig?.service;
    if (target?.name !== service.name || target.namespace !== service.namespace) return webhook;
    if (webhook.clientConfig?.caBundle === caBundle) return webhook;
    changed = true;
    return { ...webhook, clientConfig: { ...webhook.clientConfig, caBundle } };
  });
  return changed ? { ...configuration, webhooks } : undefined;
}

/** Keeps the bundle in Weir's webhook configurations, whoever writes them: without it the API server trusts nobody. */
export class WebhookBundles {
  readonly #client: KubeClient;
  readonly #service: { namespace: string; name: string };
  readonly #bundle: () => string;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  readonly #clock: Clock;
  readonly #pending = new Set<string>();
  /** Seen without the bundle while it was being put in: perhaps after that. */
  readonly #again = new Set<string>();

  constructor(options: {
    client: KubeClient;
    service: { namespace: string; name: string };
    bundle: () => string;
    log: Logger;
    signal: AbortSignal;
    clock?: Clock;
  }) {
    this.#client = options.client;
    this.#service = options.service;
    this.#bundle = options.bundle;
    this.#log = options.log;
    this.#signal = options.signal;
    this.#clock = options.clock ?? systemClock;
  }

  /** True when every configuration seen so far carries the bundle. */
  get settled(): boolean {
    return this.#pending.size === 0;
  }

  observed(kind: ResourceKind, configuration: WebhookConfiguration): void {
    if (!withCaBundle(configuration, this.#service, this.#bundle())) return;
    const key = `${kind.plural}/${keyOf(configuration)}`;
    if (this.#pending.has(key)) this.#again.add(key);
    else void this.#keep(kind, configuration.metadata.name, key);
  }

  async #keep(kind: ResourceKind, name: string, key: string): Promise<void> {
    this.#pending.add(key);
    do {
      this.#again.delete(key);
      await this.#fill(kind, name);
    } while (this.#again.has(key) && !this.#signal.aborted);
    this.#pending.delete(key);
  }

  /** Reads and replaces: the precondition makes a concurrent edit win, and the next round puts the bundle on top. */
  async #fill(kind: ResourceKind, name: string): Promise<void> {
    const backoff = new Backoff({ initial: 100, max: 10_000 });
    while (!this.#signal.aborted) {
      try {
        const current = await this.#client.find<WebhookConfiguration>(kind, undefined, name, this.#signal);
        const next = current && withCaBundle(current, this.#service, this.#bundle());
        if (!next) return;
        await this.#client.replace(kind, next, { fieldManager: 'weir-mesh', signal: this.#signal });
        this.#log.info({ configuration: name }, 'put the CA bundle into the webhook configuration');
        return;
      } catch (error) {
        if (this.#signal.aborted) return;
        if (!isCode(error, 'Conflict'))
          this.#log.warn({ error, configuration: name }, 'could not put the CA bundle in; trying again');
        await this.#clock.sleep(backoff.next(), this.#signal).catch(() => {});
      }
    }
  }
}
