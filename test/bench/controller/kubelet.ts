import { kinds } from '../../../src/api/kinds.ts';
import { type KubeObject, keyOf } from '../../../src/api/meta.ts';
import { Informer } from '../../../src/kube/index.ts';
import type { KubeClient } from '../../../src/kube/types.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { median } from '../row.ts';
import { NODE } from './fleet.ts';
import { percentile, round } from './measures.ts';

/** Says of every pod of its node that it runs: thousands of pods without a process. Knows how long each one waited. */
export class Kubelet {
  readonly #client: KubeClient;
  readonly #stop = new AbortController();
  readonly #queue: KubeObject[] = [];
  #workers = 0;
  #next = 0;
  /** Milliseconds from seeing a pod until its status was written, by ReplicaSet. */
  readonly latency = new Map<string, number>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async start(): Promise<void> {
    await this.#client.create(kinds.Node, { metadata: { name: NODE }, spec: {} }).catch(() => undefined);
    const pods = new Informer<KubeObject>({
      client: this.#client,
      kind: kinds.Pod,
      fieldSelector: `spec.nodeName=${NODE}`,
      log: silentLogger,
      project: ({ metadata, status }) => ({
        metadata: {
          name: metadata.name,
          namespace: metadata.namespace,
          uid: metadata.uid,
          resourceVersion: metadata.resourceVersion,
          ownerReferences: metadata.ownerReferences,
        },
        running: (status as { phase?: string } | undefined)?.phase === 'Running',
      }),
    });
    pods.onChange(({ type, object }) => {
      if (type !== 'added' || object.running) return;
      this.#queue.push({ ...object, seen: performance.now() });
      if (this.#workers < 16) void this.#work();
    });
    pods.start(this.#stop.signal);
    await pods.synced;
  }

  stop(): void {
    this.#stop.abort();
  }

  /** The same by application: the newest ReplicaSet of `app-1` is called `app-1-` and a hash. */
  #byApplication(): Map<string, number> {
    return new Map(
      [...this.latency].map(([key, ms]) => [key.slice(key.indexOf('/') + 1).replace(/-[a-z0-9]+$/, ''), ms]),
    );
  }

  /**
   * Seconds from when each application was changed until it was reached, both by `performance.now`, without what its pod waited for
   * this stand-in: that is not what is measured. Infinite for one that was not reached.
   */
  beyondReadiness(
    applied: ReadonlyMap<string, number>,
    reached: ReadonlyMap<string, number>,
  ): { p50: number; p99: number } {
    const readiness = this.#byApplication();
    const beyond = [...applied].map(([name, at]) =>
      Math.max(0, (reached.get(name) ?? Number.POSITIVE_INFINITY) - at - (readiness.get(name) ?? 0)),
    );
    const seconds = (milliseconds: number) => round(milliseconds / 1000, 2);
    return { p50: seconds(median(beyond)), p99: seconds(percentile(beyond, 0.99)) };
  }

  async #work(): Promise<void> {
    this.#workers += 1;
    for (let pod = this.#queue.shift(); pod; pod = this.#queue.shift()) {
      await this.#run(pod).catch(() => undefined);
    }
    this.#workers -= 1;
  }

  async #run(pod: KubeObject): Promise<void> {
    const { name, namespace, ownerReferences } = pod.metadata;
    this.#next += 1;
    const podIP = `198.19.${this.#next >> 8}.${this.#next & 255}`;
    const at = `${new Date().toISOString().slice(0, 19)}Z`;
    const condition = (type: string) => ({ type, status: 'True', lastTransitionTime: at });
    const status = {
      phase: 'Running',
      podIP,
      podIPs: [{ ip: podIP }],
      startTime: at,
      conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map(condition),
      containerStatuses: [
        {
          name: 'app',
          image: 'app',
          imageID: 'app',
          ready: true,
          started: true,
          restartCount: 0,
          state: { running: { startedAt: at } },
        },
      ],
    };
    await this.#client.patch(
      kinds.Pod,
      namespace,
      name,
      { type: 'merge', body: { status } },
      { subresource: 'status' },
    );
    const owner = ownerReferences?.[0]?.name ?? keyOf(pod);
    this.latency.set(`${namespace}/${owner}`, performance.now() - (pod.seen as number));
  }
}
