import type { KubeObject } from '../../api/meta.ts';
import { annotations, labels } from '../../api/names.ts';
import { byCodeUnits } from '../../lib/order.ts';

export type StatKind = 'deploy' | 'svc' | 'pod';

export interface StatScope {
  kind: StatKind;
  /** undefined: all namespaces. */
  namespace: string | undefined;
  name: string | undefined;
  byRevision: boolean;
  /** A PromQL duration. */
  window: string;
}

export interface StatRow {
  namespace: string;
  name: string;
  revision: string | undefined;
  meshed: number | undefined;
  pods: number | undefined;
  /** 0 to 1; undefined without requests. */
  successRate: number | undefined;
  rps: number | undefined;
  /** Milliseconds. */
  p50: number | undefined;
  p95: number | undefined;
  p99: number | undefined;
  tcpConnections: number | undefined;
}

/** One number per row of the table: the label sets are keys made by `rowKey`. */
export type Measured = ReadonlyMap<string, number>;

const COLUMNS = {
  deploy: { direction: 'inbound', namespace: 'namespace', name: 'deployment', revision: 'revision' },
  pod: { direction: 'inbound', namespace: 'namespace', name: 'pod', revision: 'revision' },
  svc: { direction: 'outbound', namespace: 'dst_namespace', name: 'dst_service', revision: 'dst_revision' },
} as const;

/** The labels that tell rows apart, in the order of `rowKey`. */
export function groupLabels({ kind, byRevision }: StatScope): string[] {
  const { namespace, name, revision } = COLUMNS[kind];
  return byRevision ? [namespace, name, revision] : [namespace, name];
}

export function rowKey(namespace: string, name: string, revision: string | undefined): string {
  return [namespace, name, revision ?? ''].join('/');
}

export type StatQuery = 'success' | 'rps' | 'p50' | 'p95' | 'p99' | 'tcp';

/** The PromQL of every column. */
export function statQueries(scope: StatScope): Record<StatQuery, string> {
  const { direction, namespace, name } = COLUMNS[scope.kind];
  const matchers = [
    `direction="${direction}"`,
    `${name}!=""`,
    ...(scope.namespace === undefined ? [] : [`${namespace}=${JSON.stringify(scope.namespace)}`]),
    ...(scope.name === undefined ? [] : [`${name}=${JSON.stringify(scope.name)}`]),
  ];
  const by = groupLabels(scope).join(', ');
  const select = (metric: string, ...more: string[]) => `${metric}{${[...matchers, ...more].join(', ')}}`;
  const rate = (series: string) => `sum by (${by}) (rate(${series}[${scope.window}]))`;
  const quantile = (q: number) =>
    `histogram_quantile(${q}, sum by (le, ${by}) (rate(${select('response_latency_ms_bucket')}[${scope.window}])))`;
  const all = rate(select('response_total'));
  return {
    // What has never succeeded has no series of successes, and is 0 %, not unknown.
    success: `(${rate(select('response_total', 'classification="success"'))} or ${all} * 0) / ${all}`,
    rps: all,
    p50: quantile(0.5),
    p95: quantile(0.95),
    p99: quantile(0.99),
    tcp: `sum by (${by}) (${select('tcp_open_connections')})`,
  };
}

/** Pods as the mesh sees them: how many of each workload carry the sidecar. */
export function countPods(
  scope: StatScope,
  pods: readonly KubeObject[],
  services: readonly KubeObject[],
): Map<string, { meshed: number; pods: number }> {
  const counts = new Map<string, { meshed: number; pods: number }>();
  const count = (key: string, pod: KubeObject | undefined) => {
    const entry = counts.get(key) ?? { meshed: 0, pods: 0 };
    counts.set(key, entry);
    if (!pod) return;
    entry.pods += 1;
    if (pod.metadata.annotations?.[annotations.injected] !== undefined) entry.meshed += 1;
  };
  const alive = pods.filter((pod) => {
    const phase = (pod.status as { phase?: string } | undefined)?.phase;
    return phase !== 'Succeeded' && phase !== 'Failed';
  });
  const revisionOf = (pod: KubeObject) =>
    scope.byRevision ? pod.metadata.labels?.[labels.podTemplateHash] : undefined;
  if (scope.kind === 'svc') {
    for (const service of services) {
      const { namespace = '', name } = service.metadata;
      if (scope.name !== undefined && name !== scope.name) continue;
      // Leaf Services take their traffic under the name of the Service they belong to.
      if (scope.name === undefined && service.metadata.labels?.[labels.rollout] !== undefined) continue;
      const selector = Object.entries(
        (service.spec as { selector?: Record<string, string> })?.selector ?? {},
      );
      if (selector.length === 0) continue;
      if (!scope.byRevision) count(rowKey(namespace, name, undefined), undefined);
      for (const pod of alive) {
        if (pod.metadata.namespace !== namespace) continue;
        if (selector.every(([key, value]) => pod.metadata.labels?.[key] === value))
          count(rowKey(namespace, name, revisionOf(pod)), pod);
      }
    }
    return counts;
  }
  for (const pod of alive) {
    const name = scope.kind === 'pod' ? pod.metadata.name : deploymentOf(pod);
    if (name === undefined || (scope.name !== undefined && name !== scope.name)) continue;
    count(rowKey(pod.metadata.namespace ?? '', name, revisionOf(pod)), pod);
  }
  return counts;
}

/** The Deployment of a pod: its ReplicaSet's name without the hash. */
export function deploymentOf(pod: KubeObject): string | undefined {
  const owner = pod.metadata.ownerReferences?.find(({ kind }) => kind === 'ReplicaSet')?.name;
  const hash = pod.metadata.labels?.[labels.podTemplateHash];
  return owner && hash && owner.endsWith(`-${hash}`) ? owner.slice(0, -hash.length - 1) : undefined;
}

/** Rows of everything that has pods or traffic, sorted; what had both a while ago is no row. */
export function buildRows(
  scope: StatScope,
  measured: Record<StatQuery, Measured>,
  counts: ReadonlyMap<string, { meshed: number; pods: number }>,
): StatRow[] {
  const keys = new Set([
    ...counts.keys(),
    ...Object.values(measured).flatMap((values) => [...values.keys()]),
  ]);
  const rows = [...keys].map((key) => {
    const [namespace = '', name = '', revision = ''] = key.split('/');
    const value = (query: StatQuery) => {
      const found = measured[query].get(key);
      return found === undefined || Number.isNaN(found) ? undefined : found;
    };
    const count = counts.get(key);
    return {
      namespace,
      name,
      revision: scope.byRevision ? revision : undefined,
      meshed: count?.meshed,
      pods: count?.pods,
      successRate: value('success'),
      rps: value('rps'),
      p50: value('p50'),
      p95: value('p95'),
      p99: value('p99'),
      tcpConnections: value('tcp'),
    };
  });
  return rows
    .filter(({ pods, rps, tcpConnections }) => pods !== undefined || rps || tcpConnections)
    .sort(byName);
}

const byName = (a: StatRow, b: StatRow): number =>
  byCodeUnits(a.namespace, b.namespace) ||
  byCodeUnits(a.name, b.name) ||
  byCodeUnits(a.revision ?? '', b.revision ?? '');
