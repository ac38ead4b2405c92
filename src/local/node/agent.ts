import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import { keyOf } from '../../api/meta.ts';
import { Informer } from '../../kube/index.ts';
import type { KubeClient } from '../../kube/types.ts';
import { aborted } from '../../lib/aborted.ts';
import { systemClock } from '../../lib/clock.ts';
import { isCode } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { AddressPool } from './addresses.ts';
import { readAccess } from './credentials.ts';
import { findEntries } from './entry.ts';
import type { Data, References } from './environment.ts';
import { killLeftBehind } from './leftovers.ts';
import { type PodHost, PodRunner, podFolder, savedPodOf } from './pod.ts';
import { bindPod, registerNode, unschedulableReason } from './registration.ts';
import { ServiceProxy } from './service-proxy.ts';
import type { NodePod } from './types.ts';
import { referencesOf } from './volumes.ts';

export interface NodeOptions {
  client: KubeClient;
  /** Path of the kubeconfig that the node itself uses: pods get its server and CA. */
  kubeconfig: string;
  /** State directory of the cluster; pods live in `<dir>/pods`. */
  dir: string;
  /** First two octets of the cluster's addresses, such as `127.42`. */
  prefix: string;
  name?: string;
  log: Logger;
}

const RENEW_EVERY_MS = 60_000;
// Within the five seconds that a cluster may take to go down.
const STOP_GRACE_MS = 4000;

/** One node: registers itself, schedules pods to itself, runs them as processes, and proxies Services to them. */
export class NodeAgent {
  readonly #options: NodeOptions;
  readonly #name: string;
  readonly #podsDir: string;
  readonly #pool: AddressPool;
  readonly #runners = new Map<string, PodRunner>();
  readonly #binding = new Set<string>();
  readonly #informers;
  readonly #proxy: ServiceProxy;
  readonly #host: PodHost;

  constructor(options: NodeOptions) {
    const { client, log, dir, prefix, kubeconfig, name = 'local' } = options;
    this.#options = options;
    this.#name = name;
    this.#podsDir = join(dir, 'pods');
    this.#pool = new AddressPool(prefix);
    const informer = <T extends KubeObject>(kind: (typeof kinds)[keyof typeof kinds], indexers = {}) =>
      new Informer<T>({ client, kind, indexers, log });
    this.#informers = {
      pods: informer<NodePod>(kinds.Pod),
      services: informer<KubeObject & { spec: { clusterIP?: string } }>(kinds.Service),
      slices: informer<KubeObject>(kinds.EndpointSlice, ServiceProxy.sliceIndexers),
      configMaps: informer<KubeObject & { data?: Data; binaryData?: Data }>(kinds.ConfigMap),
      secrets: informer<KubeObject & { data?: Data }>(kinds.Secret),
    };
    const { services, slices } = this.#informers;
    this.#proxy = new ServiceProxy({ services, slices, log });
    this.#host = {
      client,
      log,
      entries: findEntries(),
      access: () => readAccess(kubeconfig),
      hostIP: `${prefix}.0.1`,
      clusterDir: dir,
      references: (pod) => this.#references(pod),
      resolveService: ({ name: service, namespace }, port) => {
        const address = services.store.get(`${namespace}/${service}`)?.spec.clusterIP;
        if (!address || address === 'None') return undefined;
        return { address, ...(port === undefined ? {} : { port: this.#proxy.reachablePort(port) }) };
      },
    };
  }

  /** Runs until the signal aborts, then ends every pod's processes. */
  async run(signal: AbortSignal): Promise<void> {
    const { client, log, prefix } = this.#options;
    mkdirSync(this.#podsDir, { recursive: true });
    const { pods, configMaps, secrets } = this.#informers;
    await this.#proxy.start(`${prefix}.0.1`);
    const informing = new AbortController();
    signal.addEventListener('abort', () => informing.abort(), { once: true });
    for (const informer of Object.values(this.#informers)) informer.start(informing.signal);
    await registerNode(client, { name: this.#name, address: `${prefix}.0.1`, log, signal });
    const synced = Promise.all(Object.values(this.#informers).map((informer) => informer.synced));
    await Promise.race([synced, aborted(signal)]);
    if (!signal.aborted) {
      // Addresses in use first, then what the API no longer knows, and only then new pods.
      for (const pod of pods.store.list()) this.#reserve(pod);
      await this.#removeVanished(pods.store.list());
      for (const pod of pods.store.list()) this.#see(pod);
      pods.onChange(({ type, object }) => (type === 'deleted' ? this.#gone(object) : this.#see(object)));
      configMaps.onChange(({ object }) => this.#refreshUsersOf('configMaps', object));
      secrets.onChange(({ object }) => this.#refreshUsersOf('secrets', object));
      const timer = setInterval(() => {
        for (const runner of this.#runners.values()) this.#refresh(runner);
      }, RENEW_EVERY_MS);
      log.info({ node: this.#name, pods: this.#runners.size }, 'node is ready');
      if (!signal.aborted) await aborted(signal);
      clearInterval(timer);
    }
    this.#proxy.stop();
    const runners = [...this.#runners.values()];
    for (const runner of runners) runner.silence();
    await Promise.all(runners.map((runner) => runner.stop(STOP_GRACE_MS)));
  }

  #reserve(pod: NodePod): void {
    const address = savedPodOf(join(this.#podsDir, podFolder(pod)))?.podIP ?? pod.status?.podIP;
    if (address) this.#pool.reserve(address);
  }

  async #removeVanished(known: NodePod[]): Promise<void> {
    const folders = new Set(known.map(podFolder));
    for (const folder of existsSync(this.#podsDir) ? readdirSync(this.#podsDir) : []) {
      if (folders.has(folder)) continue;
      const dir = join(this.#podsDir, folder);
      await killLeftBehind(dir);
      rmSync(dir, { recursive: true, force: true });
    }
  }

  #see(pod: NodePod): void {
    const { uid = '', deletionTimestamp } = pod.metadata;
    const runner = this.#runners.get(uid);
    const { nodeName } = pod.spec;
    if (runner) runner.update(pod);
    else if (nodeName === this.#name) this.#start(pod);
    else if (nodeName || this.#binding.has(uid)) return;
    else if (deletionTimestamp) void this.#deleteUnscheduled(pod);
    else {
      this.#binding.add(uid);
      void this.#schedule(pod).finally(() => this.#binding.delete(uid));
    }
  }

  async #schedule(pod: NodePod): Promise<void> {
    const { client, log } = this.#options;
    try {
      const reason = unschedulableReason(pod, this.#name, this.#informers.pods.store.list());
      const bound = await bindPod(client, pod, this.#name, reason);
      if (bound) this.#see(bound);
    } catch (thrown) {
      if (isCode(thrown, 'NotFound', 'Conflict')) return;
      log.warn({ pod: keyOf(pod), error: thrown }, 'cannot schedule the pod yet, trying again');
      await systemClock.sleep(500);
      const latest = this.#informers.pods.store.get(keyOf(pod));
      if (latest) setImmediate(() => this.#see(latest));
    }
  }

  async #deleteUnscheduled({ metadata: { namespace, name, uid } }: NodePod): Promise<void> {
    await this.#options.client
      .delete(kinds.Pod, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } })
      .catch((error) => this.#options.log.debug({ error }, 'the unscheduled pod is gone already'));
  }

  #start(pod: NodePod): void {
    const { uid = '', deletionTimestamp } = pod.metadata;
    const dir = join(this.#podsDir, podFolder(pod));
    const phase = pod.status?.phase;
    if ((phase === 'Succeeded' || phase === 'Failed') && !deletionTimestamp) return;
    const address = savedPodOf(dir)?.podIP ?? pod.status?.podIP ?? this.#pool.allocate();
    this.#pool.reserve(address);
    const runner = new PodRunner(pod, address, this.#podsDir, this.#host);
    this.#runners.set(uid, runner);
    if (deletionTimestamp && !existsSync(join(dir, pod.spec.containers[0]?.name ?? '', 'state.json'))) {
      // Deleted before it ever ran here.
      void runner.terminate();
      return;
    }
    runner.start();
    if (deletionTimestamp) void runner.terminate();
  }

  /** The object is gone: by our own last delete, or by force. */
  #gone(pod: NodePod): void {
    const { uid = '' } = pod.metadata;
    const runner = this.#runners.get(uid);
    if (!runner) return;
    this.#runners.delete(uid);
    runner.silence();
    void runner.stop(1000).then(() => {
      this.#pool.release(runner.podIP);
      runner.remove();
    });
  }

  async #references(pod: NodePod): Promise<References> {
    const namespace = pod.metadata.namespace ?? 'default';
    const { client } = this.#options;
    const { configMaps, secrets } = referencesOf(pod);
    const decode = (data: Data = {}) =>
      Object.fromEntries(
        Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
      );
    const maps = new Map<string, Data>();
    const keys = new Map<string, Data>();
    for (const name of configMaps) {
      const found = await client.find<KubeObject & { data?: Data }>(kinds.ConfigMap, namespace, name);
      if (found) maps.set(name, found.data ?? {});
    }
    for (const name of secrets) {
      const found = await client.find<KubeObject & { data?: Data }>(kinds.Secret, namespace, name);
      if (found) keys.set(name, decode(found.data));
    }
    return { configMap: (name) => maps.get(name), secret: (name) => keys.get(name) };
  }

  #refreshUsersOf(what: 'configMaps' | 'secrets', { metadata }: KubeObject): void {
    for (const pod of this.#informers.pods.store.list()) {
      if (pod.metadata.namespace !== metadata.namespace || !referencesOf(pod)[what].has(metadata.name))
        continue;
      const runner = this.#runners.get(pod.metadata.uid ?? '');
      if (runner) this.#refresh(runner);
    }
  }

  #refresh(runner: PodRunner): void {
    runner
      .refresh()
      .catch((error) => this.#options.log.debug({ error }, 'the volumes of a pod are not complete yet'));
  }
}
