import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import { App } from '../e2e/support/app.ts';
import { eventually } from '../e2e/support/cluster.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { ALWAYS_GOOD, HOLD } from './support/kubectl.ts';
import { ownCluster } from './support/own.ts';
import { gateScenarios } from './support/write-paths.ts';

/** A cluster as they were before the policies: neither served nor enforced. */
const WITHOUT_POLICIES = [
  '--runtime-config=admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false,admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings=false',
  '--disable-admission-plugins=MutatingAdmissionPolicy',
];

let cluster: KubernetesCluster;
beforeAll(async () => {
  cluster = await ownCluster({ apiserverFlags: WITHOUT_POLICIES });
}, 150_000);
afterAll(() => cluster?.stop(), 30_000);

gateScenarios('webhooks', () => cluster);

describe('the webhook fallback', () => {
  test('is what was chosen for this cluster', async () => {
    const { items } = await cluster.client.list(kinds.MutatingWebhookConfiguration, undefined);
    expect(items.map(({ metadata }) => metadata.name).sort()).toEqual(['gate.weir.dev', 'inject.weir.dev']);
    const { resources } = (await cluster.client.request('GET', '/apis/admissionregistration.k8s.io/v1')) as {
      resources: { name: string }[];
    };
    expect(resources.map(({ name }) => name)).not.toContain('mutatingadmissionpolicies');
  });

  test('refuses changes while weir mesh is down, and holds them again when it is back', async () => {
    const app = await App.create(cluster, 'mesh-down', { rps: 0, analysis: ALWAYS_GOOD, strategy: HOLD });
    const meshReplicas = (replicas: number) =>
      cluster.client.patch(kinds.Deployment, 'weir', 'weir-mesh', {
        type: 'merge',
        body: { spec: { replicas } },
      });
    try {
      await meshReplicas(0);
      await eventually('no weir mesh', async () => {
        const { items } = await cluster.client.list(kinds.Pod, 'weir', {
          labelSelector: 'app.kubernetes.io/component=mesh',
        });
        return items.length === 0;
      });
      await expect(app.deploy('v2')).rejects.toThrow(/gate.*weir\.dev/);
      expect(JSON.stringify((await app.deployment()).spec)).toContain('weir-sample:v1');
    } finally {
      await meshReplicas(1);
    }
    // As GitOps does: it tries again.
    await eventually('the change is taken', async () => {
      await app.deploy('v2');
      return true;
    });
    expect((await app.deployment()).spec.paused).toBe(true);
    await app.until('judged', ({ status }) => status?.canary?.images.includes('weir-sample:v2') === true);
    await app.remove();
  });
});
