/** The same fleet, the same control plane, another controller: found on the PATH, or reported as absent. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { KubeObject } from '../../../../src/api/meta.ts';
import { applyManifests } from '../../../../src/cli/install/apply.ts';
import { Informer } from '../../../../src/kube/index.ts';
import type { KubeClient } from '../../../../src/kube/types.ts';
import { silentLogger } from '../../../../src/lib/log.ts';
import { SupervisedChild } from '../../../../src/local/supervisor/child.ts';
import { eventually } from '../../../e2e/support/cluster.ts';
import type { KubernetesCluster, KubernetesOptions } from '../../../kubernetes/support/cluster.ts';
import { permissive } from '../../../kubernetes/support/permissive.ts';
import { median, type Row } from '../../row.ts';
import { Kubelet } from '../kubelet.ts';
import { IDLE_SECONDS, inParallel, pause, round, SIZE, settle, WAVE } from '../measures.ts';
import { cpuSeconds, rssMiB } from '../process.ts';
import { argoRollouts } from './argo-rollouts.ts';
import { flagger } from './flagger.ts';
import type { Application, Peer, Progress } from './peer.ts';

const NAMESPACE = 'bench';
const ACCOUNT = 'peer';
/** Changes one after the other: fewer than Weir's, since a peer that looks every ten seconds takes a minute for each. */
const SINGLES = Math.min(3, SIZE);
const PATIENCE = { timeoutMs: 900_000, everyMs: 200 };
type OnCluster = <T>(
  options: KubernetesOptions,
  body: (cluster: KubernetesCluster) => Promise<T>,
) => Promise<T>;

/** Each peer on a cluster of its own, one after the other. */
export async function peerRows(onCluster: OnCluster, log: (line: string) => void): Promise<Row[]> {
  const rows: Row[] = [];
  for (const peer of [flagger, argoRollouts]) {
    const found = spawnSync('sh', ['-c', `command -v ${peer.binary}`], { encoding: 'utf8' }).stdout.trim();
    if (found === '') {
      rows.push({ name: peer.name, value: `absent: no ${peer.binary} on the PATH`, unit: '' });
      continue;
    }
    log(`${peer.name}: ${found}`);
    rows.push(
      ...(await onCluster({ weir: false, node: false }, (cluster) => measure(cluster, peer, found, log))),
    );
  }
  return rows;
}

async function measure(
  cluster: KubernetesCluster,
  peer: Peer,
  binary: string,
  log: (line: string) => void,
): Promise<Row[]> {
  const { client, dir } = cluster;
  const rows: Row[] = [];
  const row = (name: string, value: number, unit: string) => {
    rows.push({ name: `${peer.name}: ${name}`, value, unit });
    log(`${peer.name}: ${name}: ${value} ${unit}`);
  };
  await prepare(client, peer);
  const kubelet = new Kubelet(client);
  await kubelet.start();
  const progress = new Watched(client, peer);
  await progress.start();
  const child = new SupervisedChild({
    name: peer.binary,
    // Ends with this process, however that ends.
    command: 'setpriv',
    argv: ['--pdeathsig', 'KILL', '--', binary, ...peer.flags(await kubeconfigOf(cluster))],
    env: { ...process.env },
    logFile: join(dir, 'logs', `${peer.binary}.log`),
    log: silentLogger,
  });
  const applications = Array.from({ length: SIZE }, (_, index): Application => {
    return { client, namespace: NAMESPACE, name: `app-${index}` };
  });
  try {
    child.start();
    await inParallel(applications, (each) => peer.createApplication(each));
    await eventually('all pods run', async () => kubelet.latency.size >= SIZE, PATIENCE);
    log(`${SIZE} applications run`);
    const pid = child.pid!;
    const started = performance.now();
    const asked = await requests(client);
    await inParallel(applications, (each) => peer.guard(each));
    await eventually('all are at rest', async () => progress.resting() === SIZE, PATIENCE);
    row(`${SIZE} created -> all at rest`, round((performance.now() - started) / 1000, 1), 's');
    row('API requests to initialise one', round(((await requests(client)) - asked) / SIZE, 1), 'requests');

    await settle();
    const idle = { requests: await requests(client), cpu: cpuSeconds(pid) };
    await pause(IDLE_SECONDS);
    const minutes = IDLE_SECONDS / 60;
    row(
      'idle: API requests a minute',
      round(((await requests(client)) - idle.requests) / minutes),
      'requests',
    );
    row('idle: CPU seconds a minute', round((cpuSeconds(pid) - idle.cpu) / minutes, 2), 's');
    row('idle: RSS', round(rssMiB(pid)), 'MiB');

    const singles: number[] = [];
    for (const each of applications.slice(0, SINGLES)) {
      const since = progress.mark();
      await peer.apply(each, 'v2');
      const applied = performance.now();
      await eventually('the change is taken up', async () => since.begun.has(each.name), {
        timeoutMs: 120_000,
        everyMs: 5,
      });
      singles.push(since.begun.get(each.name)! - applied);
      await eventually('all are at rest again', async () => progress.resting() === SIZE, PATIENCE);
      log(
        `${peer.name}: ${each.name}: taken up after ${round(singles.at(-1)!)} ms, ` +
          `at rest again after ${round((performance.now() - applied) / 1000, 1)} s`,
      );
    }
    row('template applied -> taken up, p50', round(median(singles)), 'ms');
    row(`the same, max of ${singles.length}`, round(Math.max(...singles)), 'ms');

    await settle();
    const since = progress.mark();
    const before = { requests: await requests(client), cpu: cpuSeconds(pid) };
    const began = performance.now();
    const applied = new Map<string, number>();
    await inParallel(
      applications.slice(SIZE - WAVE),
      async (each) => {
        await peer.apply(each, 'v3');
        applied.set(each.name, performance.now());
      },
      WAVE,
    );
    await eventually('the wave is promoted', async () => since.ended.size === WAVE, PATIENCE);
    const beyond = kubelet.beyondReadiness(applied, since.weighted);
    row(`${WAVE} of ${SIZE} changed at once: first weight beyond readiness, p50`, beyond.p50, 's');
    row('the same, p99', beyond.p99, 's');
    row('the same, all promoted after', round((performance.now() - began) / 1000, 1), 's');
    row(
      'the same, API requests a rollout',
      round(((await requests(client)) - before.requests) / WAVE, 1),
      'requests',
    );
    row('the same, CPU seconds a rollout', round((cpuSeconds(pid) - before.cpu) / WAVE, 3), 's');
    return rows;
  } finally {
    progress.stop();
    kubelet.stop();
    await child.stop(5000);
  }
}

/** Its kinds, its account, and a flow of its own by which the API server counts what it asks. */
function prepare(client: KubeClient, peer: Peer): Promise<void> {
  const account = { name: ACCOUNT, namespace: NAMESPACE };
  const everything = {
    verbs: ['*'],
    apiGroups: ['*'],
    resources: ['*'],
    clusterScope: true,
    namespaces: ['*'],
  };
  return applyManifests(client, [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    ...peer.kinds.map(permissive),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: account },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: ACCOUNT },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', ...account }],
    },
    {
      apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
      kind: 'FlowSchema',
      metadata: { name: ACCOUNT },
      spec: {
        // Never made to wait.
        priorityLevelConfiguration: { name: 'exempt' },
        matchingPrecedence: 10,
        rules: [
          {
            subjects: [{ kind: 'ServiceAccount', serviceAccount: account }],
            resourceRules: [everything],
            nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
          },
        ],
      },
    },
  ]);
}

/** Requests that the peer has made, watches included. */
async function requests(client: KubeClient): Promise<number> {
  const text = (await client.request('GET', '/metrics')) as string;
  const counts = text.matchAll(
    new RegExp(
      `^apiserver_flowcontrol_dispatched_requests_total\\{flow_schema="${ACCOUNT}"[^}]*\\} (\\S+)$`,
      'gm',
    ),
  );
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function kubeconfigOf({ client, dir, kubeconfig }: KubernetesCluster): Promise<string> {
  const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${ACCOUNT}/token`;
  const body = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 7200 },
  };
  const { status } = (await client.request('POST', path, { body })) as { status: { token: string } };
  const config = parse(readFileSync(kubeconfig, 'utf8')) as { users: { user: object }[] };
  for (const each of config.users) each.user = { token: status.token };
  const file = join(dir, 'kubeconfig.peer');
  writeFileSync(file, stringify(config), { mode: 0o600 });
  return file;
}

/** Moments (performance.now()) at which each application was seen to move, since a mark. */
interface Moments {
  begun: Map<string, number>;
  weighted: Map<string, number>;
  ended: Map<string, number>;
}

/** What the peer says of its canaries, by a watch. */
class Watched {
  readonly #informer: Informer<KubeObject>;
  readonly #peer: Peer;
  readonly #stop = new AbortController();
  #moments: Moments = { begun: new Map(), weighted: new Map(), ended: new Map() };

  constructor(client: KubeClient, peer: Peer) {
    this.#peer = peer;
    this.#informer = new Informer({ client, kind: peer.progressKind, log: silentLogger });
    this.#informer.onChange(({ object }) => this.#saw(object.metadata.name, peer.progress(object)));
  }

  async start(): Promise<void> {
    this.#informer.start(this.#stop.signal);
    await this.#informer.synced;
  }

  stop(): void {
    this.#stop.abort();
  }

  resting(): number {
    return this.#informer.store.list().filter((object) => this.#peer.progress(object).resting).length;
  }

  mark(): Moments {
    this.#moments = { begun: new Map(), weighted: new Map(), ended: new Map() };
    return this.#moments;
  }

  #saw(name: string, { resting, begun: taken, weight }: Progress): void {
    const { begun, weighted, ended } = this.#moments;
    const now = performance.now();
    if (taken && !begun.has(name)) begun.set(name, now);
    if (weight > 0 && !weighted.has(name)) weighted.set(name, now);
    if (resting && weighted.has(name) && !ended.has(name)) ended.set(name, now);
  }
}
