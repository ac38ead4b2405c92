import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { App } from '../e2e/support/app.ts';
import { eventually } from '../e2e/support/cluster.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { ownCluster } from './support/own.ts';
import { killApiServer } from './support/restart.ts';
import { withLifetime } from './support/service-account-token.ts';

/** A cluster of its own: these scenarios take away what the others rely on. */
let cluster: KubernetesCluster;
let app: App;

beforeAll(async () => {
  cluster = await ownCluster();
}, 150_000);
afterEach(() => app?.remove());
afterAll(() => cluster?.stop(), 30_000);

const answers = () =>
  eventually(
    'the API server answers',
    () => cluster.client.list(kinds.Namespace, undefined).then(() => true),
    { timeoutMs: 60_000 },
  );
const HELD = { canary: { steps: [{ weight: 20 }, { pause: {} }], dwell: '500ms' } };

describe('etcd', () => {
  test('away for longer than the progress deadline: users notice nothing, nothing fails, it goes on', async () => {
    app = await App.create(cluster, 'etcd-away', { strategy: HELD });
    await app.deploy('v2');
    await app.until('20 %', ({ status }) => status?.traffic?.canary === 20);
    await app.applyRollout({ progressDeadline: '2s' });
    const before = await app.load();
    const address = ((await app.pods({ app: 'load' }))[0]!.status as { podIP: string }).podIP;
    const load = async () =>
      (await (await fetch(`http://${address}:8080/`)).json()) as { ok: number; failed: number };
    // Frozen, not gone: requests hang instead of failing, which is the harder case.
    cluster.plane.children.etcd.kill('SIGSTOP');
    try {
      const since = Date.now();
      await eventually('eight seconds', () => Date.now() - since > 8000, { everyMs: 200 });
      expect(await load()).toMatchObject({ failed: before.failed });
      expect((await load()).ok).toBeGreaterThan(before.ok + 100);
    } finally {
      cluster.plane.children.etcd.kill('SIGCONT');
    }
    await answers();
    expect((await app.rollout()).status).toMatchObject({ phase: 'Progressing', traffic: { canary: 20 } });
    await app.applyRollout({ approve: 'v2' });
    await app.promoted('v2');
    expect((await app.load()).failed).toBe(0);
  });

  test('killed in every phase of one rollout: nothing is lost', async () => {
    app = await App.create(cluster, 'etcd-killed', {
      strategy: { canary: { weights: [20, 50], dwell: '1s' } },
    });
    await app.deploy('v2');
    for (const phase of ['Preparing', 'Progressing', 'Promoting'] as const) {
      await eventually(phase, () => app.phases.includes(phase), { timeoutMs: 60_000, everyMs: 5 });
      cluster.plane.children.etcd.kill();
    }
    await answers();
    await app.promoted('v2', 90_000);
    expect((await app.podsOf('v2')).length).toBe(2);
    expect(await app.podsOf('v1')).toEqual([]);
    expect((await app.load()).failed).toBe(0);
  });
});

describe('the API server', () => {
  test('killed while a change is held: it is held after the restart, and further writes too', async () => {
    app = await App.create(cluster, 'api-killed', { strategy: HELD });
    await app.deploy('v2');
    await app.until('20 %', ({ status }) => status?.traffic?.canary === 20);
    await killApiServer(cluster, () => app.deploy('v2', {}, { paused: false }));
    expect((await app.deployment()).spec.paused).toBe(true);
    await app.deploy('v3');
    expect((await app.deployment()).spec.paused).toBe(true);
    await app.until(
      'v3 at 20 %',
      ({ status }) => status?.canary?.images[0] === 'weir-sample:v3' && status.traffic?.canary === 20,
    );
    await app.applyRollout({ approve: 'v3' });
    await app.promoted('v3');
    expect((await app.load()).failed).toBe(0);
  });
});

describe("the controller's token", () => {
  const refusedTokens = async () => {
    const text = (await cluster.client.request('GET', '/metrics')) as string;
    return [...text.matchAll(/^authentication_attempts\{result="(?:error|failure)"\} (\d+)/gm)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
  };
  const controllerPod = async () => {
    const { items } = await cluster.client.list<KubeObject>(kinds.Pod, 'weir', {
      labelSelector: 'app.kubernetes.io/component=controller',
    });
    return items[0]!;
  };
  test('runs out: refused, the rollout stands and nothing fails; with the next token it goes on', async () => {
    app = await App.create(cluster, 'token', { strategy: HELD });
    await app.deploy('v2');
    await app.until('20 %', ({ status }) => status?.traffic?.canary === 20);
    await app.applyRollout({ progressDeadline: '2s' });
    const { metadata } = await controllerPod();
    const folder = `${metadata.namespace}_${metadata.name}_${metadata.uid}`;
    const file = join(cluster.dir, 'pods', folder, 'serviceaccount/token');
    const good = readFileSync(file, 'utf8');
    // As a kubelet does: in one step.
    const put = (token: string) => {
      writeFileSync(`${file}.next`, token, { mode: 0o600 });
      renameSync(`${file}.next`, file);
    };
    const before = await refusedTokens();
    // The node would bring a good token within a minute.
    cluster.node.kill('SIGSTOP');
    try {
      put(withLifetime(good, 5, cluster.dir));
      await eventually('refused tokens', async () => (await refusedTokens()) > before + 2, {
        timeoutMs: 90_000,
      });
      await app.applyRollout({ approve: 'v2' });
      const since = Date.now();
      await eventually('three seconds', () => Date.now() - since > 3000, { everyMs: 100 });
      expect((await app.rollout()).status).toMatchObject({ phase: 'Progressing', traffic: { canary: 20 } });
    } finally {
      put(withLifetime(good, 3600, cluster.dir));
      cluster.node.kill('SIGCONT');
    }
    await app.promoted('v2', 90_000);
    expect((await app.load()).failed).toBe(0);
  }, 240_000);
});
