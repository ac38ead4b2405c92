import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { App } from '../e2e/support/app.ts';
import { eventually, sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { atRest, generation, manifests, versions } from './support/engine.ts';
import { Flux } from './support/flux.ts';
import { Repository } from './support/git.ts';
import { ALWAYS_GOOD, HOLD, kubectlFor } from './support/kubectl.ts';
import { helmChart, kustomizeOverlay, RenderedRepository, stablePodComesBack } from './support/sources.ts';

let cluster: TestCluster;
let app: App;
let repository: Repository;
let flux: Flux;

beforeAll(async () => {
  cluster = await sharedCluster();
  flux = new Flux(cluster);
  await flux.begin();
});
beforeEach(() => {
  repository = new Repository();
  flux.follow(repository);
});
afterEach(async () => {
  await flux.stop();
  await app?.remove();
  repository.remove();
});
afterAll(() => flux?.end());

const overlay = (version: string, env: Record<string, string> = {}) => ({
  'web.yaml': manifests(app, 'base', env),
  // An overlay as teams have them: the image tag is set by kustomize.
  'kustomization.yaml': `resources: [web.yaml]\nimages: [{name: weir-sample, newTag: ${version}}]\n`,
});

describe("Flux's kustomize-controller", () => {
  test('waits for promotion, fails at once after a rollback, whose reason the Rollout has; prunes, sees no drift', async () => {
    app = await App.create(cluster, 'flux', { withRollout: false });
    await flux.install(app.namespace);
    repository.commit('v1', {
      ...overlay('v1'),
      'extra.yaml': [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'extra', namespace: app.namespace },
          data: { a: '1' },
        },
      ],
      'kustomization.yaml': 'resources: [web.yaml, extra.yaml]\nimages: [{name: weir-sample, newTag: v1}]\n',
    });
    await flux.start();
    await flux.serve();
    await flux.applied();
    await app.healthy();
    const first = await generation(app);

    repository.git('rm', '-q', 'extra.yaml');
    repository.commit('v2', overlay('v2'));
    await flux.serve();
    await app.phase('Progressing');
    // `wait: true` means waiting for the promotion: the paused Deployment and the Rollout are in progress.
    expect((await flux.ready()).condition?.status).not.toBe('True');
    await app.promoted('v2');
    await flux.applied();
    expect(await generation(app)).toBe(first + 2);
    expect(await cluster.client.find(kinds.ConfigMap, app.namespace, 'extra')).toBeUndefined();

    repository.commit('v3 fails', overlay('v3', { ERROR_RATE: '1' }));
    await flux.serve();
    await app.phase('Failed');
    const told = await eventually(
      'the Kustomization fails',
      async () => {
        const { condition } = await flux.ready();
        return condition?.status === 'False' && condition.reason === 'HealthCheckFailed' && condition;
      },
      { timeoutMs: 30_000, describe: async () => JSON.stringify(await flux.ready()) },
    );
    // It says which object and its status, not that object's message: that stands in the Rollout.
    expect(told.message).toMatch(
      /failed early due to stalled resources: .*Rollout\/flux\/web status: 'Failed'/,
    );
    const stalled = (await app.rollout()).status?.conditions?.find(({ type }) => type === 'Stalled');
    expect(stalled).toMatchObject({ status: 'True', message: expect.stringMatching(/v3.*success-rate/s) });

    repository.revert();
    await flux.serve();
    await flux.applied();
    const after = await app.healthy();
    expect(after.status?.stable?.images).toEqual(['weir-sample:v2']);

    await eventually('unpaused', async () => !(await app.deployment()).spec.paused);
    const rest = await atRest(app);
    for (let count = 0; count < 2; count += 1) await flux.reconcile();
    expect(await versions(app)).toEqual(rest);
  });

  test('the same from a Kustomize overlay; the configuration of the stable pods outlives its commit', async () => {
    app = await App.create(cluster, 'flux-overlay', { withRollout: false });
    const { files, path } = kustomizeOverlay;
    await flux.install(app.namespace, { path });
    repository.commit('v1', files(app, 'v1'));
    await flux.start();
    await flux.serve();
    await flux.applied();
    await app.healthy();
    await story({
      next: () => repository.commit('v2', files(app, 'v2')),
      bad: () => repository.commit('a bad setting', files(app, 'v2', '1')),
      revert: () => repository.revert(),
    });
  });

  test('the same from a Helm chart, rendered into the repository that it follows', async () => {
    app = await App.create(cluster, 'flux-helm', { withRollout: false });
    await flux.install(app.namespace);
    const rendered = new RenderedRepository(app, helmChart);
    repository.remove();
    repository = rendered.rendered;
    flux.follow(repository);
    try {
      await rendered.commit('v1', 'v1');
      await flux.start();
      await flux.serve();
      await flux.applied();
      await app.healthy();
      await story({
        next: () => rendered.commit('v2', 'v2'),
        bad: () => rendered.commit('a bad setting', 'v2', '1'),
        revert: () => rendered.revert(),
      });
    } finally {
      rendered.remove();
    }
  });

  test('drift: what a person changes is put back, at rest and mid-rollout, and never past the gate', async () => {
    app = await App.create(cluster, 'flux-drift', {
      rps: 0,
      withRollout: false,
      strategy: HOLD,
      analysis: ALWAYS_GOOD,
    });
    const kubectl = kubectlFor(cluster, app.namespace);
    // Not waiting for the promotion, it looks at Git whenever it is asked to.
    await flux.install(app.namespace, { wait: false });
    repository.commit('v1', overlay('v1'));
    await flux.start();
    await flux.serve();
    await flux.applied();
    await app.healthy();
    const uids = async () => (await app.podsOf('v1')).map(({ metadata }) => metadata.uid).sort();
    const stable = await eventually('two pods', async () => {
      const now = await uids();
      return now.length === 2 && now;
    });

    // At rest, a template that nobody committed: judged like any other, and gone with the next look at Git.
    await kubectl(['set', 'image', 'deployment/web', 'app=weir-sample:by-hand']);
    await app.until('judged', ({ status }) => status?.traffic?.canary === 10);
    await flux.reconcile();
    await app.healthy();
    await eventually('its pods are gone', async () => (await app.podsOf('by-hand')).length === 0);
    expect(await uids()).toEqual(stable);

    repository.commit('v2', overlay('v2'));
    await flux.serve();
    await app.until('v2 at 10 %', ({ status }) => status?.traffic?.canary === 10);
    const canary = (await app.rollout()).status?.canary;
    // Mid-rollout: of the Rollout, of the Service that is pinned, and of the Deployment that is held.
    await kubectl([
      'patch',
      'rollout.weir.dev',
      'web',
      '--type=merge',
      '-p',
      '{"spec":{"progressDeadline":"61s"}}',
    ]);
    await kubectl(['annotate', 'service', 'web', 'weir-test/by=hand']);
    await kubectl(['patch', 'service', 'web', '--type=json', '-p', JSON.stringify(OTHER_PORT)]);
    await kubectl(['patch', 'deployment', 'web', '--type=merge', '-p', '{"spec":{"paused":false}}']);
    await flux.reconcile();
    const gitsOwn = async () => {
      const rollout = await app.rollout();
      const service = await cluster.client.get<KubeObject>(kinds.Service, app.namespace, 'web');
      const { ports } = service.spec as { ports: { targetPort: number }[] };
      return {
        deadline: (rollout.spec as { progressDeadline: string }).progressDeadline,
        targets: ports.map(({ targetPort }) => targetPort),
      };
    };
    await eventually(
      'as Git has it',
      async () => {
        const { deadline, targets } = await gitsOwn();
        return deadline === '60s' && targets.join() === '8080';
      },
      { describe: async () => JSON.stringify([await gitsOwn(), await flux.ready()]) },
    );
    const { selector } = (await cluster.client.get<KubeObject>(kinds.Service, app.namespace, 'web')).spec as {
      selector: Record<string, string>;
    };
    const { status } = await app.rollout();
    expect(selector['pod-template-hash']).toBe(status?.stable?.hash);
    expect(status?.canary).toEqual(canary);
    expect((await app.deployment()).spec.paused).toBe(true);
    expect(await uids()).toEqual(stable);

    // Pruned mid-rollout: the Rollout alone, and traffic is with the stable pods; then all of it.
    repository.commit('no Rollout', { 'web.yaml': manifests(app, 'base').slice(0, 2) });
    await flux.serve();
    await eventually(
      'the Rollout is gone, and its canary',
      async () =>
        !(await cluster.client.find(kinds.Rollout, app.namespace, 'web')) &&
        (await app.podsOf('v2')).length === 0,
      { timeoutMs: 60_000, describe: () => app.describe() },
    );
    repository.commit('nothing', {
      'web.yaml': [
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'left', namespace: app.namespace } },
      ],
      'kustomization.yaml': 'resources: [web.yaml]\n',
    });
    await flux.serve();
    await eventually('everything is pruned', async () => {
      const { client } = cluster;
      const left = await Promise.all(
        [kinds.Deployment, kinds.ReplicaSet, kinds.Service, kinds.TrafficSplit].map((kind) =>
          client.list<KubeObject>(kind, app.namespace),
        ),
      );
      return (
        left.flatMap(({ items }) => items).filter(({ metadata }) => metadata.name !== 'load').length === 0
      );
    });
  });
});

const OTHER_PORT = [{ op: 'replace', path: '/spec/ports/0/targetPort', value: 8081 }];

/** Promoted; a bad configuration rolled back while a stable pod is lost; reverted; at rest. */
async function story(to: Record<'next' | 'bad' | 'revert', () => unknown>): Promise<void> {
  await eventually('three pods', async () => (await app.podsOf('v1')).length === 3);
  await to.next();
  await flux.serve();
  await app.promoted('v2');
  await flux.applied();
  const promoted = await app.replicaSets();

  await to.bad();
  await flux.serve();
  await app.until('the canary runs', ({ status }) => (status?.traffic?.canary ?? 0) > 0);
  await stablePodComesBack(app, promoted);
  await app.phase('Failed');
  await eventually(
    'the Kustomization fails',
    async () => (await flux.ready()).condition?.reason === 'HealthCheckFailed',
  );

  await to.revert();
  await flux.serve();
  await flux.applied();
  const reverted = await app.healthy();
  expect(reverted.status?.stable?.images).toEqual(['weir-sample:v2']);
  await eventually('unpaused', async () => !(await app.deployment()).spec.paused);
  const rest = await atRest(app);
  await flux.reconcile();
  expect(await versions(app)).toEqual(rest);
}
