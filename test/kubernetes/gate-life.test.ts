import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import type { Rollout } from '../../src/api/rollout.ts';
import { installWeir } from '../../src/cli/install/apply.ts';
import { Fleet } from '../bench/controller/fleet.ts';
import { Kubelet } from '../bench/controller/kubelet.ts';
import { App } from '../e2e/support/app.ts';
import { eventually } from '../e2e/support/cluster.ts';
import { isReady } from '../e2e/support/pods.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { ALWAYS_GOOD, HOLD, kubectlFor, nativeSets } from './support/kubectl.ts';
import { ownCluster } from './support/own.ts';

/** A cluster of its own: its gate is changed under running rollouts. It begins with the webhooks. */
let cluster: KubernetesCluster;
let app: App | undefined;

beforeAll(async () => {
  cluster = await ownCluster({ admission: 'webhooks' });
}, 150_000);
afterEach(async () => {
  await app?.remove();
  app = undefined;
});
afterAll(() => cluster?.stop(), 30_000);

const components = ['weir-controller', 'weir-mesh', 'weir-metrics'];
const scaleWeir = async (replicas: number) => {
  for (const name of components) {
    await cluster.client.patch(kinds.Deployment, 'weir', name, {
      type: 'merge',
      body: { spec: { replicas } },
    });
  }
  await eventually(`${replicas} of each component`, async () => {
    const { items } = await cluster.client.list<KubeObject>(kinds.Pod, 'weir');
    return items.length === replicas * components.length && items.every(isReady);
  });
};

/** An API server reads new policies once a second: until then its own count of what they were asked does not rise. */
const enforced = (namespace: string) =>
  eventually('the API server enforces the policies', async () => {
    const open = { type: 'merge' as const, body: { spec: { paused: false } } };
    await cluster.client.patch(kinds.Deployment, namespace, 'web', open, { dryRun: true });
    const counts = String(await cluster.client.request('GET', '/metrics'));
    return /^apiserver_mutating_admission_policy_check_total\{.*policy="gate\.weir\.dev".*\} [1-9]/m.test(
      counts,
    );
  });

/** From the webhooks to the policies, as `weir install | kubectl apply` and docs/install.md say; again changes nothing. */
const toPolicies = async () => {
  await installWeir(cluster.client, { profile: 'local', admission: 'policies' });
  const kubectl = kubectlFor(cluster, 'default');
  await kubectl(['delete', 'mutatingwebhookconfiguration', 'gate.weir.dev', '--ignore-not-found']);
  await kubectl(['delete', 'validatingwebhookconfiguration', 'gate-backstop.weir.dev', '--ignore-not-found']);
};

describe('the gate over its life', () => {
  test('upgrade from webhooks to policies under a running rollout: held all the time, nothing restarts', async () => {
    app = await App.create(cluster, 'upgrade', { rps: 0, analysis: ALWAYS_GOOD, strategy: HOLD });
    const kubectl = kubectlFor(cluster, 'upgrade');
    await app.deploy('v2');
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
    const run = (await app.rollout()).status?.canary;
    const pods = (await app.pods()).map(({ metadata }) => metadata.uid).sort();
    await installWeir(cluster.client, { profile: 'local', admission: 'policies' });
    await enforced('upgrade');
    await kubectl(['rollout', 'resume', 'deployment/web']);
    expect((await app.deployment()).spec.paused).toBe(true);
    await toPolicies();
    for (let write = 0; write < 20; write += 1) {
      await kubectl(['patch', 'deployment', 'web', '--type=merge', '-p', '{"spec":{"paused":false}}']);
      expect((await app.deployment()).spec.paused).toBe(true);
    }
    await app.until('Gated', ({ status }) =>
      Boolean(status?.conditions.some(({ type, status: value }) => type === 'Gated' && value === 'True')),
    );
    expect((await app.rollout()).status?.canary).toEqual(run);
    expect((await app.pods()).map(({ metadata }) => metadata.uid).sort()).toEqual(pods);
    await app.applyRollout({ approve: 'v2' });
    await app.promoted('v2');
  });

  test('every process of Weir is down: changes are held, and judged when it is back', async () => {
    await toPolicies();
    app = await App.create(cluster, 'down', { rps: 0, analysis: ALWAYS_GOOD, strategy: HOLD });
    await scaleWeir(0);
    await app.deploy('v2');
    await app.deploy('v3', {}, { paused: false });
    const { spec } = await app.deployment();
    expect(spec.paused).toBe(true);
    expect(JSON.stringify(spec)).toContain('weir-sample:v3');
    expect(await nativeSets(app)).toHaveLength(1);
    expect((await app.podsOf('v1')).length).toBe(2);
    await scaleWeir(1);
    await app.until('v3 is judged', ({ status }) => status?.canary?.images[0] === 'weir-sample:v3');
    expect(await nativeSets(app)).toHaveLength(1);
  });

  test('hundreds of running Deployments are adopted without restarting one pod, and gated', async () => {
    await toPolicies();
    const count = 200;
    const { client } = cluster;
    // Two cores do not have to run two hundred processes: of these pods it is only said that they run.
    const kubelet = new Kubelet(client);
    await kubelet.start();
    const fleet = new Fleet(client, 'adoption', count);
    await fleet.createApplications();
    const pods = async () => (await client.list<KubeObject>(kinds.Pod, fleet.namespace)).items;
    await eventually('all pods run', async () => (await pods()).filter(isReady).length === count, {
      timeoutMs: 120_000,
      everyMs: 250,
    });
    const uids = async () => (await pods()).map(({ metadata }) => metadata.uid).sort();
    const before = await uids();
    await fleet.createRollouts(ALWAYS_GOOD, { weights: [50] });
    const unfinished = async () => {
      const { items } = await client.list<Rollout & KubeObject>(kinds.Rollout, fleet.namespace);
      return items.filter(
        ({ status }) =>
          status?.phase !== 'Healthy' ||
          !status.conditions.some(({ type, status: value }) => type === 'Gated' && value === 'True'),
      );
    };
    await eventually('all are Healthy and gated', async () => (await unfinished()).length === 0, {
      timeoutMs: 240_000,
      everyMs: 250,
      describe: async () => {
        const left = await unfinished();
        return `${left.length} are not, such as ${JSON.stringify(left[0]?.status)}`;
      },
    });
    expect(await uids()).toEqual(before);
    const { items } = await client.list<KubeObject>(kinds.Deployment, fleet.namespace);
    expect(items.map(({ metadata }) => metadata.generation)).toEqual(Array(count).fill(1));
    kubelet.stop();
    await client.delete(kinds.Namespace, undefined, fleet.namespace);
  }, 400_000);
});
