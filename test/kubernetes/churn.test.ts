import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject, ResourceKind } from '../../src/api/meta.ts';
import { annotations, GATE_CONFIG_MAP, PINS_CONFIG_MAP } from '../../src/api/names.ts';
import type { Rollout } from '../../src/api/rollout.ts';
import { isCode } from '../../src/lib/errors.ts';
import { Fleet } from '../bench/controller/fleet.ts';
import { Kubelet } from '../bench/controller/kubelet.ts';
import { rssMiB } from '../bench/controller/process.ts';
import { eventually, processes } from '../e2e/support/cluster.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { liveHeapMiB } from './support/heap.ts';
import { ownCluster } from './support/own.ts';

/** WEIR_CHURN_SECONDS=1800 WEIR_CHURN_SEED=7 npm run test:kubernetes -- test/kubernetes/churn.test.ts */
const SECONDS = Number(process.env.WEIR_CHURN_SECONDS ?? 120);
const SEED = Number(process.env.WEIR_CHURN_SEED ?? 1);
const APPLICATIONS = 24;
const PEOPLE = 4;
const CANARY = { weights: [10, 50], dwell: '1s' };
const ANALYSIS = {
  interval: '1s',
  noData: 'pass',
  minRequests: 0,
  metrics: [{ name: 'success-rate', threshold: { min: '99%' } }],
};
const AT_REST = ['Healthy', 'Failed'];

let cluster: KubernetesCluster;
let kubelet: Kubelet;
let fleet: Fleet;

beforeAll(async () => {
  cluster = await ownCluster({ profile: 'cluster' });
  kubelet = new Kubelet(cluster.client);
  await kubelet.start();
  fleet = new Fleet(cluster.client, 'churn', APPLICATIONS);
  await fleet.createApplications();
  await fleet.createRollouts(ANALYSIS, CANARY);
}, 150_000);
afterAll(async () => {
  kubelet?.stop();
  await cluster?.stop();
}, 30_000);

/** mulberry32: the same seed, the same story. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** What people and GitOps do to an application; what is not there any more is no mistake. */
const ACTS = {
  roll: (index: number, pick: (below: number) => number) => fleet.apply(index, `v${2 + pick(5)}`),
  rollAgain: (index: number, pick: (below: number) => number) => fleet.apply(index, `v${2 + pick(5)}`),
  revert: (index: number) => fleet.apply(index, 'v1'),
  abort: (index: number, pick: (below: number) => number) => command(index, 'abort', pick),
  promote: (index: number, pick: (below: number) => number) => command(index, 'promote', pick),
  retry: (index: number, pick: (below: number) => number) => command(index, 'retry', pick),
  scale: (index: number, pick: (below: number) => number) =>
    cluster.client.patch(
      kinds.Deployment,
      fleet.namespace,
      fleet.name(index),
      { type: 'merge', body: { spec: { replicas: 1 + pick(3) } } },
      { subresource: 'scale' },
    ),
  deleteRollout: (index: number) => remove(kinds.Rollout, index),
  deleteDeployment: (index: number) => remove(kinds.Deployment, index),
  /** As a sync that finds something missing. */
  restore: async (index: number) => {
    await fleet.apply(index, 'v1');
    await fleet.createRollout(index, ANALYSIS, CANARY);
  },
  restoreToo: async (index: number) => {
    await fleet.createRollout(index, ANALYSIS, CANARY);
    await fleet.apply(index, 'v3');
  },
};
const NAMES = Object.keys(ACTS) as (keyof typeof ACTS)[];

const remove = (kind: ResourceKind, index: number) =>
  cluster.client.delete(kind, fleet.namespace, fleet.name(index));

const command = (index: number, verb: 'abort' | 'promote' | 'retry', pick: (below: number) => number) =>
  cluster.client.patch(kinds.Rollout, fleet.namespace, fleet.name(index), {
    type: 'merge',
    body: {
      metadata: {
        annotations: {
          [annotations[verb]]: JSON.stringify({ id: `${verb}-${pick(1e9)}`, by: 'churn', at: '' }),
        },
      },
    },
  });

/** One person, until the time is over. Answers how often each act was carried out. */
async function person(seed: number, until: number): Promise<Map<string, number>> {
  const pick = random(seed);
  const done = new Map<string, number>();
  while (Date.now() < until) {
    const name = NAMES[pick(NAMES.length)]!;
    try {
      await ACTS[name](pick(APPLICATIONS), pick);
      done.set(name, (done.get(name) ?? 0) + 1);
    } catch (error) {
      if (!isCode(error, 'NotFound', 'AlreadyExists', 'Conflict')) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50 + pick(400)));
  }
  return done;
}

const objects = async (kind: ResourceKind) =>
  (await cluster.client.list<KubeObject>(kind, fleet.namespace)).items;
const names = (list: KubeObject[]) => list.map(({ metadata }) => metadata.name).sort();

test(
  `${SECONDS} seconds of churn leave no orphan, no stuck finalizer, and memory as it was`,
  async () => {
    const [pid] = processes(cluster.dir, 'main.js controller');
    const until = Date.now() + SECONDS * 1000;
    // Once everything has happened before, and its code is compiled.
    const warm = new Promise((resolve) => setTimeout(resolve, (SECONDS * 1000) / 3)).then(() =>
      liveHeapMiB(pid!),
    );
    const people = await Promise.all(
      Array.from({ length: PEOPLE }, (_, index) => person(SEED * 1000 + index, until)),
    );
    const acts = new Map<string, number>();
    for (const done of people)
      for (const [name, count] of done) acts.set(name, (acts.get(name) ?? 0) + count);
    // Each kind of act must have happened, or nothing was tried.
    expect([...acts.keys()].sort()).toEqual([...NAMES].sort());

    // Left alone, every run comes to its end. What was being deleted just now is created again once it is gone.
    await fleet.each(0, APPLICATIONS, (index) => fleet.apply(index, 'v1'));
    const restored = async () => {
      const there = new Set(names(await objects(kinds.Rollout)));
      for (let index = 0; index < APPLICATIONS; index += 1) {
        if (!there.has(fleet.name(index))) await fleet.createRollout(index, ANALYSIS, CANARY);
      }
      return there.size === APPLICATIONS;
    };
    const unfinished = async () =>
      ((await objects(kinds.Rollout)) as unknown as Rollout[]).filter(
        ({ status, metadata }) => metadata.deletionTimestamp || !AT_REST.includes(status?.phase ?? ''),
      );
    await eventually(
      'every Rollout is at rest',
      async () => (await restored()) && (await unfinished()).length === 0,
      {
        timeoutMs: 120_000,
        describe: async () =>
          JSON.stringify(
            (await unfinished()).map(({ metadata, status }) => [
              metadata.name,
              status?.phase,
              status?.message,
            ]),
          ),
      },
    );
    const canaries = (await objects(kinds.ReplicaSet)).filter(
      ({ metadata, spec }) =>
        metadata.labels?.['weir.dev/rollout'] && (spec as { replicas: number }).replicas > 0,
    );
    expect(names(canaries)).toEqual([]);

    // The Rollouts go, and leave nothing of Weir behind; then the rest goes too.
    await fleet.each(0, APPLICATIONS, (index) => remove(kinds.Rollout, index));
    const remains = async () => {
      const [rollouts, splits, services, sets, gates] = await Promise.all([
        objects(kinds.Rollout),
        objects(kinds.TrafficSplit),
        objects(kinds.Service),
        objects(kinds.ReplicaSet),
        objects(kinds.ConfigMap),
      ]);
      const gate = gates.filter(({ metadata }) => [GATE_CONFIG_MAP, PINS_CONFIG_MAP].includes(metadata.name));
      return {
        rollouts: names(rollouts),
        splits: names(splits),
        leaves: names(
          services.filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/managed-by'] === 'weir'),
        ),
        pinned: names(
          services.filter(
            ({ spec }) => 'pod-template-hash' in ((spec as { selector?: object }).selector ?? {}),
          ),
        ),
        canaries: names(sets.filter(({ metadata }) => metadata.labels?.['weir.dev/rollout'])),
        gate: names(gate),
      };
    };
    const nothing = { rollouts: [], splits: [], leaves: [], pinned: [], canaries: [], gate: [] };
    await eventually(
      'nothing of Weir is left',
      async () => JSON.stringify(await remains()) === JSON.stringify(nothing),
      { timeoutMs: 60_000, describe: async () => JSON.stringify(await remains()) },
    );
    const [before, after] = [await warm, await liveHeapMiB(pid!)];
    const counts = [...acts].map(([name, count]) => `${name} ${count}`).join(', ');
    process.stdout.write(
      `churn: ${counts}; controller's live heap ${before.toFixed(1)} then ${after.toFixed(1)} MiB, RSS ${rssMiB(pid!).toFixed(0)} MiB\n`,
    );
    // Nothing is left to remember, so the heap is no larger than with all of them.
    expect(after).toBeLessThan(before + 6);
  },
  SECONDS * 1000 + 240_000,
);
