import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import { annotations } from '../../../src/api/names.ts';
import type { TrafficSplit } from '../../../src/api/traffic-split.ts';
import type { KubeClient } from '../../../src/kube/types.ts';
import { eventually } from '../../e2e/support/cluster.ts';
import { Fleet } from './fleet.ts';

export const canaryWeight = ({ spec }: TrafficSplit): number =>
  spec.backends.find(({ service }) => service.endsWith('-canary'))?.weight ?? 0;

/** One Rollout in a namespace of its own that stands at 10 %, to be aborted while the controller is busy with others. */
export class Held {
  readonly #client: KubeClient;
  readonly #fleet: Fleet;

  private constructor(client: KubeClient, fleet: Fleet) {
    this.#client = client;
    this.#fleet = fleet;
  }

  static async create(client: KubeClient, analysis: object): Promise<Held> {
    const fleet = new Fleet(client, 'held', 1);
    await fleet.createApplications();
    await fleet.createRollouts(analysis, { steps: [{ weight: 10 }, { pause: {} }], dwell: '1s' });
    const seen = async (
      what: string,
      is: (rollout: Awaited<ReturnType<Fleet['rollouts']>>[number]) => boolean,
    ) => eventually(what, async () => (await fleet.rollouts()).some(is), { timeoutMs: 60_000 });
    await seen('the one to be aborted is Healthy', ({ status }) => status?.phase === 'Healthy');
    await fleet.apply(0, 'v2');
    await seen(
      'it stands at 10 %',
      ({ status }) => status?.traffic?.canary === 10 && status.step?.index === 1,
    );
    return new Held(client, fleet);
  }

  /** Milliseconds from the answer to the write that aborts it until a watch shows its weight at 0. */
  async abort(): Promise<number> {
    const namespace = this.#fleet.namespace;
    const stop = new AbortController();
    const { metadata } = await this.#client.list(kinds.TrafficSplit, namespace);
    const seen = (async () => {
      const from = { resourceVersion: metadata.resourceVersion };
      for await (const event of this.#client.watch<TrafficSplit & KubeObject>(
        kinds.TrafficSplit,
        namespace,
        from,
        stop.signal,
      )) {
        if (event.type === 'MODIFIED' && canaryWeight(event.object) === 0) return performance.now();
      }
      throw new Error('the watch ended');
    })();
    await this.#client.patch(kinds.Rollout, namespace, this.#fleet.name(0), {
      type: 'merge',
      body: { metadata: { annotations: { [annotations.abort]: 'bench' } } },
    });
    const asked = performance.now();
    const at = await seen;
    stop.abort();
    this.#fleet.stop();
    return Math.max(0, at - asked);
  }
}
