import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../../api/meta.ts';
import { silentLogger } from '../../lib/log.ts';
import { parseConfig, type RunningMetricsStore, startMetricsStore } from '../../metrics/index.ts';
import { labelsOf } from '../../metrics/labels.ts';
import { measure } from '../stat.ts';
import {
  buildRows,
  countPods,
  deploymentOf,
  groupLabels,
  type Measured,
  type StatQuery,
  type StatScope,
  statQueries,
} from './rows.ts';
import { statTable } from './view.ts';

// prometheus-query asks for its own now, so the samples lie around the real one.
const NOW = Date.now();

function pod(name: string, hash: string, injected: boolean, namespace = 'shop'): KubeObject {
  return {
    metadata: {
      name,
      namespace,
      labels: { app: 'web', 'pod-template-hash': hash },
      annotations: injected ? { 'weir.dev/injected': '0.1.0' } : {},
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `web-${hash}`, uid: '1' }],
    },
    status: { phase: 'Running' },
  };
}

const pods = [pod('web-a1-x', 'a1', true), pod('web-a1-y', 'a1', false), pod('web-b2-z', 'b2', true)];
const services: KubeObject[] = [
  { metadata: { name: 'web', namespace: 'shop' }, spec: { selector: { app: 'web' } } },
];
const scope: StatScope = {
  kind: 'deploy',
  namespace: 'shop',
  name: undefined,
  byRevision: false,
  window: '1m',
};

describe('weir stat', () => {
  let store: RunningMetricsStore;

  beforeAll(async () => {
    store = await startMetricsStore({
      config: parseConfig('{}'),
      host: '127.0.0.1',
      port: 0,
      log: silentLogger,
    });
    const own = { namespace: 'shop', deployment: 'web', direction: 'inbound' };
    for (let second = 0; second <= 180; second += 1) {
      const time = NOW - 120_000 + second * 1000;
      const write = (labels: Record<string, string>, value: number) =>
        store.store.append(labelsOf(labels), time, value);
      for (const revision of ['a1', 'b2']) {
        const count = { ...own, __name__: 'response_total', revision };
        write({ ...count, classification: 'success' }, second * (revision === 'a1' ? 8 : 9));
        write({ ...count, classification: 'failure' }, second * (revision === 'a1' ? 2 : 0));
        for (const le of ['10', '20', '+Inf'])
          write(
            { ...own, __name__: 'response_latency_ms_bucket', revision, le },
            second * (le === '10' ? 5 : 10),
          );
        write({ ...own, __name__: 'tcp_open_connections', revision }, 3);
      }
    }
  });

  afterAll(() => store.stop());

  const rowsOf = async (asked: StatScope) => {
    const entries = Object.entries(statQueries(asked)).map(
      async ([name, query]) => [name, await measure(store.url, query, groupLabels(asked))] as const,
    );
    const measured = Object.fromEntries(await Promise.all(entries)) as Record<StatQuery, Measured>;
    return buildRows(asked, measured, countPods(asked, pods, services));
  };

  test('by deployment and by revision', async () => {
    const text = statTable(await rowsOf(scope), { namespaces: true, revisions: false, stream: {} });
    expect(
      text
        .split('\n')
        .slice(0, 2)
        .map((line) => line.split(/\s{2,}/)),
    ).toEqual([
      [
        'NAMESPACE',
        'NAME',
        'MESHED',
        'SUCCESS',
        'RPS',
        'LATENCY_P50',
        'LATENCY_P95',
        'LATENCY_P99',
        'TCP_CONN',
      ],
      ['shop', 'web', '2/3', '89.47%', '19.0rps', '10ms', '19ms', '20ms', '6'],
    ]);
    const rows = await rowsOf({ ...scope, byRevision: true });
    expect(
      rows.map(({ revision, meshed, pods: all, successRate }) => [revision, meshed, all, successRate]),
    ).toEqual([
      ['a1', 1, 2, 0.8],
      ['b2', 1, 1, 1],
    ]);
  });

  test('what has pods and no traffic is shown, with gaps', async () => {
    const rows = await rowsOf({ ...scope, kind: 'svc' });
    expect(rows).toEqual([expect.objectContaining({ name: 'web', meshed: 2, pods: 3, rps: undefined })]);
    expect(statTable(rows, { namespaces: false, revisions: false, stream: {} })).toContain('2/3');
  });

  test('what has only failed is 0 %, not unknown', async () => {
    const labels = { namespace: 'shop', deployment: 'sad', direction: 'inbound', revision: 'c3' };
    for (let second = 0; second <= 180; second += 1)
      store.store.append(
        labelsOf({ ...labels, __name__: 'response_total', classification: 'failure' }),
        NOW - 120_000 + second * 1000,
        second * 5,
      );
    const [row] = await rowsOf({ ...scope, name: 'sad' });
    expect(row).toMatchObject({ name: 'sad', successRate: 0, rps: expect.any(Number) });
  });

  test('rows are sorted by name and revision; what is gone and has no traffic is none', () => {
    const none = new Map<string, number>();
    const rps = new Map([
      ['shop/web-preview/a1', 1],
      ['shop/web/b2', 1],
      ['shop/web/a1', 0],
      ['shop/web/', 0],
    ]);
    const measured = { success: none, rps, p50: none, p95: none, p99: none, tcp: none };
    const counts = new Map([['shop/web/c3', { meshed: 1, pods: 1 }]]);
    expect(
      buildRows({ ...scope, kind: 'svc', byRevision: true }, measured, counts).map(
        ({ name, revision }) => `${name} ${revision}`,
      ),
    ).toEqual(['web b2', 'web c3', 'web-preview a1']);
  });

  test('a Prometheus that is not there, or refuses, is told in a sentence, with what to do', async () => {
    await expect(measure('http://127.0.0.1:1', 'up', [], { hint: '. Run port-forward' })).rejects.toThrow(
      /^Prometheus at http:\/\/127\.0\.0\.1:1 cannot be reached: connect ECONNREFUSED [\d.:]+; check --prometheus-url\. Run port-forward$/,
    );
    await expect(measure(store.url, 'rate(', [])).rejects.toThrow(/^Prometheus refuses the query: .{1,200}$/);
  });

  test('the deployment of a pod is its ReplicaSet without the hash', () => {
    expect(deploymentOf(pods[0]!)).toBe('web');
    expect(deploymentOf({ metadata: { name: 'bare' } })).toBeUndefined();
  });
});
