import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import { eventually } from '../../e2e/support/cluster.ts';
import type { KubernetesCluster } from '../../kubernetes/support/cluster.ts';
import type { Row } from '../row.ts';
import type { Fleet } from './fleet.ts';
import type { Kubelet } from './kubelet.ts';
import { SIZE, WAVE } from './measures.ts';
import { type Spent, spending } from './spent.ts';

interface EndpointSlice extends KubeObject {
  endpoints: { conditions?: { ready?: boolean }; targetRef?: { name: string } }[] | null;
}

const serviceOf = ({ metadata }: KubeObject): string => metadata.labels?.['kubernetes.io/service-name'] ?? '';
const readyOf = ({ endpoints }: EndpointSlice): string[] =>
  (endpoints ?? []).flatMap(({ conditions, targetRef }) =>
    conditions?.ready === false || !targetRef ? [] : [targetRef.name],
  );

/**
 * What Kubernetes itself takes on this machine: the same Deployments of the same namespace changed at once while no Rollout guards
 * them, until each one's new pod is among the endpoints of its Service.
 */
export async function plain(
  cluster: KubernetesCluster,
  fleet: Fleet,
  kubelet: Kubelet,
  log: (line: string) => void,
): Promise<Row[]> {
  const { client } = cluster;
  const stop = new AbortController();
  const from = SIZE - WAVE;
  const namespace = fleet.namespaceOf(from);
  const list = await client.list<EndpointSlice>(kinds.EndpointSlice, namespace);
  const before = new Set(list.items.flatMap(readyOf));
  const reached = new Map<string, number>();
  const names = new Set(Array.from({ length: WAVE }, (_, index) => fleet.name(from + index)));
  const spent = spending(cluster);
  let until: Spent | undefined;
  const watching = (async () => {
    const since = { resourceVersion: list.metadata.resourceVersion };
    for await (const event of client.watch<EndpointSlice>(
      kinds.EndpointSlice,
      namespace,
      since,
      stop.signal,
    )) {
      if (event.type !== 'MODIFIED' && event.type !== 'ADDED') continue;
      const name = serviceOf(event.object);
      if (!names.has(name) || reached.has(name)) continue;
      if (readyOf(event.object).some((pod) => !before.has(pod))) reached.set(name, performance.now());
      if (reached.size === WAVE) until ??= spent();
    }
  })();
  const applied = new Map<string, number>();
  await fleet.each(
    from,
    SIZE,
    async (index) => {
      await fleet.apply(index, 'v1-plain');
      applied.set(fleet.name(index), performance.now());
    },
    WAVE,
  );
  await eventually('all new pods are endpoints', async () => reached.size === WAVE, { timeoutMs: 300_000 });
  stop.abort();
  await watching;
  const beyond = kubelet.beyondReadiness(applied, reached);
  log(`CPU seconds of ${WAVE} without Weir, until the last new pod is an endpoint: ${until}`);
  return [
    {
      name: `for comparison, ${WAVE} of ${SIZE} changed at once without Weir: new pod in its Service beyond readiness, p50`,
      value: beyond.p50,
      unit: 's',
    },
    { name: 'the same, p99', value: beyond.p99, unit: 's' },
  ];
}
