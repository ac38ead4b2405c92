import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { App } from '../e2e/support/app.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { ALWAYS_GOOD, kubectlFor, may, nativeSets, QUICK } from './support/kubectl.ts';
import { ownCluster } from './support/own.ts';

/** `weir install --namespaces team-a`: other teams share the cluster and have nothing to do with Weir. */
let cluster: KubernetesCluster;
const apps: App[] = [];

beforeAll(async () => {
  cluster = await ownCluster({ namespaces: ['team-a'] });
}, 150_000);
afterEach(async () => {
  for (const app of apps.splice(0)) await app.remove();
});
afterAll(() => cluster?.stop(), 30_000);

const create = async (namespace: string, withRollout: boolean) => {
  const app = await App.create(cluster, namespace, {
    rps: 0,
    analysis: ALWAYS_GOOD,
    strategy: QUICK,
    withRollout,
  });
  apps.push(app);
  return app;
};

describe('a controller of some namespaces', () => {
  test('rolls out there; elsewhere a Rollout is left alone and nothing is held', async () => {
    const other = await create('team-b', false);
    await other.applyRollout();
    const app = await create('team-a', true);
    await app.deploy('v2');
    await app.promoted('v2');
    await other.deploy('v2');
    const sets = await nativeSets(other);
    expect(sets.length).toBeGreaterThan(0);
    expect((await other.deployment()).spec.paused ?? false).toBe(false);
    expect((await other.rollout()).status).toBeUndefined();
    expect((await other.rollout()).metadata.finalizers ?? []).toEqual([]);
  });

  test.each([
    ['yes', 'create', 'replicasets.apps', 'team-a'],
    ['yes', 'patch', 'deployments.apps', 'team-a'],
    ['no', 'get', 'secrets', 'team-a'],
    ['no', 'delete', 'deployments.apps', 'team-a'],
    ['no', 'create', 'replicasets.apps', 'team-b'],
    ['no', 'list', 'pods', 'team-b'],
    ['no', 'update', 'configmaps', 'team-b'],
    ['no', 'get', 'secrets', 'weir'],
    ['no', 'update', 'mutatingadmissionpolicies.admissionregistration.k8s.io', 'team-a'],
  ])('may it? %s: %s %s in %s', async (answer, verb, resource, namespace) => {
    const kubectl = kubectlFor(cluster, namespace);
    const allowed = await may(kubectl, 'system:serviceaccount:weir:weir-controller', verb, resource);
    expect(allowed ? 'yes' : 'no').toBe(answer);
  });
});
