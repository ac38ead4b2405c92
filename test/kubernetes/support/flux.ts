import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Condition, KubeObject, ResourceKind } from '../../../src/api/meta.ts';
import { applyManifests } from '../../../src/cli/install/apply.ts';
import { eventually, type TestCluster } from '../../e2e/support/cluster.ts';
import { Program } from './engine.ts';
import type { Repository } from './git.ts';
import { permissive } from './permissive.ts';
import { sourceOf, tool } from './tools.ts';

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

/** The sources that kustomize-controller watches: here the test is the source controller, so any shape is served. */
const SOURCES: ResourceKind[] = [
  GitRepository,
  { ...GitRepository, kind: 'OCIRepository', plural: 'ocirepositories' },
  { ...GitRepository, kind: 'Bucket', plural: 'buckets' },
  { ...GitRepository, kind: 'ExternalArtifact', plural: 'externalartifacts' },
];

interface Ready {
  condition: Condition | undefined;
  revision: string | undefined;
}

/** Flux's kustomize-controller, and the source controller that serves it a repository. */
export class Flux {
  readonly #cluster: TestCluster;
  readonly #server: Server;
  #artifact: Buffer = Buffer.alloc(0);
  #controller: Program | undefined;
  #repository!: Repository;
  #namespace = '';

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
    this.#server = createServer((_request, response) => response.end(this.#artifact));
  }

  async begin(): Promise<void> {
    const folder = sourceOf('kustomize-controller', 'github.com/fluxcd/kustomize-controller');
    const file = join(folder, 'config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml');
    const crd = parse(readFileSync(file, 'utf8')) as KubeObject;
    await applyManifests(this.#cluster.client, [...SOURCES.map(permissive), crd]);
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  end(): void {
    this.#server.close();
  }

  async start(): Promise<void> {
    const { dir, kubeconfig } = this.#cluster;
    this.#controller = new Program(
      join(dir, 'logs'),
      'kustomize-controller',
      await tool('kustomize-controller'),
      ['--enable-leader-election=false', '--metrics-addr=127.0.0.1:18080', '--health-addr=127.0.0.1:19440'],
      { KUBECONFIG: kubeconfig, RUNTIME_NAMESPACE: this.#namespace },
    );
  }

  async stop(): Promise<void> {
    await this.#controller?.stop();
    this.#controller = undefined;
    // Its finalizer would keep the namespace for ever.
    await this.#cluster.client
      .patch(Kustomization, this.#namespace, 'web', {
        type: 'merge',
        body: { metadata: { finalizers: null } },
      })
      .catch(() => {});
  }

  /** Serves the commits of `repository` from now on. */
  follow(repository: Repository): void {
    this.#repository = repository;
  }

  async install(namespace: string, { path = './', wait = true } = {}): Promise<void> {
    this.#namespace = namespace;
    const { client } = this.#cluster;
    await client.create(GitRepository, {
      metadata: { name: 'web', namespace },
      spec: { interval: '1h', url: 'https://git.example.com/shop.git', ref: { branch: 'main' } },
    });
    await client.create(Kustomization, {
      metadata: { name: 'web', namespace },
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

  /** What the source controller does on a commit: serves the tree and says so. */
  async serve(): Promise<void> {
    this.#artifact = this.#repository.archive();
    const revision = `main@sha1:${this.#repository.head()}`;
    const digest = createHash('sha256').update(this.#artifact).digest('hex');
    const { port } = this.#server.address() as AddressInfo;
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
        path: `gitrepository/${this.#namespace}/web/${digest}.tar.gz`,
        url: `http://127.0.0.1:${port}/${digest}.tar.gz`,
        revision,
        size: this.#artifact.length,
        lastUpdateTime: at,
      },
    };
    await this.#cluster.client.patch(
      GitRepository,
      this.#namespace,
      'web',
      { type: 'merge', body: { status } },
      { subresource: 'status' },
    );
  }

  async ready(): Promise<Ready> {
    const { status } = await this.#cluster.client.get<KubeObject>(Kustomization, this.#namespace, 'web');
    const { conditions = [], lastAppliedRevision } = (status ?? {}) as {
      conditions?: Condition[];
      lastAppliedRevision?: string;
    };
    return { condition: conditions.find(({ type }) => type === 'Ready'), revision: lastAppliedRevision };
  }

  /** `flux reconcile`: drift is looked for at once and not in an hour. */
  async reconcile(): Promise<void> {
    const requestedAt = new Date().toISOString();
    await this.#cluster.client.patch(Kustomization, this.#namespace, 'web', {
      type: 'merge',
      body: { metadata: { annotations: { 'reconcile.fluxcd.io/requestedAt': requestedAt } } },
    });
    await eventually('the request is handled', async () => {
      const { status } = await this.#cluster.client.get<KubeObject>(Kustomization, this.#namespace, 'web');
      return (
        (status as { lastHandledReconcileAt?: string } | undefined)?.lastHandledReconcileAt === requestedAt
      );
    });
  }

  applied(timeoutMs = 90_000): Promise<unknown> {
    return eventually(
      'the Kustomization is Ready at the newest commit',
      async () => {
        const { condition, revision } = await this.ready();
        return condition?.status === 'True' && revision === `main@sha1:${this.#repository.head()}`;
      },
      { timeoutMs, describe: async () => JSON.stringify(await this.ready()) },
    );
  }
}
