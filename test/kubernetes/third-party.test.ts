import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { App, type AppOptions } from '../e2e/support/app.ts';
import { eventually, sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { ALWAYS_GOOD, HOLD, type Kubectl, kubectlFor, QUICK } from './support/kubectl.ts';
import { startThirdParty, type ThirdParty, type ThirdPartyRule } from './support/third-party.ts';

let cluster: TestCluster;
let app: App;
let kubectl: Kubectl;
let webhook: ThirdParty | undefined;

beforeAll(async () => {
  cluster = await sharedCluster();
});
afterEach(async () => {
  await webhook?.remove();
  webhook = undefined;
  await app?.remove();
});

const create = async (name: string, options: AppOptions = {}) => {
  app = await App.create(cluster, name, { rps: 0, analysis: ALWAYS_GOOD, strategy: QUICK, ...options });
  kubectl = kubectlFor(cluster, name);
};
/** Configurations reach the API server's admission by a watch: tried until the webhook was asked. */
const register = async (rule: ThirdPartyRule, ask: () => Promise<unknown>) => {
  webhook = await startThirdParty(cluster, app.namespace, rule);
  await eventually('the webhook is asked', async () => {
    await ask().catch(() => {});
    return webhook!.calls > 0;
  });
};
type Template = { spec: { template: { spec: { containers: { image: string }[] } } } };
const imageIn = ({ spec }: KubeObject) =>
  (spec as unknown as Template['spec']).template.spec.containers[0]!.image;

describe("somebody else's admission webhook", () => {
  test('mutates pods: the rollout goes on, and the tested pods keep what it added', async () => {
    await create('hook-pods', { rps: 40 });
    await register(
      {
        resource: 'pods',
        operations: ['CREATE'],
        mutate: ({ metadata }) => [
          metadata.annotations
            ? { op: 'add', path: '/metadata/annotations/audit.example.com~1seen', value: 'yes' }
            : { op: 'add', path: '/metadata/annotations', value: { 'audit.example.com/seen': 'yes' } },
          { op: 'add', path: '/metadata/labels/cost-centre', value: 'shop' },
        ],
      },
      () => kubectl(['run', 'probe', '--image=weir-sample:v0', '--dry-run=server']),
    );
    await app.deploy('v2');
    await app.until('half', ({ status }) => status?.traffic?.canary === 50);
    const tested = (await app.podsOf('v2')).map(({ metadata }) => metadata.uid);
    await app.promoted('v2');
    const pods = await app.podsOf('v2');
    expect(pods.map(({ metadata }) => metadata.uid)).toEqual(expect.arrayContaining(tested));
    for (const { metadata } of pods) {
      expect(metadata.annotations).toMatchObject({ 'audit.example.com/seen': 'yes' });
      expect(metadata.labels).toMatchObject({ 'cost-centre': 'shop' });
    }
    expect((await app.load()).failed).toBe(0);
  });

  test('resolves tags to digests: held and judged as resolved; the same tag again is no rollout', async () => {
    await create('hook-digest');
    const resolve = (image: string) =>
      image.includes('@') ? image : `${image}@sha256:${Buffer.from(image).toString('hex').padEnd(64, '0')}`;
    await register(
      {
        resource: 'deployments',
        group: 'apps',
        operations: ['UPDATE'],
        mutate: (deployment) => [
          {
            op: 'replace',
            path: '/spec/template/spec/containers/0/image',
            value: resolve(imageIn(deployment)),
          },
        ],
      },
      () => kubectl(['set', 'image', 'deployment/web', 'app=weir-sample:v0', '--dry-run=server']),
    );
    const runs = (rollout: Awaited<ReturnType<typeof app.rollout>>) =>
      rollout.status?.history.filter(({ to }) => to === 'Preparing').length;
    await app.deploy('v2');
    expect(await app.deployment()).toMatchObject({ spec: { paused: true } });
    const promoted = await app.until(
      'the resolved image is promoted',
      ({ status }) => status?.phase === 'Healthy' && status.stable?.images[0] === resolve('weir-sample:v2'),
    );
    expect(runs(promoted)).toBe(1);
    // What GitOps does every few minutes: the tag as Git has it.
    await app.deploy('v2');
    await eventually('unpaused', async () => !(await app.deployment()).spec.paused, {
      describe: () => app.describe(),
    });
    const after = await app.healthy();
    expect(runs(after)).toBe(1);
    expect(after.status?.stable).toEqual(promoted.status?.stable);
  });

  test("changes Weir's ReplicaSet: Stalled with the reason, no traffic; mended, it goes on", async () => {
    await create('hook-sets', { rps: 40 });
    await register(
      {
        resource: 'replicasets',
        group: 'apps',
        operations: ['CREATE'],
        label: 'weir.dev/rollout',
        mutate: () => [
          { op: 'add', path: '/spec/template/metadata/annotations', value: { 'x.example.com/y': 'z' } },
        ],
      },
      () =>
        kubectl(['create', '--dry-run=server', '-f', '-'], {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          metadata: { name: 'probe', labels: { 'weir.dev/rollout': 'probe' } },
          spec: {
            selector: { matchLabels: { a: 'b' } },
            template: {
              metadata: { labels: { a: 'b' } },
              spec: { containers: [{ name: 'a', image: 'a' }] },
            },
          },
        }),
    );
    await app.deploy('v2');
    const rollout = await app.until('Stalled', ({ status }) =>
      Boolean(status?.conditions.some(({ type, status: is }) => type === 'Stalled' && is === 'True')),
    );
    expect(rollout.status?.conditions.find(({ type }) => type === 'Stalled')).toMatchObject({
      reason: 'TemplateChanged',
      message: expect.stringContaining('an admission webhook changes ReplicaSets'),
    });
    expect(app.weights.every(({ canary }) => canary === 0)).toBe(true);
    expect((await app.podsOf('v1')).length).toBe(2);
    await webhook!.remove();
    webhook = undefined;
    await cluster.client.delete(kinds.ReplicaSet, app.namespace, rollout.status!.canary!.replicaSet!);
    await app.promoted('v2');
    expect((await app.load()).failed).toBe(0);
  });

  test('is down: pods are refused, the message names it, the deadline ends the run, stable stays', async () => {
    await create('hook-down', { strategy: HOLD, spec: { progressDeadline: '5s' } });
    await register({ resource: 'pods', operations: ['CREATE'], mutate: () => [] }, () =>
      kubectl(['run', 'probe', '--image=weir-sample:v0', '--dry-run=server']),
    );
    await webhook!.close();
    await app.deploy('v2');
    const rollout = await app.phase('Failed');
    expect(rollout.status?.message).toContain('hook-down.example.com');
    expect((await app.podsOf('v1')).length).toBe(2);
  });
});
