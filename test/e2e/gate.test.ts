import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { App, type AppOptions } from './support/app.ts';
import { weir } from './support/cli.ts';
import { eventually, sharedCluster, type TestCluster } from './support/cluster.ts';
import { isReady } from './support/pods.ts';

let cluster: TestCluster;
let app: App;
const HOLD: AppOptions = { strategy: { canary: { steps: [{ weight: 10 }, { pause: {} }], dwell: '200ms' } } };
const ONE: AppOptions = { ...HOLD, replicas: 1 };
const create = async (namespace: string, options?: AppOptions) => {
  app = await App.create(cluster, namespace, options);
  return app;
};

beforeAll(async () => {
  cluster = await sharedCluster();
});

describe('gate scenarios: a run at 10 %', () => {
  beforeAll(async () => {
    await create('held-at-ten', HOLD);
    await app.deploy('v2');
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
  });
  afterAll(() => app?.remove());

  test('16: a second apply, replace, resume and paused: false leave the gate closed', async () => {
    const held = async (how: string) => {
      const deployment = await app.deployment();
      expect({ how, paused: deployment.spec.paused }).toEqual({ how, paused: true });
    };
    await held('first apply');
    await app.deploy('v2');
    await held('second apply');
    await app.deploy('v2', {}, { paused: false });
    await held('paused: false in the manifest');
    const { client } = cluster;
    await client.patch(kinds.Deployment, app.namespace, 'web', {
      type: 'merge',
      body: { spec: { paused: null } },
    });
    await held('merge patch (rollout resume)');
    await client.patch(kinds.Deployment, app.namespace, 'web', {
      type: 'json',
      body: [{ op: 'replace', path: '/spec/paused', value: false }],
    });
    await held('JSON patch');
    const current = await app.deployment();
    await client.replace(kinds.Deployment, {
      ...current,
      spec: { ...current.spec, paused: false },
    } as KubeObject);
    await held('replace');
    expect((await app.podsOf('v2')).length).toBe(1);
  });

  test('a TrafficSplit edited by hand is put back at once, and its weights are never taken', async () => {
    const backends = [
      { service: 'web-stable', weight: 0 },
      { service: 'web-canary', weight: 100 },
    ];
    await cluster.client.patch(kinds.TrafficSplit, app.namespace, 'web', {
      type: 'merge',
      body: { spec: { backends } },
    });
    await eventually('10 % again', async () =>
      (await app.split()).spec.backends.some(
        ({ service, weight }) => service === 'web-canary' && weight === 10,
      ),
    );
    expect((await app.rollout()).status?.traffic?.canary).toBe(10);
  });

  test.each(['Background', 'Foreground', 'Orphan'] as const)(
    '19: Rollout deleted mid-canary (%s): nothing is adopted unjudged',
    async (propagationPolicy) => {
      // Not there after the first: a new one finds the Deployment held, and a template that has yet to be judged.
      await app.applyRollout();
      await app.deploy('v2');
      await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
      const already = (await app.load()).failed;
      await cluster.client.delete(kinds.Rollout, app.namespace, 'web', { propagationPolicy });
      await eventually(
        'the Rollout goes',
        async () => !(await cluster.client.find(kinds.Rollout, app.namespace, 'web')),
      );
      await eventually('the canary goes', async () => (await app.podsOf('v2')).length === 0);
      expect((await app.podsOf('v1')).length).toBe(2);
      expect((await app.deployment()).spec.paused).toBe(true);
      const service = await cluster.client.get(kinds.Service, app.namespace, 'web');
      expect((service.spec as { selector: object }).selector).toEqual({ app: 'web' });
      expect((await app.load()).failed - already).toBe(0);
      expect(app.emptied.filter((each) => each === 'web')).toEqual([]);
    },
  );
});

describe('gate scenarios: one version after the other', () => {
  beforeAll(() => create('versions', { strategy: { canary: { weights: [50], dwell: '500ms' } } }));
  afterAll(() => app?.remove());

  test('17: v1, v2, v1 across promotions keeps the tested pods of each run', async () => {
    for (const version of ['v2', 'v1']) {
      await app.deploy(version);
      await app.until(
        'half',
        ({ status }) =>
          status?.traffic?.canary === 50 &&
          (status.canary?.images.includes(`weir-sample:${version}`) ?? false),
      );
      const tested = (await app.podsOf(version)).map(({ metadata }) => metadata.uid);
      await app.promoted(version);
      expect((await app.podsOf(version)).map(({ metadata }) => metadata.uid)).toEqual(
        expect.arrayContaining(tested),
      );
    }
    expect((await app.load()).failed).toBe(0);
    expect(app.emptied.filter((service) => service !== 'web-canary')).toEqual([]);
  });

  test('18: v5 applied while v4 is being promoted is gated, not shipped', async () => {
    await app.deploy('v4');
    // Between the release and the unpause: the Deployment has adopted the tested pods and is still paused.
    await eventually(
      'v4 is adopted',
      async () =>
        (await app.replicaSets()).some(
          ({ metadata, spec }) =>
            metadata.ownerReferences?.some(({ controller }) => controller) &&
            JSON.stringify(spec).includes('weir-sample:v4'),
        ),
      { timeoutMs: 60_000, everyMs: 1, describe: () => app.describe() },
    );
    await app.deploy('v5');
    await app.until(
      'v5 is judged as a canary',
      ({ status }) =>
        status?.canary?.images.includes('weir-sample:v5') === true && status.traffic?.canary === 50,
    );
    const stable = (await app.rollout()).status?.stable;
    expect(stable?.images).toEqual(['weir-sample:v4']);
    await app.promoted('v5');
  });
});

describe('gate scenarios', () => {
  /** A run at 10 % whose Deployment has been deleted. */
  const withoutItsDeployment = async (namespace: string) => {
    await create(namespace, ONE);
    await app.deploy('v2');
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
    await cluster.client.delete(kinds.Deployment, app.namespace, 'web', { propagationPolicy: 'Background' });
    await eventually(
      'the old one is gone',
      async () => !(await cluster.client.find(kinds.Deployment, app.namespace, 'web')),
    );
  };
  afterEach(() => app?.remove());

  test('14: Deployment deleted and re-created mid-rollout: no stuck finalizer, no orphan', async () => {
    await withoutItsDeployment('s14');
    await app.deploy('v3');
    await app.promoted('v3');
    await eventually('one ReplicaSet is left', async () => (await app.replicaSets()).length === 1, {
      describe: () => app.describe(),
    });
    await cluster.client.delete(kinds.Rollout, app.namespace, 'web');
    await eventually(
      'the Rollout goes',
      async () => !(await cluster.client.find(kinds.Rollout, app.namespace, 'web')),
    );
  });

  test('20: Deployment re-created with another selector: no Service without endpoints, run ended', async () => {
    await withoutItsDeployment('s20');
    const manifest = app.deploymentManifest('v3');
    const spec = manifest.spec as {
      selector: object;
      template: { metadata: { labels: Record<string, string> } };
    };
    spec.selector = { matchLabels: { app: 'web', tier: 'front' } };
    spec.template.metadata.labels.tier = 'front';
    await cluster.client.apply(kinds.Deployment, manifest, { fieldManager: 'gitops', force: true });
    await app.promoted('v3');
    await eventually('the root and the stable Service have endpoints', async () => {
      const { items } = await cluster.client.list<KubeObject>(kinds.EndpointSlice, app.namespace);
      const served = items
        .filter(({ endpoints }) =>
          ((endpoints ?? []) as { conditions: { ready: boolean } }[]).some(
            ({ conditions }) => conditions.ready,
          ),
        )
        .map(({ metadata }) => metadata.labels?.['kubernetes.io/service-name']);
      return served.includes('web') && served.includes('web-stable');
    });
  });

  test('taken over while a revision does not come up: the next one is judged beside the pods that serve', async () => {
    const options: AppOptions = { replicas: 3, strategy: { canary: { weights: [50], dwell: '500ms' } } };
    await create('stuck', { ...options, withRollout: false });
    await app.deploy('v2', { FAIL_READINESS: '1' });
    await eventually('v2 is on its way', async () => (await app.podsOf('v2')).length > 0);
    const serving = (await app.podsOf('v1')).length;
    await app.applyRollout();
    await app.healthy();
    await app.deploy('v3');
    await app.until('v3 has users', ({ status }) => status?.traffic?.canary === 50);
    expect((await app.podsOf('v1')).filter(isReady).length).toBeGreaterThanOrEqual(serving);
    await app.promoted('v3');
    expect((await app.load()).failed).toBe(0);
  });

  test('21: scaled during the release: every pod it asks for comes, and no request fails', async () => {
    await create('s21', { replicas: 3, strategy: { canary: { weights: [50], dwell: '500ms' } } });
    await app.deploy('v2');
    await app.phase('Promoting');
    await cluster.client.patch(
      kinds.Deployment,
      app.namespace,
      'web',
      { type: 'merge', body: { spec: { replicas: 4 } } },
      { subresource: 'scale' },
    );
    await app.promoted('v2');
    await eventually('four v2 pods', async () => (await app.podsOf('v2')).length === 4);
    expect((await app.load()).failed).toBe(0);
  });

  test('21: canary pods unready just before the release: none, no pod is lost, and it goes on when they are back', async () => {
    await create('s21-unready', {
      replicas: 3,
      strategy: { canary: { weights: [50], dwell: '200ms' } },
      // Ended by a person below: how long pods take to be found unready is not what this is about.
      spec: { watch: '10m', progressDeadline: '5m' },
    });
    await app.deploy('v2');
    await app.phase('Watching');
    const tested = await app.podsOf('v2');
    expect(tested).toHaveLength(3);
    const failing = tested.slice(1);
    await app.readiness(failing, 'fail');
    await app.until('capacity is lost', ({ status }) =>
      (status?.history ?? []).some(({ reason }) => reason === 'CapacityLost'),
    );
    await weir(cluster.kubeconfig, 'rollouts', 'promote', 'web', '-n', app.namespace);
    const readyOf = async (version: string) => (await app.podsOf(version)).filter(isReady).length;
    const since = Date.now();
    // Ten times as long as the way from here to the release takes with pods that are ready.
    await eventually('five seconds more', () => Date.now() - since > 5000);
    expect(app.phases).not.toContain('Promoting');
    expect((await app.deployment()).spec.paused).toBe(true);
    expect([await readyOf('v1'), await readyOf('v2')]).toEqual([3, 1]);
    await app.readiness(failing, 'ok');
    // The word from before may still count.
    await app.until('all traffic again', ({ status }) =>
      ['Watching', 'Promoting', 'Healthy'].includes(status?.phase ?? ''),
    );
    await weir(cluster.kubeconfig, 'rollouts', 'promote', 'web', '-n', app.namespace);
    await app.promoted('v2');
    const kept = (await app.podsOf('v2')).map(({ metadata }) => metadata.uid).sort();
    expect(kept).toEqual(tested.map(({ metadata }) => metadata.uid).sort());
    expect((await app.load()).failed).toBe(0);
  });
});
