import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { kinds } from '../../src/api/kinds.ts';
import type { Rollout } from '../../src/api/rollout.ts';
import { App } from '../e2e/support/app.ts';
import { eventually, sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { ALWAYS_GOOD, kubectlFor, manifestOf, nativeSets, QUICK } from './support/kubectl.ts';

let cluster: TestCluster;
let app: App;
const quiet = { rps: 0, analysis: ALWAYS_GOOD, strategy: QUICK };

beforeAll(async () => {
  cluster = await sharedCluster();
});
afterEach(() => app?.remove());

const stalledOf = ({ status }: Rollout) =>
  status?.conditions.find(({ type, status: value }) => type === 'Stalled' && value === 'True');
const stalled = async (reason: string) => {
  const rollout = await app.until(`Stalled: ${reason}`, (each) => stalledOf(each)?.reason === reason);
  return stalledOf(rollout)!.message;
};
/** Users noticed nothing: the same stable pods, and nothing of the new template left. */
const untouched = async (stable: unknown[], version = 'v2') => {
  await eventually('nothing is left of the canary', async () => (await app.podsOf(version)).length === 0, {
    describe: () => app.describe(),
  });
  expect((await app.podsOf('v1')).map(({ metadata }) => metadata.uid).sort()).toEqual(stable);
  expect(await nativeSets(app)).toHaveLength(1);
};
/** Whole: on a busy machine the second pod may come after the Rollout is Healthy. */
const stablePods = () =>
  eventually('the stable pods', async () => {
    const pods = await app.podsOf('v1');
    return pods.length === 2 && pods.map(({ metadata }) => metadata.uid).sort();
  });

describe('Deployments that Weir cannot roll out as they are', () => {
  test('revisionHistoryLimit: 0 is refused by name, held, and rolls out when it is mended', async () => {
    app = await App.create(cluster, 'no-history', { ...quiet, deployment: { revisionHistoryLimit: 0 } });
    const stable = await stablePods();
    await app.deploy('v2');
    expect(await stalled('NoRevisionHistory')).toContain('set it to 1 or more');
    await untouched(stable);
    await app.deploy('v2', {}, { revisionHistoryLimit: 2 });
    await app.promoted('v2');
  });

  test('Recreate is refused by name; with allowRecreate the tested pods stay', async () => {
    app = await App.create(cluster, 'recreate', { ...quiet, deployment: { strategy: { type: 'Recreate' } } });
    const stable = await stablePods();
    await app.deploy('v2');
    expect(await stalled('Recreate')).toContain('allowRecreate: true');
    await untouched(stable);
    await app.applyRollout({ allowRecreate: true });
    await app.until('half', ({ status }) => status?.traffic?.canary === 50);
    const tested = (await app.podsOf('v2')).map(({ metadata }) => metadata.uid);
    await app.promoted('v2');
    expect((await app.podsOf('v2')).map(({ metadata }) => metadata.uid)).toEqual(
      expect.arrayContaining(tested),
    );
    expect(await app.podsOf('v1')).toEqual([]);
  });
});

describe('a canary whose pods do not come', () => {
  const failing = { ...quiet, spec: { progressDeadline: '5s' } };

  test('quota exceeded: says so, fails at its deadline, and a retry after the quota was raised is promoted', async () => {
    app = await App.create(cluster, 'quota', failing);
    const stable = await stablePods();
    const kubectl = kubectlFor(cluster, app.namespace);
    await kubectl(['create', 'quota', 'pods', '--hard=pods=2']);
    await eventually('the quota counts', async () =>
      (await kubectl(['get', 'quota', 'pods', '-o', 'jsonpath={.status.used.pods}'])).includes('2'),
    );
    await app.deploy('v2');
    await app.phase('Failed');
    expect(await stalled('ProgressDeadline')).toMatch(/exceeded quota: pods/);
    await untouched(stable);
    await kubectl(['patch', 'quota', 'pods', '--type=merge', '-p', '{"spec":{"hard":{"pods":"8"}}}']);
    await app.applyRollout({ retry: '1', progressDeadline: '60s' });
    await app.promoted('v2');
  });

  test('an image that cannot be pulled: names pod and reason, fails, stable untouched', async () => {
    app = await App.create(cluster, 'image-pull', failing);
    const stable = await stablePods();
    await kubectlFor(
      cluster,
      app.namespace,
    )(['set', 'image', 'deployment/web', 'app=registry.invalid/web:v2']);
    await app.phase('Failed');
    expect(await stalled('ProgressDeadline')).toMatch(/web-\S+: (ErrImagePull|ImagePullBackOff)/);
    await untouched(stable);
  });

  test('pods that never become ready: no request reaches them, fails, stable untouched', async () => {
    app = await App.create(cluster, 'never-ready', { ...failing, rps: 40 });
    const stable = await stablePods();
    await app.deploy('v2', { FAIL_READINESS: 'true' });
    await app.phase('Failed');
    expect(await stalled('ProgressDeadline')).toContain('not ready, look at the readiness probe');
    expect(app.weights.every(({ canary }) => canary === 0)).toBe(true);
    await untouched(stable);
    expect((await app.load()).failed).toBe(0);
  });

  test('pods that crash: names the crash loop, fails, stable untouched', async () => {
    app = await App.create(cluster, 'crash-loop', failing);
    const stable = await stablePods();
    const manifest = app.deploymentManifest('v2') as unknown as {
      spec: { template: { spec: { containers: { command?: string[] }[] } } };
    };
    manifest.spec.template.spec.containers[0]!.command = ['false'];
    await cluster.client.apply(kinds.Deployment, manifest as never, { fieldManager: 'gitops', force: true });
    await app.phase('Failed');
    expect(await stalled('ProgressDeadline')).toContain('CrashLoopBackOff');
    await untouched(stable);
  });
});

describe('a configuration by kustomize, its name ending in a hash', () => {
  let folder: string;
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('a good change is a rollout, a bad one is rolled back, and going back is quiet', async () => {
    app = await App.create(cluster, 'config-hash', { strategy: { canary: { weights: [50], dwell: '1s' } } });
    const kubectl = kubectlFor(cluster, app.namespace);
    folder = mkdtempSync(join(tmpdir(), 'weir-kustomize-'));
    const manifest = manifestOf(app, 'v1') as {
      spec: { template: { spec: { containers: Record<string, unknown>[] } } };
    };
    manifest.spec.template.spec.containers[0]!.envFrom = [{ configMapRef: { name: 'settings' } }];
    writeFileSync(join(folder, 'web.yaml'), stringify(manifest));
    writeFileSync(
      join(folder, 'kustomization.yaml'),
      stringify({
        namespace: app.namespace,
        resources: ['web.yaml'],
        configMapGenerator: [{ name: 'settings', envs: ['settings.env'] }],
      }),
    );
    const apply = async (settings: string) => {
      writeFileSync(join(folder, 'settings.env'), settings);
      await kubectl(['apply', '--server-side', '--force-conflicts', '-k', folder]);
      const { spec } = await app.deployment();
      return (JSON.stringify(spec).match(/settings-[a-z0-9]+/) ?? [])[0];
    };
    const runsWith = async (name: string | undefined) =>
      (await app.pods()).filter(
        ({ spec, metadata }) => !metadata.deletionTimestamp && JSON.stringify(spec).includes(name!),
      ).length;

    const good = await apply('LATENCY_MS=1\n');
    await app.until('promoted', ({ status }) => status?.phase === 'Healthy' && status.history.length > 2);
    await eventually('both pods have it', async () => (await runsWith(good)) === 2);
    const before = await app.load();
    expect(before.failed).toBe(0);

    const bad = await apply('ERROR_RATE=1\n');
    expect(bad).not.toBe(good);
    await app.phase('Failed');
    await eventually('the bad configuration is gone', async () => (await runsWith(bad)) === 0);
    expect(await runsWith(good)).toBe(2);
    expect((await app.rollout()).status?.analysis?.failedRequests).toBeGreaterThan(0);

    expect(await apply('LATENCY_MS=1\n')).toBe(good);
    await app.healthy();
    expect(await runsWith(good)).toBe(2);
  });
});
