import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import type { Phase, Rollout } from '../../../src/api/rollout.ts';
import type { TrafficSplit } from '../../../src/api/traffic-split.ts';
import { eventually, type TestCluster } from './cluster.ts';

export interface AppOptions {
  strategy?: object;
  analysis?: object;
  /** More fields of the Rollout's spec. */
  spec?: object;
  replicas?: number;
  /** Requests per second of the load generator; 0 starts none. */
  rps?: number;
  /** More fields of the Deployment's spec. */
  deployment?: object;
  withRollout?: boolean;
}

export interface LoadReport {
  sent: number;
  ok: number;
  failed: number;
}

const QUICK_ANALYSIS = {
  interval: '500ms',
  minRequests: 10,
  metrics: [{ name: 'success-rate', threshold: { min: '99%' }, over: '10s', failureLimit: 1 }],
};

/** One small application in a namespace of its own: Deployment `web`, Service `web`, a meshed load generator, a Rollout. */
export class App {
  readonly cluster: TestCluster;
  readonly namespace: string;
  readonly options: AppOptions;
  /** Every version of the TrafficSplit's weights and of the Rollout's phase, as a watch saw them. */
  readonly weights: { stable: number; canary: number }[] = [];
  readonly phases: Phase[] = [];
  /** Each time that a Service which had ready endpoints was left without one. */
  readonly emptied: string[] = [];
  readonly #slices = new Map<string, { service: string; ready: number }>();
  /** As the watch saw it last. */
  #latest: Rollout | undefined;
  #stop = new AbortController();

  constructor(cluster: TestCluster, namespace: string, options: AppOptions) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.options = options;
  }

  /** Creates everything with version v1 and waits until the Rollout is Healthy and gated, with load flowing. */
  static async create(cluster: TestCluster, namespace: string, options: AppOptions = {}): Promise<App> {
    const app = new App(cluster, namespace, options);
    const { client } = cluster;
    await client.apply(
      kinds.Namespace,
      { metadata: { name: namespace, labels: { 'weir.dev/inject': 'enabled' } } },
      { fieldManager: 'test', force: true },
    );
    await client.apply(kinds.Service, app.service(), { fieldManager: 'test', force: true });
    await app.deploy('v1');
    if ((options.rps ?? 40) > 0) {
      await client.apply(kinds.Deployment, app.loadGenerator(options.rps ?? 40), {
        fieldManager: 'test',
        force: true,
      });
    }
    void app.#record();
    if (options.withRollout !== false) {
      await app.applyRollout();
      await app.healthy();
    }
    if ((options.rps ?? 40) > 0) {
      await eventually('load reaches the application', async () => (await app.load()).ok > 0, {
        timeoutMs: 40_000,
        describe: () => app.describe(),
      });
    }
    return app;
  }

  service(): KubeObject {
    return {
      metadata: { name: 'web', namespace: this.namespace },
      spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    };
  }

  deploymentManifest(version: string, env: Record<string, string> = {}, extra: object = {}): KubeObject {
    return {
      metadata: { name: 'web', namespace: this.namespace },
      spec: {
        replicas: this.options.replicas ?? 2,
        selector: { matchLabels: { app: 'web' } },
        ...this.options.deployment,
        ...extra,
        template: {
          metadata: { labels: { app: 'web' } },
          spec: {
            terminationGracePeriodSeconds: 8,
            containers: [
              {
                name: 'app',
                image: `weir-sample:${version}`,
                ports: [{ containerPort: 8080 }],
                env: Object.entries(env).map(([name, value]) => ({ name, value })),
                readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    };
  }

  loadGenerator(rps: number): KubeObject {
    return {
      metadata: { name: 'load', namespace: this.namespace },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'load' } },
        template: {
          metadata: { labels: { app: 'load' } },
          spec: {
            terminationGracePeriodSeconds: 2,
            containers: [
              {
                name: 'load',
                image: 'weir-sample:load',
                ports: [{ containerPort: 8080 }],
                env: [
                  { name: 'MODE', value: 'load' },
                  { name: 'LOAD_URL', value: 'http://web' },
                  { name: 'LOAD_RPS', value: String(rps) },
                ],
              },
            ],
          },
        },
      },
    };
  }

  rolloutManifest(extra: object = {}): Rollout {
    return {
      apiVersion: 'weir.dev/v1alpha1',
      kind: 'Rollout',
      metadata: { name: 'web', namespace: this.namespace },
      spec: {
        targetRef: { name: 'web' },
        service: { name: 'web', port: 80 },
        strategy: this.options.strategy ?? { canary: { weights: [10, 50], dwell: '1s' } },
        analysis: this.options.analysis ?? QUICK_ANALYSIS,
        progressDeadline: '60s',
        ...this.options.spec,
        ...extra,
      },
    };
  }

  async applyRollout(extra: object = {}): Promise<void> {
    await this.cluster.client.apply(kinds.Rollout, this.rolloutManifest(extra) as KubeObject, {
      fieldManager: 'gitops',
      force: true,
    });
  }

  /** What Argo CD and Flux do on a commit: forced server-side apply of the Deployment. */
  async deploy(version: string, env: Record<string, string> = {}, extra: object = {}): Promise<void> {
    await this.cluster.client.apply(kinds.Deployment, this.deploymentManifest(version, env, extra), {
      fieldManager: 'gitops',
      force: true,
    });
  }

  rollout(): Promise<Rollout> {
    return this.cluster.client.get<Rollout>(kinds.Rollout, this.namespace, 'web');
  }

  async healthy(timeoutMs = 40_000): Promise<Rollout> {
    return this.until(
      'Healthy and gated',
      (rollout) => {
        const gated = rollout.status?.conditions.find(({ type }) => type === 'Gated');
        return rollout.status?.phase === 'Healthy' && gated?.status === 'True';
      },
      timeoutMs,
    );
  }

  async phase(phase: Phase, timeoutMs = 60_000): Promise<Rollout> {
    return this.until(`phase ${phase}`, (rollout) => rollout.status?.phase === phase, timeoutMs);
  }

  /** Healthy with `version` as stable and the Deployment running it, unpaused. */
  async promoted(version: string, timeoutMs = 60_000): Promise<Rollout> {
    const rollout = await this.until(
      `${version} promoted`,
      ({ status }) =>
        status?.phase === 'Healthy' &&
        (status.stable?.images.some((image) => image.endsWith(`:${version}`)) ?? false),
      timeoutMs,
    );
    return rollout;
  }

  /** Once the Rollout, which is watched, is as `predicate` says. */
  until(what: string, predicate: (rollout: Rollout) => boolean, timeoutMs = 60_000): Promise<Rollout> {
    return eventually(
      `${this.namespace}: ${what}`,
      () => this.#latest !== undefined && predicate(this.#latest) && this.#latest,
      { timeoutMs, everyMs: 10, describe: () => this.describe() },
    );
  }

  async pods(labels: Record<string, string> = { app: 'web' }): Promise<KubeObject[]> {
    const labelSelector = Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
    return (await this.cluster.client.list<KubeObject>(kinds.Pod, this.namespace, { labelSelector })).items;
  }

  /** Pods of one version that are not on their way out. */
  async podsOf(version: string): Promise<KubeObject[]> {
    return (await this.pods()).filter(
      (pod) =>
        !pod.metadata.deletionTimestamp &&
        (pod.spec as { containers: { image: string }[] }).containers.some(({ image }) =>
          image.endsWith(`:${version}`),
        ),
    );
  }

  async replicaSets(): Promise<KubeObject[]> {
    return (await this.cluster.client.list<KubeObject>(kinds.ReplicaSet, this.namespace)).items.filter(
      (set) =>
        (set.spec as { template: { metadata: { labels: Record<string, string> } } }).template.metadata.labels
          .app === 'web',
    );
  }

  async deployment(): Promise<KubeObject & { spec: { paused?: boolean; replicas: number } }> {
    return this.cluster.client.get(kinds.Deployment, this.namespace, 'web');
  }

  async split(): Promise<TrafficSplit> {
    return this.cluster.client.get<TrafficSplit>(kinds.TrafficSplit, this.namespace, 'web');
  }

  async load(): Promise<LoadReport> {
    const pod = (await this.pods({ app: 'load' })).find(({ metadata }) => !metadata.deletionTimestamp);
    const address = (pod?.status as { podIP?: string } | undefined)?.podIP;
    if (!address) throw new Error('the load generator has no address yet');
    return (await (await fetch(`http://${address}:8080/`)).json()) as LoadReport;
  }

  /** What a person would look at first when a scenario goes wrong. */
  async describe(): Promise<string> {
    const { client } = this.cluster;
    const rollout = await client.find<Rollout>(kinds.Rollout, this.namespace, 'web').catch(() => undefined);
    const { machine: _machine, ...status } = rollout?.status ?? {};
    const sets = await this.replicaSets().catch(() => []);
    const events = await client.list<KubeObject>(kinds.Event, this.namespace).catch(() => ({ items: [] }));
    return [
      JSON.stringify(status, null, 1),
      `weights ${JSON.stringify(this.weights)}; phases ${this.phases.join(' ')}`,
      ...sets.map(
        ({ metadata, spec, status: state }) =>
          `${metadata.name} spec ${(spec as { replicas: number }).replicas} ${JSON.stringify(state)}`,
      ),
      ...(await this.pods({}).catch(() => [])).map(({ metadata, status: state }) =>
        `${metadata.name} ${(state as { phase?: string })?.phase} ${JSON.stringify((state as { containerStatuses?: unknown })?.containerStatuses)}`.slice(
          0,
          500,
        ),
      ),
      ...events.items.slice(-12).map((event) => `${event.reason}: ${event.message}`),
    ].join('\n');
  }

  async #record(): Promise<void> {
    const { client } = this.cluster;
    const signal = this.#stop.signal;
    const follow = async (
      kind: typeof kinds.Rollout,
      see: (object: KubeObject) => void,
      gone: (object: KubeObject) => void = () => {},
    ) => {
      while (!signal.aborted) {
        try {
          const list = await client.list<KubeObject>(kind, this.namespace);
          list.items.forEach(see);
          for await (const event of client.watch<KubeObject>(
            kind,
            this.namespace,
            { resourceVersion: list.metadata.resourceVersion },
            signal,
          )) {
            if (event.type === 'ADDED' || event.type === 'MODIFIED') see(event.object);
            if (event.type === 'DELETED') gone(event.object);
          }
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
    };
    void follow(kinds.TrafficSplit, (object) => {
      const { spec } = object as unknown as TrafficSplit;
      const weightOf = (service: string) =>
        spec.backends.find((backend) => backend.service === service)?.weight ?? 0;
      const seen = { stable: weightOf('web-stable'), canary: weightOf('web-canary') };
      const last = this.weights.at(-1);
      if (last?.stable !== seen.stable || last.canary !== seen.canary) this.weights.push(seen);
    });
    void follow(kinds.Rollout, (object) => {
      this.#latest = object as unknown as Rollout;
      const { phase } = this.#latest.status ?? {};
      if (phase && this.phases.at(-1) !== phase) this.phases.push(phase);
    });
    void follow(
      kinds.EndpointSlice,
      (slice) => this.#endpoints(slice),
      ({ metadata }) => this.#slices.delete(metadata.name),
    );
  }

  #endpoints({ metadata, endpoints }: KubeObject): void {
    const service = metadata.labels?.['kubernetes.io/service-name'] ?? '';
    const of = () =>
      [...this.#slices.values()]
        .filter((slice) => slice.service === service)
        .reduce((sum, slice) => sum + slice.ready, 0);
    const before = of();
    const all = (endpoints ?? []) as { conditions: { ready?: boolean } }[];
    this.#slices.set(metadata.name, {
      service,
      ready: all.filter(({ conditions }) => conditions.ready).length,
    });
    if (before > 0 && of() === 0) this.emptied.push(service);
  }

  /** Makes pods of the sample fail or pass their readiness probe. */
  async readiness(pods: readonly KubeObject[], readiness: 'fail' | 'ok'): Promise<void> {
    for (const { status } of pods) {
      const { podIP } = status as { podIP: string };
      await fetch(`http://${podIP}:8080/fault?readiness=${readiness}`, { method: 'POST' });
    }
  }

  /** Stops watching and deletes the namespace without waiting for it. */
  async remove(): Promise<void> {
    this.#stop.abort();
    await this.cluster.client.delete(kinds.Rollout, this.namespace, 'web').catch(() => {});
    await this.cluster.client.delete(kinds.Namespace, undefined, this.namespace).catch(() => {});
  }
}
