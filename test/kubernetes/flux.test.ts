import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { kinds } from '../../src/api/kinds.ts';
import type { Condition, KubeObject, ResourceKind } from '../../src/api/meta.ts';
import { applyManifests } from '../../src/cli/install/apply.ts';
import { App } from '../e2e/support/app.ts';
import { eventually, sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { atRest, generation, manifests, Program, versions } from './support/engine.ts';
import { Repository } from './support/git.ts';
import { ALWAYS_GOOD, HOLD, kubectlFor } from './support/kubectl.ts';
import { helmChart, kustomizeOverlay, RenderedRepository, stablePodComesBack } from './support/sources.ts';
import { sourceOf, tool } from './support/tools.ts';

const GitRepository: ResourceKind = {
  group: 'source.toolkit.fluxcd.io',
  version: 'v1',
  kind: 'GitRepository',
  plural: 'gitrepositories',
  namespaced: true,
};
const Kustomization: ResourceKind = {
  group: 'kustomize.toolkit.fluxcd.io',
  version: 'v1',
  kind: 'Kustomization',
  plural: 'kustomizations',
  namespaced: true,
};

/** The sources that kustomize-controller watches: here this test is the source controller, so any shape is served. */
const sourceCrds = (): KubeObject[] =>
  [
    ['GitRepository', 'gitrepositories', 'v1'],
    ['OCIRepository', 'ocirepositories', 'v1'],
    ['Bucket', 'buckets', 'v1'],
    ['ExternalArtifact', 'externalartifacts', 'v1'],
  ].map(([kind = '', plural = '', version = '']) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.source.toolkit.fluxcd.io` },
    spec: {
      group: 'source.toolkit.fluxcd.io',
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  }));

let cluster: TestCluster;
let app: App;
let repository: Repository;
let controller: Program | undefined;
let server: Server;
let artifact: Buffer = Buffer.alloc(0);

beforeAll(async () => {
  cluster = await sharedCluster();
  const folder = sourceOf('kustomize-controller', 'github.com/fluxcd/kustomize-controller');
  const crd = parse(
    readFileSync(join(folder, 'config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml'), 'utf8'),
  ) as KubeObject;
  await applyManifests(cluster.client, [...sourceCrds(), crd]);
  server = createServer((_request, response) => response.end(artifact));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
beforeEach(() => {
  repository = new Repository();
});
afterEach(async () => {
  await controller?.stop();
  controller = undefined;
  // Its finalizer would keep the namespace for ever.
  await cluster.client
    .patch(Kustomization, app.namespace, 'web', { type: 'merge', body: { metadata: { finalizers: null } } })
    .catch(() => {});
  await app?.remove();
  repository.remove();
});
afterAll(() => {
  server?.close();
});

async function start(): Promise<void> {
  controller = new Program(
    join(cluster.dir, 'logs'),
    'kustomize-controller',
    await tool('kustomize-controller'),
    ['--enable-leader-election=false', '--metrics-addr=127.0.0.1:18080', '--health-addr=127.0.0.1:19440'],
    { KUBECONFIG: cluster.kubeconfig, RUNTIME_NAMESPACE: app.namespace },
  );
}

/** What the source controller does on a commit: serves the tree and says so. */
async function serve(): Promise<void> {
  artifact = repository.archive();
  const revision = `main@sha1:${repository.head()}`;
  const digest = createHash('sha256').update(artifact).digest('hex');
  const { port } = server.address() as AddressInfo;
  const at = new Date().toISOString();
  const status = {
    observedGeneration: 1,
    conditions: [
      {
        type: 'Ready',
        status: 'True',
        reason: 'Succeeded',
        message: 'stored',
        lastTransitionTime: at,
        observedGeneration: 1,
      },
    ],
    artifact: {
      digest: `sha256:${digest}`,
      path: `gitrepository/${app.namespace}/web/${digest}.tar.gz`,
      url: `http://127.0.0.1:${port}/${digest}.tar.gz`,
      revision,
      size: artifact.length,
      lastUpdateTime: at,
    },
  };
  await cluster.client.patch(
    GitRepository,
    app.namespace,
    'web',
    { type: 'merge', body: { status } },
    { subresource: 'status' },
  );
}

async function install({ path = './', wait = true } = {}): Promise<void> {
  const { client } = cluster;
  await client.create(GitRepository, {
    metadata: { name: 'web', namespace: app.namespace },
    spec: { interval: '1h', url: 'https://git.example.com/shop.git', ref: { branch: 'main' } },
  });
  await client.create(Kustomization, {
    metadata: { name: 'web', namespace: app.namespace },
    spec: {
      interval: '1h',
      retryInterval: '2s',
      timeout: '2m',
      path,
      prune: true,
      wait,
      force: false,
      sourceRef: { kind: 'GitRepository', name: 'web' },
    },
  });
}

interface Ready {
  condition: Condition | undefined;
  revision: string | undefined;
}

async function ready(): Promise<Ready> {
  const { status } = await cluster.client.get<KubeObject>(Kustomization, app.namespace, 'web');
  const { conditions = [], lastAppliedRevision } = (status ?? {}) as {
    conditions?: Condition[];
    lastAppliedRevision?: string;
  };
  return { condition: conditions.find(({ type }) => type === 'Ready'), revision: lastAppliedRevision };
}

const applied = (timeoutMs = 90_000) =>
  eventually(
    'the Kustomization is Ready at the newest commit',
    async () => {
      const { condition, revision } = await ready();
      return condition?.status === 'True' && revision === `main@sha1:${repository.head()}`;
    },
    { timeoutMs, describe: async () => JSON.stringify(await ready()) },
  );

/** `flux reconcile`: drift is looked for at once and not in an hour. */
async function reconcile(): Promise<void> {
  const requestedAt = new Date().toISOString();
  await cluster.client.patch(Kustomization, app.namespace, 'web', {
    type: 'merge',
    body: { metadata: { annotations: { 'reconcile.fluxcd.io/requestedAt': requestedAt } } },
  });
  await eventually('the request is handled', async () => {
    const { status } = await cluster.client.get<KubeObject>(Kustomization, app.namespace, 'web');
    return (
      (status as { lastHandledReconcileAt?: string } | undefined)?.lastHandledReconcileAt === requestedAt
    );
  });
}

const overlay = (version: string, env: Record<string, string> = {}) => ({
  'web.yaml': manifests(app, 'base', env),
  // An overlay as teams have them: the image tag is set by kustomize.
  'kustomization.yaml': `resources: [web.yaml]\nimages: [{name: weir-sample, newTag: ${version}}]\n`,
});

describe("Flux's kustomize-controller", () => {
  test('waits for promotion, fails fast with our message after a rollback, prunes, sees no drift', async () => {
    app = await App.create(cluster, 'flux', { withRollout: false });
    await install();
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
    await start();
    await serve();
    await applied();
    await app.healthy();
    const first = await generation(app);

    repository.git('rm', '-q', 'extra.yaml');
    repository.commit('v2', overlay('v2'));
    await serve();
    await app.phase('Progressing');
    // `wait: true` means waiting for the promotion: the paused Deployment and the Rollout are in progress.
    expect((await ready()).condition?.status).not.toBe('True');
    await app.promoted('v2');
    await applied();
    expect(await generation(app)).toBe(first + 2);
    expect(await cluster.client.find(kinds.ConfigMap, app.namespace, 'extra')).toBeUndefined();

    repository.commit('v3 fails', overlay('v3', { ERROR_RATE: '1' }));
    await serve();
    await app.phase('Failed');
    const told = await eventually(
      'the Kustomization fails',
      async () => {
        const { condition } = await ready();
        return condition?.status === 'False' && condition.reason === 'HealthCheckFailed' && condition;
      },
      { timeoutMs: 30_000, describe: async () => JSON.stringify(await ready()) },
    );
    expect(told.message).toContain('Rollout/flux/web');

    repository.revert();
    await serve();
    await applied();
    const after = await app.healthy();
    expect(after.status?.stable?.images).toEqual(['weir-sample:v2']);

    await eventually('unpaused', async () => !(await app.deployment()).spec.paused);
    const rest = await atRest(app);
    for (let count = 0; count < 2; count += 1) await reconcile();
    expect(await versions(app)).toEqual(rest);
  });

  test('the same from a Kustomize overlay; the configuration of the stable pods outlives its commit', async () => {
    app = await App.create(cluster, 'flux-overlay', { withRollout: false });
    const { files, path } = kustomizeOverlay;
    await install({ path });
    repository.commit('v1', files(app, 'v1'));
    await start();
    await serve();
    await applied();
    await app.healthy();
    await story({
      next: () => repository.commit('v2', files(app, 'v2')),
      bad: () => repository.commit('a bad setting', files(app, 'v2', '1')),
      revert: () => repository.revert(),
    });
  });

  test('the same from a Helm chart, rendered into the repository that it follows', async () => {
    app = await App.create(cluster, 'flux-helm', { withRollout: false });
    await install();
    const rendered = new RenderedRepository(app, helmChart);
    repository.remove();
    repository = rendered.rendered;
    try {
      await rendered.commit('v1', 'v1');
      await start();
      await serve();
      await applied();
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
    await install({ wait: false });
    repository.commit('v1', overlay('v1'));
    await start();
    await serve();
    await applied();
    await app.healthy();
    const uids = async () => (await app.podsOf('v1')).map(({ metadata }) => metadata.uid).sort();
    const stable = await eventually('two pods', async () => {
      const now = await uids();
      return now.length === 2 && now;
    });

    // At rest, a template that nobody committed: judged like any other, and gone with the next look at Git.
    await kubectl(['set', 'image', 'deployment/web', 'app=weir-sample:by-hand']);
    await app.until('judged', ({ status }) => status?.traffic?.canary === 10);
    await reconcile();
    await app.healthy();
    await eventually('its pods are gone', async () => (await app.podsOf('by-hand')).length === 0);
    expect(await uids()).toEqual(stable);

    repository.commit('v2', overlay('v2'));
    await serve();
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
    await reconcile();
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
      { describe: async () => JSON.stringify([await gitsOwn(), await ready()]) },
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
    await serve();
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
    await serve();
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
  await serve();
  await app.promoted('v2');
  await applied();
  const promoted = await app.replicaSets();

  await to.bad();
  await serve();
  await app.until('the canary runs', ({ status }) => (status?.traffic?.canary ?? 0) > 0);
  await stablePodComesBack(app, promoted);
  await app.phase('Failed');
  await eventually(
    'the Kustomization fails',
    async () => (await ready()).condition?.reason === 'HealthCheckFailed',
  );

  await to.revert();
  await serve();
  await applied();
  const reverted = await app.healthy();
  expect(reverted.status?.stable?.images).toEqual(['weir-sample:v2']);
  await eventually('unpaused', async () => !(await app.deployment()).spec.paused);
  const rest = await atRest(app);
  await reconcile();
  expect(await versions(app)).toEqual(rest);
}
