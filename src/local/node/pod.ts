import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { kinds } from '../../api/kinds.ts';
import type { KubeClient } from '../../kube/types.ts';
import { canonicalJson } from '../../lib/canonical.ts';
import { systemClock } from '../../lib/clock.ts';
import { isCode } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { ContainerRunner, type Launch } from './container.ts';
import { type ClusterAccess, PodTokens, writeCredentials } from './credentials.ts';
import type { Entries } from './entry.ts';
import { environmentOf, expand, type References } from './environment.ts';
import { commandOf } from './images.ts';
import { rewritePaths, rewriteServices, type ServiceName, serviceHosts } from './rewrite.ts';
import { statusOf } from './status.ts';
import type { Container, NodePod } from './types.ts';
import { mountsOf, syncVolumes, writeIfChanged } from './volumes.ts';

/** What a pod needs of its node. */
export interface PodHost {
  client: KubeClient;
  log: Logger;
  entries: Entries;
  access(): Promise<ClusterAccess>;
  hostIP: string;
  /** State directory of the cluster: every process of it carries this in its environment. */
  clusterDir: string;
  /** Reads what the pod refers to, live. */
  references(pod: NodePod): Promise<References>;
  resolveService(
    service: ServiceName,
    port: number | undefined,
  ): { address: string; port?: number } | undefined;
}

interface SavedPod {
  podIP: string;
  startTime: string;
}

const SERVICE_WAIT_MS = 1500;
const KUBECONFIG_DIR = 'serviceaccount';
const INHERITED = [
  'PATH',
  'HOME',
  'USER',
  'LANG',
  'TZ',
  'TMPDIR',
  'NODE_COMPILE_CACHE',
  'NODE_EXTRA_CA_CERTS',
  'WEIR_FROM_SOURCE',
];

const timestamp = (): string => `${new Date().toISOString().slice(0, 19)}Z`;

/** The directory of a pod's state and logs under the pods directory. */
export function podFolder(pod: NodePod): string {
  return `${pod.metadata.namespace}_${pod.metadata.name}_${pod.metadata.uid}`;
}

export function savedPodOf(dir: string): SavedPod | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, 'pod.json'), 'utf8')) as SavedPod;
  } catch {
    return undefined;
  }
}

/** One pod on this node, from its binding to its end. */
export class PodRunner {
  readonly dir: string;
  readonly podIP: string;
  readonly #host: PodHost;
  readonly #log: Logger;
  readonly #startTime: string;
  readonly #tokens: PodTokens;
  readonly #init: ContainerRunner[];
  readonly #containers: ContainerRunner[];
  readonly #stopping = new AbortController();
  #pod: NodePod;
  #initialized = false;
  #publishing = false;
  #dirty = false;
  #written = '';
  #running: Promise<void> = Promise.resolve();
  #terminating: Promise<void> | undefined;
  #silent = false;
  #preparing: Promise<{ references: References; kubeconfig: string | undefined }> | undefined;

  constructor(pod: NodePod, podIP: string, podsDir: string, host: PodHost) {
    this.#pod = pod;
    this.#host = host;
    this.podIP = podIP;
    this.dir = join(podsDir, podFolder(pod));
    this.#log = host.log.child({ pod: `${pod.metadata.namespace}/${pod.metadata.name}` });
    mkdirSync(this.dir, { recursive: true });
    this.#startTime = savedPodOf(this.dir)?.startTime ?? timestamp();
    writeIfChanged(join(this.dir, 'pod.json'), JSON.stringify({ podIP, startTime: this.#startTime }));
    this.#tokens = new PodTokens(host.client, pod);
    const policy = pod.spec.restartPolicy ?? 'Always';
    const runner = (container: Container, restartPolicy: 'Always' | 'OnFailure' | 'Never') =>
      new ContainerRunner({
        container,
        dir: join(this.dir, container.name),
        podIP,
        restartPolicy,
        graceMs: this.#graceMs(),
        launch: () => this.#launch(container),
        onChange: () => this.publish(),
        log: this.#log,
      });
    this.#init = (pod.spec.initContainers ?? []).map((container) =>
      runner(
        container,
        container.restartPolicy === 'Always' ? 'Always' : policy === 'Never' ? 'Never' : 'OnFailure',
      ),
    );
    this.#containers = pod.spec.containers.map((container) => runner(container, policy));
  }

  start(): void {
    this.publish();
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const sidecars: Promise<void>[] = [];
    for (const [index, runner] of this.#init.entries()) {
      if (this.#stopping.signal.aborted) return;
      if (this.#pod.spec.initContainers?.[index]?.restartPolicy === 'Always') {
        sidecars.push(runner.run());
        await runner.started;
        continue;
      }
      await runner.run();
      if (runner.status().state.terminated?.exitCode !== 0) return;
    }
    if (this.#stopping.signal.aborted) return;
    this.#initialized = true;
    await Promise.all(this.#containers.map((runner) => runner.run()));
    if (this.#stopping.signal.aborted) return;
    // Every container has ended for good: the sidecars have nothing left to serve.
    await Promise.all(this.#sidecars().map((runner) => runner.stop(this.#graceMs())));
    this.publish();
  }

  #sidecars(): ContainerRunner[] {
    return this.#init.filter(
      (_, index) => this.#pod.spec.initContainers?.[index]?.restartPolicy === 'Always',
    );
  }

  #graceMs(): number {
    return (this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  /** The pod's object changed: labels, annotations, or its deletion was asked for. */
  update(pod: NodePod): void {
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp) void this.terminate();
  }

  /** Stops everything in order, then removes the object. Safe to call again. */
  terminate(): Promise<void> {
    this.#terminating ??= this.#terminate();
    return this.#terminating;
  }

  async #terminate(): Promise<void> {
    const { metadata } = this.#pod;
    const grace = (metadata.deletionGracePeriodSeconds as number | undefined) ?? this.#graceMs() / 1000;
    const deadline = Date.now() + grace * 1000;
    await this.stop(grace * 1000, deadline);
    const { namespace, name, uid } = metadata;
    for (let wait = 50; ; wait = Math.min(wait * 2, 2000)) {
      try {
        await this.#host.client.delete(kinds.Pod, namespace, name, {
          gracePeriodSeconds: 0,
          preconditions: { uid },
        });
        return;
      } catch (thrown) {
        if (isCode(thrown, 'NotFound', 'Conflict') || this.#silent) return;
        this.#log.warn({ error: thrown }, 'cannot remove the pod yet, trying again');
        await systemClock.sleep(wait);
      }
    }
  }

  /** Ends all processes without touching the API: containers first, native sidecars after them, last started first. */
  async stop(graceMs: number, deadline = Date.now() + graceMs): Promise<void> {
    this.#stopping.abort();
    const left = () => Math.max(0, deadline - Date.now());
    const sidecars = this.#sidecars();
    const others = this.#init.filter((runner) => !sidecars.includes(runner));
    await Promise.all([...this.#containers, ...others].map((runner) => runner.stop(left())));
    for (const runner of sidecars.reverse()) await runner.stop(left());
    await this.#running;
  }

  /** The cluster goes down: no more writes to an API server that may be gone. */
  silence(): void {
    this.#silent = true;
  }

  remove(): void {
    this.#silent = true;
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Writes the status when it changed; one write at a time, always the latest. */
  publish(): void {
    this.#dirty = true;
    if (this.#publishing) return;
    this.#publishing = true;
    void this.#write().finally(() => {
      this.#publishing = false;
    });
  }

  async #write(): Promise<void> {
    while (this.#dirty && !this.#silent) {
      this.#dirty = false;
      const { namespace, name, uid } = this.#pod.metadata;
      const status = statusOf({
        pod: this.#pod,
        podIP: this.podIP,
        hostIP: this.#host.hostIP,
        startTime: this.#startTime,
        initialized: this.#initialized,
        init: this.#init.map((runner) => runner.status()),
        containers: this.#containers.map((runner) => runner.status()),
        before: (this.#pod.status?.conditions ?? []) as never,
        now: timestamp(),
      });
      const text = canonicalJson(status);
      if (text === this.#written) continue;
      try {
        const body = { metadata: { uid }, status };
        const written = await this.#host.client.patch<NodePod>(
          kinds.Pod,
          namespace,
          name,
          { type: 'merge', body },
          { subresource: 'status' },
        );
        this.#written = text;
        this.#pod = { ...this.#pod, status: written.status };
      } catch (thrown) {
        if (isCode(thrown, 'NotFound', 'Conflict')) return;
        this.#log.warn({ error: thrown }, 'cannot write the status of the pod yet, trying again');
        this.#dirty = true;
        await systemClock.sleep(200);
      }
    }
  }

  /** Brings volumes and tokens up to date, after a change of what they show or when a token must be renewed. */
  async refresh(): Promise<void> {
    await this.#materialize(await this.#host.references(this.#pod));
  }

  /** Answers the path of the kubeconfig, unless the pod wants none. */
  async #materialize(references: References): Promise<string | undefined> {
    const { access, hostIP } = this.#host;
    const pod = this.#pod;
    await syncVolumes(join(this.dir, 'volumes'), {
      pod,
      podIP: this.podIP,
      hostIP,
      references,
      token: (audience) => this.#tokens.get(audience),
    });
    if (pod.spec.automountServiceAccountToken === false) return undefined;
    return writeCredentials(join(this.dir, KUBECONFIG_DIR), pod, this.#tokens, await access());
  }

  /** What a pod's containers find, read and written once for those that start together. */
  #prepared(): Promise<{ references: References; kubeconfig: string | undefined }> {
    const prepare = async () => {
      const references = await this.#host.references(this.#pod);
      return { references, kubeconfig: await this.#materialize(references) };
    };
    this.#preparing ??= prepare().finally(() => {
      this.#preparing = undefined;
    });
    return this.#preparing;
  }

  async #launch(container: Container): Promise<Launch> {
    const pod = this.#pod;
    const { entries, hostIP, clusterDir, resolveService } = this.#host;
    const { references, kubeconfig } = await this.#prepared();
    const env = environmentOf(pod, container, { podIP: this.podIP, hostIP }, references);
    const command = commandOf(container, entries, env);
    const namespace = pod.metadata.namespace ?? 'default';
    const tokenDir = kubeconfig ? join(this.dir, KUBECONFIG_DIR) : undefined;
    const mounts = mountsOf(container, pod.spec.volumes ?? [], join(this.dir, 'volumes'), tokenDir);
    // One manifest often creates a Deployment a moment before the Service that it calls.
    const texts = [...Object.values(env), ...command.argv];
    await this.#waitForServices(texts.flatMap((text) => serviceHosts(text, namespace)));
    const rewrite = (text: string) => rewriteServices(rewritePaths(text, mounts), namespace, resolveService);
    const inherited = INHERITED.flatMap((name) =>
      process.env[name] === undefined ? [] : [[name, process.env[name]!]],
    );
    const own = Object.entries(env).map(([name, value]) => [name, rewrite(value)]);
    const folder = join(this.dir, container.name);
    return {
      argv: command.argv.map((word) => rewrite(expand(word, env))),
      env: {
        ...Object.fromEntries(inherited),
        ...command.env,
        ...(kubeconfig ? { KUBECONFIG: kubeconfig } : {}),
        ...Object.fromEntries(own),
        WEIR_LOCAL_DIR: clusterDir,
      },
      cwd: container.workingDir ? rewritePaths(container.workingDir, mounts) : folder,
    };
  }

  async #waitForServices(services: ServiceName[]): Promise<void> {
    const deadline = Date.now() + SERVICE_WAIT_MS;
    const missing = () =>
      services.some(
        (service) => service.name !== 'localhost' && !this.#host.resolveService(service, undefined),
      );
    while (missing() && Date.now() < deadline && !this.#stopping.signal.aborted) await systemClock.sleep(20);
  }
}
