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

async function install(): Promise<void> {
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
      path: './',
      prune: true,
      wait: true,
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
});
