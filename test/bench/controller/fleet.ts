import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import type { Rollout } from '../../../src/api/rollout.ts';
import { Informer } from '../../../src/kube/index.ts';
import type { KubeClient } from '../../../src/kube/types.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { inParallel } from './measures.ts';

export const NODE = 'bench';
/** Kubernetes' own controllers go through all of a namespace for each of its objects: nobody has ten thousand applications in one. */
const PER_NAMESPACE = 1000;

/** Whoever plays the kubelet runs it: the scheduler is not what is measured. */
export const podTemplate = (name: string, version: string) => ({
  metadata: { labels: { app: name } },
  spec: {
    nodeName: NODE,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'app', image: `app:${version}`, ports: [{ containerPort: 8080 }] }],
  },
});

export const applyDeployment = (
  client: KubeClient,
  namespace: string,
  name: string,
  version: string,
  replicas: number | undefined,
): Promise<KubeObject> =>
  client.apply(
    kinds.Deployment,
    {
      metadata: { name, namespace },
      spec: {
        ...(replicas === undefined ? {} : { replicas }),
        selector: { matchLabels: { app: name } },
        template: podTemplate(name, version),
      },
    },
    { fieldManager: 'gitops', force: true },
  );

/** A fleet of small applications, a thousand of them in a namespace: Deployment, Service, Rollout `app-0` … */
export class Fleet {
  readonly #client: KubeClient;
  /** Of all of them, up to a thousand. */
  readonly namespace: string;
  readonly size: number;
  readonly #stop = new AbortController();
  #rollouts: Informer<Rollout & KubeObject> | undefined;

  constructor(client: KubeClient, namespace: string, size: number) {
    this.#client = client;
    this.namespace = namespace;
    this.size = size;
  }

  name = (index: number): string => `app-${index}`;

  namespaceOf(index: number): string {
    return this.size <= PER_NAMESPACE
      ? this.namespace
      : `${this.namespace}-${Math.floor(index / PER_NAMESPACE)}`;
  }

  each(from: number, to: number, work: (index: number) => Promise<unknown>, atOnce?: number): Promise<void> {
    const indices = Array.from({ length: to - from }, (_, n) => from + n);
    return inParallel(indices, work, atOnce);
  }

  async createApplications(): Promise<void> {
    for (let index = 0; index < this.size; index += PER_NAMESPACE) {
      const metadata = { name: this.namespaceOf(index) };
      await this.#client.apply(kinds.Namespace, { metadata }, { fieldManager: 'bench' });
    }
    await this.each(0, this.size, async (index) => {
      const [name, namespace] = [this.name(index), this.namespaceOf(index)];
      await this.#client.create(kinds.Service, {
        metadata: { name, namespace },
        spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
      });
      await this.apply(index, 'v1');
    });
  }

  /** What Argo CD and Flux do on a commit. */
  apply(index: number, version: string): Promise<KubeObject> {
    return applyDeployment(this.#client, this.namespaceOf(index), this.name(index), version, 1);
  }

  async createRollouts(analysis: object, canary: object): Promise<void> {
    await this.each(0, this.size, (index) => this.createRollout(index, analysis, canary));
  }

  createRollout(index: number, analysis: object, canary: object): Promise<KubeObject> {
    return this.#client.create(kinds.Rollout, {
      metadata: { name: this.name(index), namespace: this.namespaceOf(index) },
      spec: {
        targetRef: { name: this.name(index) },
        service: { name: this.name(index), port: 80 },
        strategy: { canary },
        analysis,
      },
    });
  }

  /** As a watch shows them: asking for all of them again and again would be most of what the API server does. */
  async rollouts(): Promise<Rollout[]> {
    if (!this.#rollouts) {
      const namespaces = new Set(Array.from({ length: this.size }, (_, index) => this.namespaceOf(index)));
      this.#rollouts = new Informer({
        client: this.#client,
        kind: kinds.Rollout,
        namespaces: [...namespaces],
        log: silentLogger,
      });
      this.#rollouts.start(this.#stop.signal);
      await this.#rollouts.synced;
    }
    return this.#rollouts.store.list();
  }

  stop(): void {
    this.#stop.abort();
  }
}
