import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';
import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import type { Rollout } from '../../api/rollout.ts';
import type { KubeClient } from '../../kube/types.ts';

export interface LoadReport {
  sent: number;
  ok: number;
  failed: number;
}

const NAMESPACE = 'shop';

/** Reads what the story needs: Rollouts from the API server, what users saw from the load generator itself. */
export class Observer {
  readonly #client: KubeClient;
  #loadAddress: string | undefined;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async rollouts(signal: AbortSignal): Promise<Rollout[]> {
    const { items } = await this.#client.list<Rollout>(kinds.Rollout, NAMESPACE, {}, signal);
    return items.sort(
      (a, b) =>
        ['web', 'orders', 'payments'].indexOf(a.metadata.name) -
        ['web', 'orders', 'payments'].indexOf(b.metadata.name),
    );
  }

  async rollout(name: string, signal: AbortSignal): Promise<Rollout | undefined> {
    return this.#client.find<Rollout>(kinds.Rollout, NAMESPACE, name, signal);
  }

  /** What the users saw so far; undefined while there is no load generator. */
  async load(signal: AbortSignal): Promise<LoadReport | undefined> {
    try {
      this.#loadAddress ??= await this.#findLoad(signal);
      if (!this.#loadAddress) return undefined;
      return await this.#report(this.#loadAddress, AbortSignal.any([signal, AbortSignal.timeout(2000)]));
    } catch {
      this.#loadAddress = undefined;
      return undefined;
    }
  }

  async #report(host: string, signal: AbortSignal): Promise<LoadReport> {
    const request = get({ host, port: 8080, path: '/', signal });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return (await json(response)) as LoadReport;
  }

  async #findLoad(signal: AbortSignal): Promise<string | undefined> {
    const { items } = await this.#client.list<KubeObject>(
      kinds.Pod,
      NAMESPACE,
      { labelSelector: 'app=load' },
      signal,
    );
    const pod = items.find(({ metadata }) => !metadata.deletionTimestamp);
    return (pod?.status as { podIP?: string } | undefined)?.podIP;
  }
}
