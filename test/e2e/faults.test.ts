import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import { skipped } from '../support/skipped.ts';
import { App } from './support/app.ts';
import { eventually, kill, processes } from './support/cluster.ts';
import { prometheusInstalled, startPrometheus } from './support/prometheus.ts';
import { type RunningCluster, startWithWeir } from './support/start.ts';

/** A cluster of its own: these scenarios kill what the others rely on. */
let cluster: RunningCluster;
let app: App;

beforeAll(async () => {
  cluster = await startWithWeir(mkdtempSync(join(tmpdir(), 'weir-faults-')));
}, 150_000);
afterAll(() => cluster?.stop(), 30_000);

const leaderOf = async () => {
  const lease = await cluster.client.get(kinds.Lease, 'weir', 'weir-controller');
  return (lease.spec as { holderIdentity?: string }).holderIdentity;
};

const scaleSystem = (name: string, replicas: number) =>
  cluster.client.patch(kinds.Deployment, 'weir', name, { type: 'merge', body: { spec: { replicas } } });

/** Changes the controller's command line and waits until only the new one runs. */
async function controllerArguments(change: (argument: string) => string): Promise<void> {
  const deployment = await cluster.client.get(kinds.Deployment, 'weir', 'weir-controller');
  const [container] = (deployment.spec as { template: { spec: { containers: { args: string[] }[] } } })
    .template.spec.containers;
  await cluster.client.patch(kinds.Deployment, 'weir', 'weir-controller', {
    type: 'json',
    body: [
      { op: 'replace', path: '/spec/template/spec/containers/0/args', value: container!.args.map(change) },
    ],
  });
  await eventually('the new controller leads', async () => {
    const { status, metadata } = await cluster.client.get(kinds.Deployment, 'weir', 'weir-controller');
    const { observedGeneration, replicas, updatedReplicas, readyReplicas } = status as Record<string, number>;
    return (
      observedGeneration === metadata.generation &&
      replicas === 1 &&
      updatedReplicas === 1 &&
      readyReplicas === 1
    );
  });
}

describe('13: the controller is killed', () => {
  beforeAll(async () => {
    app = await App.create(cluster, 's13', { strategy: { canary: { weights: [50], dwell: '500ms' } } });
  });
  afterAll(() => app?.remove());

  // One kill in each phase, of one version after the other; the machine's own tests kill between any two effects of every run.
  test.each([
    ['Preparing', 'v2'],
    ['Progressing', 'v3'],
    ['Promoting', 'v4'],
    ['RollingBack', 'v5'],
  ] as const)('while %s: same end, never two canaries', async (phase, version) => {
    const bad = phase === 'RollingBack';
    const already = new Set((await app.replicaSets()).map(({ metadata }) => metadata.name));
    const seen = app.phases.length;
    await app.deploy(version, bad ? { ERROR_RATE: '1' } : {});
    await eventually(`phase ${phase}`, () => app.phases.indexOf(phase, seen) >= 0, {
      everyMs: 5,
      describe: () => app.describe(),
    });
    kill(cluster.dir, 'main.js controller');
    const canaries = new Set<string>();
    await eventually(
      'the end',
      async () => {
        for (const { metadata } of await app.replicaSets()) {
          if (metadata.labels?.['weir.dev/rollout'] && !already.has(metadata.name))
            canaries.add(metadata.name);
        }
        const { status } = await app.rollout();
        return bad
          ? status?.phase === 'Failed'
          : status?.phase === 'Healthy' && status.stable?.images.includes(`weir-sample:${version}`);
      },
      { timeoutMs: 60_000, describe: () => app.describe() },
    );
    expect(canaries.size).toBeLessThanOrEqual(1);
    expect((await app.podsOf(version)).length).toBe(bad ? 0 : 2);
  });
});

describe('faults', () => {
  afterEach(() => app?.remove());

  test('11: the metrics store is away for longer than the progress deadline: holds, does not abort, resumes', async () => {
    app = await App.create(cluster, 's11', {
      replicas: 1,
      strategy: { canary: { weights: [10, 50], dwell: '1s' } },
    });
    await scaleSystem('weir-metrics', 0);
    await eventually(
      'the metrics store is gone',
      () => processes(cluster.dir, 'main.js metrics').length === 0,
    );
    await app.deploy('v2');
    const held = await app.until(
      'held',
      ({ status }) => status?.phase === 'Progressing' && status.analysis?.verdict === 'hold',
    );
    // Not from the start: how long pods take to come up is not what this is about.
    await app.applyRollout({ progressDeadline: '2s' });
    const since = Date.now();
    await eventually('longer than the deadline', () => Date.now() - since > 4000);
    expect((await app.rollout()).status).toMatchObject({
      phase: 'Progressing',
      step: { index: held.status!.step!.index },
    });
    await app.applyRollout();
    await scaleSystem('weir-metrics', 1);
    await app.promoted('v2');
  });

  test('15: two controllers; the leader dies; the other goes on at the same step', async () => {
    app = await App.create(cluster, 's15', {
      replicas: 1,
      strategy: { canary: { steps: [{ weight: 10 }, { pause: {} }, { weight: 50 }], dwell: '500ms' } },
    });
    await scaleSystem('weir-controller', 2);
    await eventually('two controllers', () => processes(cluster.dir, 'main.js controller').length === 2);
    await app.deploy('v2');
    const paused = await app.until(
      'the pause',
      ({ status }) => status?.step?.index === 1 && status.traffic?.canary === 10,
    );
    const first = await leaderOf();
    // Gone at once and without a word: nobody gives the lease back.
    await cluster.client.delete(kinds.Pod, 'weir', first!, { gracePeriodSeconds: 0 });
    await eventually('another leader', async () => (await leaderOf()) !== first, { timeoutMs: 40_000 });
    expect((await app.rollout()).status).toMatchObject({
      phase: 'Progressing',
      step: { index: paused.status!.step!.index },
      traffic: { canary: 10 },
    });
    await app.applyRollout({ approve: 'v2' });
    await app.promoted('v2');
    await scaleSystem('weir-controller', 1);
  });

  test('a real Prometheus behind --prometheus-url judges the same way', async () => {
    if (!prometheusInstalled()) {
      skipped('prometheus is not on the PATH, so none judged');
      return;
    }
    app = await App.create(cluster, 'real-prometheus', {
      replicas: 1,
      strategy: { canary: { weights: [20], dwell: '1s' } },
    });
    const caller = (await app.pods({ app: 'load' }))[0]!.status as { podIP: string };
    const prometheus = await startPrometheus([`${caller.podIP}:4191`]);
    try {
      await controllerArguments((each) =>
        each.startsWith('--prometheus-url=') ? `--prometheus-url=${prometheus.url}` : each,
      );
      // Weir's own store is gone: what is judged can only come from the real one.
      await scaleSystem('weir-metrics', 0);
      await app.deploy('v2');
      await app.promoted('v2');
      await app.deploy('v3', { ERROR_RATE: '1' });
      const rollout = await app.phase('Failed');
      expect(rollout.status?.analysis?.metrics[0]).toMatchObject({ name: 'success-rate', verdict: 'fail' });
    } finally {
      await prometheus.stop();
    }
  });
});
