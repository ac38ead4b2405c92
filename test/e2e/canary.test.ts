import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import { App, type AppOptions } from './support/app.ts';
import { eventually, sharedCluster, type TestCluster } from './support/cluster.ts';

let cluster: TestCluster;
let app: App;
const create = async (namespace: string, options?: AppOptions) => {
  app = await App.create(cluster, namespace, options);
  return app;
};

beforeAll(async () => {
  cluster = await sharedCluster();
});

describe('canary scenarios: the life of one application', () => {
  afterAll(() => app?.remove());

  test('1: a new Rollout on a running Deployment changes nothing', async () => {
    await create('life', { withRollout: false });
    await eventually('two ready pods', async () => (await app.podsOf('v1')).length === 2);
    const before = (await app.podsOf('v1')).map(({ metadata }) => metadata.uid).sort();
    await app.applyRollout();
    const rollout = await app.healthy();
    expect(rollout.status?.canary).toBeUndefined();
    expect(rollout.status?.traffic).toMatchObject({ stable: 100, canary: 0 });
    expect(rollout.status?.analysis?.metrics ?? []).toEqual([]);
    expect((await app.podsOf('v1')).map(({ metadata }) => metadata.uid).sort()).toEqual(before);
    expect((await app.replicaSets()).length).toBe(1);
  });

  test('2: a healthy version climbs as declared and the tested pods stay', async () => {
    const already = (await app.load()).failed;
    await app.deploy('v2');
    await app.until('half of the traffic', ({ status }) => status?.traffic?.canary === 50);
    const tested = (await app.podsOf('v2')).map(({ metadata }) => metadata.uid);
    const rollout = await app.promoted('v2');
    const kept = (await app.podsOf('v2')).map(({ metadata }) => metadata.uid);
    expect(kept).toEqual(expect.arrayContaining(tested));
    expect(kept.length).toBe(2);
    expect(await app.podsOf('v1')).toEqual([]);
    expect(app.weights.map(({ canary }) => canary)).toEqual([0, 10, 50, 100, 0]);
    expect(rollout.status?.history.at(-1)).toMatchObject({ to: 'Healthy' });
    const deployment = await app.deployment();
    expect(deployment.spec.paused ?? false).toBe(false);
    // The state is written first, so the pin goes a moment after the phase has changed.
    await eventually('nothing of Weir is left in the Service', async () => {
      const service = await cluster.client.get(kinds.Service, app.namespace, 'web');
      return Object.keys((service.spec as { selector: object }).selector).join() === 'app';
    });
    const { failed } = await app.load();
    expect(failed - already).toBe(0);
    // The canary's leaf has given its pods to the stable one by then, and nobody is sent to it any more.
    expect(app.emptied.filter((service) => service !== 'web-canary')).toEqual([]);
  });

  test('3: a canary that answers 500 is stopped, and the users it cost are counted', async () => {
    const before = await app.load();
    await app.deploy('v3', { ERROR_RATE: '1' });
    const rollout = await app.phase('Failed');
    expect((await app.split()).spec.backends).toEqual(
      expect.arrayContaining([expect.objectContaining({ service: 'web-canary', weight: 0 })]),
    );
    await eventually('the canary is gone', async () => (await app.podsOf('v3')).length === 0);
    expect(rollout.status?.conditions.find(({ type }) => type === 'Stalled')).toMatchObject({
      status: 'True',
    });
    expect(rollout.status?.analysis?.failedRequests).toBeGreaterThan(0);
    expect((await app.podsOf('v2')).length).toBe(2);
    const after = await app.load();
    expect(after.failed - before.failed).toBeLessThanOrEqual(after.sent - before.sent);
    expect(after.failed).toBeGreaterThan(0);
  });

  test('7: failed, then Git reverts to the stable template: no new run', async () => {
    await app.deploy('v2');
    const rollout = await app.healthy();
    const failedAt = app.phases.lastIndexOf('Failed');
    expect(app.phases.slice(failedAt)).toEqual(['Failed', 'Healthy']);
    expect(rollout.status?.canary).toBeUndefined();
    await eventually('unpaused', async () => !(await app.deployment()).spec.paused);
  });
});

describe('canary scenarios: a run that is held', () => {
  afterAll(() => app?.remove());

  test('5: a third revision at 10 % takes the weight to 0 and starts over', async () => {
    await create('held', {
      replicas: 1,
      strategy: { canary: { steps: [{ weight: 10 }, { pause: {} }, { weight: 50 }], dwell: '500ms' } },
    });
    await app.deploy('v2');
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
    await app.deploy('v3');
    await app.until(
      'v3 is the canary at 10 %',
      ({ status }) =>
        (status?.canary?.images.includes('weir-sample:v3') && status.traffic?.canary === 10) ?? false,
    );
    expect(app.weights.map(({ canary }) => canary)).toEqual([0, 10, 0, 10]);
    await eventually('v2 is gone', async () => (await app.podsOf('v2')).length === 0);
    expect((await app.podsOf('v1')).length).toBe(1);
  });

  test('10: a pause without limit outlives the progress deadline; approve in Git continues', async () => {
    const paused = await app.until(
      'paused at step 2',
      ({ status }) =>
        status?.phase === 'Progressing' && status.step?.index === 1 && status.traffic?.canary === 10,
    );
    // Not from the start: how long pods take to come up is not what this is about.
    await app.applyRollout({ progressDeadline: '2s' });
    const since = Date.parse(paused.status!.step!.since);
    await eventually('longer than the deadline', () => Date.now() - since > 4000);
    expect((await app.rollout()).status?.phase).toBe('Progressing');
    await app.applyRollout({ approve: 'v3' });
    await app.promoted('v3');
  });
});

describe('canary scenarios', () => {
  afterEach(() => app?.remove());

  test('4: steps 1, 2, 10 and 80 give stable exactly 99, 98, 90 and 20', async () => {
    await create('s04', {
      replicas: 1,
      strategy: { canary: { weights: [1, 2, 10, 80], dwell: '100ms' } },
      analysis: {
        interval: '500ms',
        minRequests: 1,
        metrics: [{ name: 'success-rate', threshold: { min: '99%' }, over: '10s' }],
      },
      rps: 150,
    });
    await app.deploy('v2');
    await app.promoted('v2');
    expect(app.weights.map(({ stable }) => stable)).toEqual([100, 99, 98, 90, 20, 0, 100]);
  });

  test('6: stable scaled 4 to 8 to 4 while at 25 %: the canary follows and never shrinks below its weight', async () => {
    await create('s06', {
      replicas: 4,
      strategy: { canary: { steps: [{ weight: 25 }, { pause: {} }], dwell: '500ms' } },
    });
    await app.deploy('v2');
    await app.until('25 %', ({ status }) => status?.traffic?.canary === 25);
    expect((await app.podsOf('v2')).length).toBe(1);
    const scale = (replicas: number) =>
      cluster.client.patch(
        kinds.Deployment,
        app.namespace,
        'web',
        { type: 'merge', body: { spec: { replicas } } },
        { subresource: 'scale' },
      );
    await scale(8);
    await eventually(
      '2 canary pods beside 8 stable ones',
      async () => (await app.podsOf('v2')).length === 2 && (await app.podsOf('v1')).length === 8,
    );
    await scale(4);
    await eventually('4 stable pods', async () => (await app.podsOf('v1')).length === 4);
    expect((await app.podsOf('v2')).length).toBe(2);
    expect((await app.rollout()).status?.phase).toBe('Progressing');
  });

  test('12: no traffic at all holds, then the declared policy; never a silent promotion', async () => {
    await create('s12', {
      replicas: 1,
      rps: 0,
      analysis: {
        interval: '500ms',
        minRequests: 10,
        metrics: [{ name: 'success-rate', threshold: { min: '99%' }, over: '10s' }],
        inconclusive: { after: '4s', then: 'rollback' },
      },
    });
    await app.deploy('v2');
    await app.until(
      'held at the first step',
      ({ status }) => status?.phase === 'Progressing' && status.analysis?.verdict === 'hold',
    );
    const rollout = await app.phase('Failed');
    expect(app.phases).not.toContain('Promoting');
    expect(rollout.status?.message ?? '').toMatch(/inconclusive|no data|requests/i);
  });
});
