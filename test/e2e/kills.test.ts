import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { installationChecks, rolloutChecks } from '../../src/cli/check/installation.ts';
import { runChecks } from '../../src/cli/check/run.ts';
import { installWeir } from '../../src/cli/install/apply.ts';
import { admissionOf } from '../../src/cli/install/discover.ts';
import { App } from './support/app.ts';
import { eventually, kill } from './support/cluster.ts';
import { onKubernetes, type RunningCluster, startWithWeir } from './support/start.ts';

/** A cluster of its own: these scenarios kill what the others rely on. */
let cluster: RunningCluster;
let app: App;

beforeAll(async () => {
  cluster = await startWithWeir(mkdtempSync(join(tmpdir(), 'weir-kills-')));
}, 150_000);
afterAll(() => cluster?.stop(), 30_000);

describe('the gate removed by a person', () => {
  afterAll(() => app?.remove());

  test('a condition and weir check say so at once, and when it is back', async () => {
    app = await App.create(cluster, 'gate-removed', { replicas: 1, rps: 0 });
    const gated = (status: string) =>
      app.until(
        `Gated=${status}`,
        (rollout) => rollout.status?.conditions.find(({ type }) => type === 'Gated')?.status === status,
        15_000,
      );
    const check = async () =>
      (
        await runChecks([installationChecks, rolloutChecks], {
          client: cluster.client,
          namespace: 'weir',
          signal: AbortSignal.timeout(10_000),
        })
      ).filter(({ status }) => status === 'failed');
    expect(await check()).toEqual([]);
    try {
      for (const kind of [kinds.MutatingAdmissionPolicyBinding, kinds.MutatingWebhookConfiguration]) {
        await cluster.client.delete(kind, undefined, 'gate.weir.dev').catch(() => {});
      }
      await gated('False');
      const told = await check();
      expect(told.map(({ check: name }) => name)).toEqual(['admission', 'gate']);
      // The backstop is still there: nothing goes live, GitOps tries again until the gate is back.
      expect(told[1]?.message).toContain('gate-removed/web is refused, not held');
      await expect(app.deploy('v2')).rejects.toThrow('guards this Deployment');
    } finally {
      const { admission } = await admissionOf(cluster.client);
      await installWeir(cluster.client, { profile: 'local', admission });
    }
    await gated('True');
    expect(await check()).toEqual([]);
  });
});

describe('kills', () => {
  let runs = 1;

  beforeAll(async () => {
    app = await App.create(cluster, 'kills', { strategy: { canary: { weights: [20, 50], dwell: '1s' } } });
  });
  afterAll(() => app?.remove());

  // One after the other, of one application: each is the next version's rollout.
  test.each([
    ...(onKubernetes
      ? [
          ['API server', '/kube-apiserver-'],
          ['etcd', '/etcd-', '--listen-client-urls'],
          ['workload controllers', '/kube-controller-manager-'],
        ]
      : [
          ['API server', 'local apiserver'],
          ['workload controllers', 'local workloads'],
        ]),
    ['node', 'local node'],
    ['mesh control plane', 'main.js mesh'],
    ['metrics store', 'main.js metrics'],
    ["caller's sidecar", 'WEIR_INBOUND=', 'POD_NAME=load-'],
  ])('SIGKILL of the %s mid-rollout loses nothing', async (_name = '', ...words) => {
    const before = `v${runs++}`;
    const version = `v${runs}`;
    await app.deploy(version);
    await app.until('20 %', ({ status }) => status?.traffic?.canary === 20);
    kill(cluster.dir, ...words);
    await app.promoted(version, 90_000);
    expect((await app.podsOf(version)).length).toBe(2);
    expect((await app.podsOf(before)).length).toBe(0);
    await eventually('exactly the new pods are endpoints', async () => {
      const slices = await cluster.client.list<KubeObject>(kinds.EndpointSlice, app.namespace, {
        labelSelector: 'kubernetes.io/service-name=web',
      });
      return slices.items.flatMap(({ endpoints }) => (endpoints ?? []) as unknown[]).length === 2;
    });
  });
});
