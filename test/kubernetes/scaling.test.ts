import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../../src/api/meta.ts';
import { App } from '../e2e/support/app.ts';
import { eventually, sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { isReady } from '../e2e/support/pods.ts';
import { ALWAYS_GOOD, HOLD, kubectlFor } from './support/kubectl.ts';

let cluster: TestCluster;
let app: App;

beforeAll(async () => {
  cluster = await sharedCluster();
});
afterEach(() => app?.remove());

interface Scale extends KubeObject {
  spec: { replicas?: number };
  status: { replicas: number; selector?: string };
}

const path = () => `/apis/apps/v1/namespaces/${app.namespace}/deployments/web/scale`;
const readScale = () => cluster.client.request('GET', path()) as Promise<Scale>;
/** As the horizontal pod autoscaler does: reads the scale, writes it whole, and tries again after a conflict. */
const autoscale = (replicas: number) =>
  eventually(`scaled to ${replicas}`, async () => {
    const scale = await readScale();
    await cluster.client.request('PUT', path(), { body: { ...scale, spec: { replicas } } });
    return true;
  });
const ready = async (version: string) => (await app.podsOf(version)).filter(isReady);

describe('an autoscaler', () => {
  test('mid-canary: up and down, the canary follows its weight and never shrinks', async () => {
    app = await App.create(cluster, 'scale-canary', {
      replicas: 2,
      strategy: { canary: { steps: [{ weight: 50 }, { pause: {} }], dwell: '200ms' } },
      analysis: ALWAYS_GOOD,
    });
    await app.deploy('v2');
    await app.until('50 %', ({ status }) => status?.traffic?.canary === 50);
    await autoscale(6);
    await eventually(
      'three canary pods beside six',
      async () => (await ready('v2')).length === 3 && (await ready('v1')).length === 6,
      { describe: () => app.describe() },
    );
    // What an autoscaler averages over is what the selector of the scale finds: both revisions.
    const { status } = await readScale();
    expect(status.selector).toBe('app=web');
    await autoscale(2);
    await eventually('two stable pods', async () => (await app.podsOf('v1')).length === 2);
    expect((await app.podsOf('v2')).length).toBe(3);
    await app.applyRollout({ approve: 'v2' });
    await app.promoted('v2');
    // The canary was larger than the Deployment: the Deployment was raised to it, not pods thrown away.
    expect((await app.deployment()).spec.replicas).toBe(3);
    expect((await app.load()).failed).toBe(0);
  });

  test('during the release: every size it asks for is reached, and no request fails', async () => {
    app = await App.create(cluster, 'scale-release', {
      replicas: 2,
      strategy: { canary: { weights: [50], dwell: '200ms' } },
      analysis: ALWAYS_GOOD,
    });
    await app.deploy('v2');
    await eventually('the promotion', () => app.phases.includes('Promoting'), {
      everyMs: 2,
      timeoutMs: 60_000,
      describe: () => app.describe(),
    });
    // One write after the other while the pods are handed over, in both directions.
    for (const replicas of [4, 3, 5, 3]) await autoscale(replicas);
    await app.promoted('v2');
    await eventually(
      'the Deployment has the size asked for last, all of it new',
      async () => {
        const { spec } = await app.deployment();
        const [old, now] = [await app.podsOf('v1'), await ready('v2')];
        return old.length === 0 && now.length === spec.replicas;
      },
      { describe: () => app.describe() },
    );
    // Whether it asked for 3 before or after Weir raised it to the tested pods: never fewer than were asked for.
    expect((await app.deployment()).spec.replicas).toBeGreaterThanOrEqual(3);
    expect((await app.load()).failed).toBe(0);
  });
});

describe("a user's PodDisruptionBudget", () => {
  test('counts both revisions, evictions of either go through, and the rollout goes on', async () => {
    app = await App.create(cluster, 'pdb', { replicas: 3, strategy: HOLD, analysis: ALWAYS_GOOD });
    const kubectl = kubectlFor(cluster, app.namespace);
    await kubectl(['create', 'poddisruptionbudget', 'web', '--selector=app=web', '--max-unavailable=1']);
    await app.deploy('v2');
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
    const budget = async () =>
      JSON.parse(await kubectl(['get', 'poddisruptionbudget', 'web', '-o', 'json'])).status as {
        expectedPods: number;
        currentHealthy: number;
        disruptionsAllowed: number;
      };
    await eventually('the budget counts the canary', async () => {
      const { expectedPods, disruptionsAllowed } = await budget();
      return expectedPods === 4 && disruptionsAllowed === 1;
    });
    const evict = ({ metadata }: KubeObject) =>
      cluster.client.request('POST', `/api/v1/namespaces/${app.namespace}/pods/${metadata.name}/eviction`, {
        body: {
          apiVersion: 'policy/v1',
          kind: 'Eviction',
          metadata: { name: metadata.name, namespace: app.namespace },
        },
      });
    const gone = async (pod: KubeObject, version: string, count: number) =>
      eventually(
        'another pod in its place',
        async () => {
          const pods = await ready(version);
          return pods.length === count && pods.every(({ metadata }) => metadata.uid !== pod.metadata.uid);
        },
        { describe: () => app.describe() },
      );
    const [canary] = await app.podsOf('v2');
    await evict(canary!);
    await gone(canary!, 'v2', 1);
    await eventually('the budget allows one again', async () => (await budget()).disruptionsAllowed === 1);
    const [stable] = await app.podsOf('v1');
    await evict(stable!);
    await gone(stable!, 'v1', 3);
    await app.until('10 % again', ({ status }) => status?.traffic?.canary === 10);
    await app.applyRollout({ approve: 'v2' });
    await app.promoted('v2');
    await eventually('the budget sees three', async () => (await budget()).expectedPods === 3);
    expect((await app.load()).failed).toBe(0);
  });
});
