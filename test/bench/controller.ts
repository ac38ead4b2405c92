import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import type { TrafficSplit } from '../../src/api/traffic-split.ts';
import { eventually } from '../e2e/support/cluster.ts';
import {
  type KubernetesCluster,
  type KubernetesOptions,
  startKubernetes,
} from '../kubernetes/support/cluster.ts';
import { createNamespace, deleteNamespace, runInside } from '../kubernetes/support/netns.ts';
import { buildTools, whyNot } from '../kubernetes/support/tools.ts';
import { loadRow } from './cluster.ts';
import { active } from './controller/active.ts';
import { Fleet } from './controller/fleet.ts';
import { canaryWeight, Held } from './controller/held.ts';
import { Kubelet } from './controller/kubelet.ts';
import { BARS, bar, IDLE_SECONDS, pause, round, SINGLES, SIZE, settle, WAVE } from './controller/measures.ts';
import { peerRows } from './controller/peers/measure.ts';
import { plain } from './controller/plain.ts';
import { difference, total } from './controller/process.ts';
import { spending } from './controller/spent.ts';
import { Subject } from './controller/subject.ts';
import { type Bench, median, type Row } from './row.ts';

/** How many Rollouts; several sizes are measured one after the other. */
const SIZES = (process.env.WEIR_BENCH_ROLLOUTS ?? '1000').split(',');
/** Groups of rows to measure, each after the ones before: `idle` alone is what scales to ten thousand. */
const GROUPS = (process.env.WEIR_BENCH_ROWS ?? 'idle,single,wave,active').split(',');
/** There is no traffic to these pods: the judge asks the metrics store and passes on its empty answer. */
const ANALYSIS = {
  interval: '1s',
  noData: 'pass',
  minRequests: 0,
  metrics: [{ name: 'success-rate', threshold: { min: '99%' } }],
};
const CANARY = { weights: [10, 50], dwell: '1s' };

export const bench: Bench = {
  summary: 'the controller at scale, on a real API server: latency, requests, CPU, memory',
  async run({ log, flags }) {
    const why = whyNot();
    if (why) return [{ name: 'real API server', value: `absent: ${why}`, unit: '' }];
    await buildTools();
    if (!process.env.WEIR_NETNS) {
      const rows: Row[] = [];
      for (const size of SIZES) rows.push(...(await inNamespace(flags, size)));
      return rows;
    }
    const rows = await onCluster({}, (cluster) => measure(cluster, log));
    if (flags.includes('--peer')) rows.push(...(await peerRows(onCluster, log)));
    return rows;
  },
};

/** A fresh control plane that is itself not what is measured. */
export async function onCluster<T>(
  options: KubernetesOptions,
  body: (cluster: KubernetesCluster) => Promise<T>,
): Promise<T> {
  const cluster = await startKubernetes({
    dir: mkdtempSync(join(tmpdir(), 'weir-bench-')),
    // Probed and scraped as on a cluster, not every second.
    profile: 'cluster',
    // Otherwise its 20 requests a second are what is measured.
    controllerManagerFlags: [
      '--kube-api-qps=1000',
      '--kube-api-burst=2000',
      '--concurrent-deployment-syncs=20',
      '--concurrent-replicaset-syncs=20',
      '--concurrent-service-endpoint-syncs=20',
    ],
    apiserverFlags: [
      '--max-requests-inflight=2000',
      '--max-mutating-requests-inflight=1000',
      // Room for the Services of ten thousand, among the addresses that are this machine.
      '--service-cluster-ip-range=100.64.0.0/12',
    ],
    ...options,
  });
  try {
    return await body(cluster);
  } finally {
    await cluster.stop();
  }
}

/**
 * The same bench once more in a network namespace of its own, with a cluster of that many; its rows come back on stdout. The
 * namespace goes when it ends, also when somebody ends it.
 */
async function inNamespace(flags: readonly string[], size: string): Promise<Row[]> {
  const namespace = `weir-${process.pid}`;
  createNamespace(namespace);
  try {
    const args = ['test/bench/main.ts', 'controller', ...flags, '--json'];
    const env = { ...process.env, WEIR_NETNS: namespace, WEIR_BENCH_ROLLOUTS: size };
    const { stdout, code } = await runInside(namespace, process.execPath, args, { env, stdout: 'kept' });
    // It prints its rows last: without them it has died, and what it said of that stands above.
    if (!stdout.trim())
      throw new Error(
        `the bench in network namespace ${namespace} ended with exit code ${code} before it had a result: see its messages above`,
      );
    const { rows } = JSON.parse(stdout) as { rows: Row[] };
    // Next to each other they show how each figure grows.
    return SIZES.length === 1 ? rows : rows.map((row) => ({ ...row, name: `of ${size}: ${row.name}` }));
  } finally {
    deleteNamespace(namespace);
  }
}

async function measure(cluster: KubernetesCluster, log: (line: string) => void): Promise<Row[]> {
  const { client } = cluster;
  const kubelet = new Kubelet(client);
  await kubelet.start();
  const fleet = new Fleet(client, 'bench', SIZE);
  const subject = await Subject.of(cluster);
  // Told as they come: what goes wrong later takes none of them away.
  const rows: Row[] = [];
  const add = (...more: Row[]) => {
    rows.push(...more);
    for (const { name, value, unit } of more) log(`${name}: ${value} ${unit}`);
  };
  const row = (name: string, value: number, unit: string, most?: number) =>
    add(most === undefined ? { name, value, unit } : bar(name, value, unit, most));

  await fleet.createApplications();
  await eventually('all pods run', async () => kubelet.latency.size >= SIZE, {
    timeoutMs: Math.max(300_000, SIZE * 120),
  });
  log(`${SIZE} applications run`);
  if (GROUPS.includes('wave')) {
    await settle();
    add(...(await plain(cluster, fleet, kubelet, log)));
    await settle();
  }

  const started = performance.now();
  await fleet.createRollouts(ANALYSIS, CANARY);
  await eventually(
    'all Rollouts are Healthy and gated',
    async () => {
      const rollouts = await fleet.rollouts();
      return rollouts.length === SIZE && rollouts.every(healthy);
    },
    { timeoutMs: Math.max(600_000, SIZE * 120), everyMs: 200 },
  );
  row(
    `${SIZE} Rollouts created -> all Healthy and gated`,
    round((performance.now() - started) / 1000, 1),
    's',
    BARS.initialised,
  );
  const first = difference(new Map(), await subject.requests());
  row('API requests to initialise one Rollout', round(total(first) / SIZE, 1), 'requests');
  log(first.map(([key, count]) => `${key} ${count}`).join(', '));

  // Events tell of it afterwards, one after the other.
  await subject.quiet();
  const idleRequests = await subject.requests();
  const idleCpu = await subject.cpuSeconds();
  await pause(IDLE_SECONDS);
  const idle = difference(idleRequests, await subject.requests());
  row(
    'idle: API requests a minute, leases and watches aside',
    round((total(idle) * 60) / IDLE_SECONDS),
    'requests',
    0,
  );
  row(
    'idle: CPU seconds a minute',
    round((((await subject.cpuSeconds()) - idleCpu) * 60) / IDLE_SECONDS, 2),
    's',
    BARS.idleCpu,
  );
  row('idle: RSS', round(await subject.rssMiB()), 'MiB', BARS.idleRss);
  row('started anew: process -> caches complete', round(await subject.restart(), 1), 's');

  if (GROUPS.includes('single')) add(...(await single(cluster, fleet)));
  if (GROUPS.includes('wave')) {
    await settle();
    add(...(await wave(cluster, fleet, kubelet, subject, log)));
    row('RSS after the wave', round(await subject.rssMiB()), 'MiB');
  }
  if (GROUPS.includes('active')) add(...(await active(cluster, fleet, subject, log)));
  add(loadRow());
  kubelet.stop();
  fleet.stop();
  return rows;
}

async function single(cluster: KubernetesCluster, fleet: Fleet): Promise<Row[]> {
  const singles: number[] = [];
  for (let index = 0; index < SINGLES; index += 1) {
    singles.push(await canaryCreated(cluster, fleet, index));
    // Each on a quiet controller.
    await promoted(fleet, 0, index + 1, 'v2');
  }
  return [
    bar('template applied -> canary ReplicaSet created, p50', round(median(singles)), 'ms', 20),
    bar(`the same, max of ${singles.length}`, round(Math.max(...singles)), 'ms', 100),
    bar(
      `what the gate adds to a change of a Deployment among ${SIZE} guarded ones, median`,
      round(await gateCost(cluster, fleet), 1),
      'ms',
      10,
    ),
  ];
}

const healthy = ({
  status,
}: {
  status?: { phase?: string; conditions: { type: string; status: string }[] };
}) =>
  status?.phase === 'Healthy' &&
  status.conditions.some((condition) => condition.type === 'Gated' && condition.status === 'True');

/** Where the time of a wave goes, from the Rollouts' own history. */
async function transitions(fleet: Fleet, since: number): Promise<string> {
  const seconds = new Map<string, number[]>();
  for (const { status } of await fleet.rollouts()) {
    for (const { at, to, reason } of status?.history ?? []) {
      const after = (Date.parse(at) - since) / 1000;
      if (after < 0) continue;
      const key = `${to} (${reason})`;
      seconds.set(key, [...(seconds.get(key) ?? []), after]);
    }
  }
  return [...seconds].map(([key, values]) => `${key} ${round(median(values), 1)}`).join(', ');
}

async function promoted(fleet: Fleet, from: number, to: number, version: string): Promise<void> {
  await eventually(
    `${to - from} Rollouts promoted to ${version}`,
    async () =>
      (await fleet.rollouts()).filter(
        (rollout) => healthy(rollout) && rollout.status?.stable?.images.includes(`app:${version}`),
      ).length >=
      to - from,
    { timeoutMs: 300_000, everyMs: 100 },
  );
}

/** Milliseconds from the answer to the write until a watch shows the canary's ReplicaSet. */
async function canaryCreated({ client }: KubernetesCluster, fleet: Fleet, index: number): Promise<number> {
  const stop = new AbortController();
  const namespace = fleet.namespaceOf(index);
  const list = await client.list<KubeObject>(kinds.ReplicaSet, namespace, { limit: 1 });
  const selection = {
    labelSelector: `weir.dev/rollout=${fleet.name(index)}`,
    resourceVersion: list.metadata.resourceVersion,
  };
  const seen = (async () => {
    for await (const { type } of client.watch(kinds.ReplicaSet, namespace, selection, stop.signal)) {
      if (type === 'ADDED') return performance.now();
    }
    throw new Error('the watch ended');
  })();
  // The watch is open before the clock starts.
  await new Promise((resolve) => setTimeout(resolve, 200));
  await fleet.apply(index, 'v2');
  const applied = performance.now();
  const at = await seen;
  stop.abort();
  return Math.max(0, at - applied);
}

const GATE_ROUNDS = 60;

/** Milliseconds: the median change of a guarded Deployment less that of one in a namespace without a gate, in turn. */
async function gateCost({ client }: KubernetesCluster, fleet: Fleet): Promise<number> {
  const free = new Fleet(client, 'ungated', 1);
  await free.createApplications();
  const change = async (namespace: string, name: string, turn: number): Promise<number> => {
    const annotations = { 'bench/turn': String(turn) };
    const started = performance.now();
    await client.patch(
      kinds.Deployment,
      namespace,
      name,
      { type: 'merge', body: { spec: { template: { metadata: { annotations } } } } },
      { dryRun: true },
    );
    return performance.now() - started;
  };
  const [guarded, ungated]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < GATE_ROUNDS; turn += 1) {
    const index = turn % SIZE;
    guarded.push(await change(fleet.namespaceOf(index), fleet.name(index), turn));
    ungated.push(await change(free.namespaceOf(0), free.name(0), turn));
  }
  return Math.max(0, median(guarded) - median(ungated));
}

async function wave(
  cluster: KubernetesCluster,
  fleet: Fleet,
  kubelet: Kubelet,
  subject: Subject,
  log: (line: string) => void,
): Promise<Row[]> {
  const { client } = cluster;
  const stop = new AbortController();
  const list = await client.list(kinds.TrafficSplit, fleet.namespaceOf(SIZE - 1));
  const weighted = new Map<string, number>();
  let used = 'unknown';
  let spent = () => used;
  const watching = (async () => {
    const options = { resourceVersion: list.metadata.resourceVersion };
    for await (const event of client.watch<TrafficSplit & KubeObject>(
      kinds.TrafficSplit,
      fleet.namespaceOf(SIZE - 1),
      options,
      stop.signal,
    )) {
      if (event.type !== 'MODIFIED') continue;
      const { name } = event.object.metadata;
      if (canaryWeight(event.object) === 0 || weighted.has(name)) continue;
      weighted.set(name, performance.now());
      if (weighted.size === WAVE) used = spent();
    }
  })();
  const held = await Held.create(client, ANALYSIS);
  await settle();
  const before = await subject.requests();
  const cpu = await subject.cpuSeconds();
  const from = SIZE - WAVE;
  const applied = new Map<string, number>();
  const began = performance.now();
  const beganAt = Date.now();
  spent = spending(cluster);
  await fleet.each(
    from,
    SIZE,
    async (index) => {
      await fleet.apply(index, 'v3');
      applied.set(fleet.name(index), performance.now());
    },
    WAVE,
  );
  const aborted = await held.abort();
  await promoted(fleet, from, SIZE, 'v3');
  const took = (performance.now() - began) / 1000;
  const ours = (await subject.cpuSeconds()) - cpu;
  const requests = difference(before, await subject.requests());
  stop.abort();
  await watching;
  const beyond = kubelet.beyondReadiness(applied, weighted);
  log(`CPU seconds until the last first weight: ${used}`);
  log(`median seconds from the wave's start to each transition: ${await transitions(fleet, beganAt)}`);
  log(`wave of ${WAVE}: ${requests.map(([key, count]) => `${key} ${count / WAVE}`).join(', ')}`);
  return [
    bar(`${WAVE} of ${SIZE} changed at once: first weight beyond readiness, p50`, beyond.p50, 's', 3),
    bar('the same, p99', beyond.p99, 's', 5),
    { name: 'the same, all promoted after', value: round(took, 1), unit: 's' },
    { name: 'another one aborted amid them -> weight 0', value: round(aborted), unit: 'ms' },
    bar('the same, API requests a rollout', round(total(requests) / WAVE, 1), 'requests', 30),
    bar('the same, CPU seconds a rollout', round(ours / WAVE, 3), 's', 0.1),
    ...(await subject.replacedRow('the wave')),
  ];
}
