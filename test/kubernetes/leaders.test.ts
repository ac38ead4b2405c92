import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import type { Rollout } from '../../src/api/rollout.ts';
import { Fleet } from '../bench/controller/fleet.ts';
import { Kubelet } from '../bench/controller/kubelet.ts';
import { eventually, processes } from '../e2e/support/cluster.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { ownCluster } from './support/own.ts';

/** Two controllers and fifty rollouts at once, whose pods are only said to run: a cluster of its own. */
const FLEET = 50;
const WEIGHTS = [10, 50];
/** Of one wave, waits and all: each wait has a deadline of its own. */
const DEADLINE = 330_000;
const ANALYSIS = {
  interval: '1s',
  noData: 'pass',
  minRequests: 0,
  metrics: [{ name: 'success-rate', threshold: { min: '99%' } }],
};

let cluster: KubernetesCluster;
let kubelet: Kubelet;
let fleet: Fleet;

const controllers = async (): Promise<string[]> =>
  (
    await cluster.client.list<KubeObject>(kinds.Pod, 'weir', {
      labelSelector: 'app.kubernetes.io/component=controller',
    })
  ).items
    .filter(
      ({ metadata, status }) =>
        !metadata.deletionTimestamp &&
        (status as { conditions?: { type: string; status: string }[] }).conditions?.some(
          ({ type, status: value }) => type === 'Ready' && value === 'True',
        ),
    )
    .map(({ metadata }) => metadata.name);

const leader = async (): Promise<string> => {
  const { spec } = await cluster.client.get<KubeObject>(kinds.Lease, 'weir', 'weir-controller');
  return (spec as { holderIdentity: string }).holderIdentity;
};

const pidOf = (pod: string): number => {
  const [pid] = processes(cluster.dir, 'main.js controller', `POD_NAME=${pod}`);
  if (!pid) throw new Error(`no process of pod ${pod}`);
  return pid;
};

beforeAll(async () => {
  cluster = await ownCluster({ profile: 'cluster' });
  await cluster.client.patch(kinds.Deployment, 'weir', 'weir-controller', {
    type: 'merge',
    body: { spec: { replicas: 2 } },
  });
  kubelet = new Kubelet(cluster.client);
  await kubelet.start();
  fleet = new Fleet(cluster.client, 'fleet', FLEET);
  await fleet.createApplications();
  await fleet.createRollouts(ANALYSIS, { weights: WEIGHTS, dwell: '3s' });
  await eventually(
    'two controllers, and every Rollout Healthy',
    async () =>
      (await controllers()).length === 2 &&
      (await fleet.rollouts()).every(({ status }) => status?.phase === 'Healthy'),
    { timeoutMs: 120_000, everyMs: 500 },
  );
}, 240_000);
afterAll(async () => {
  kubelet?.stop();
  await cluster?.stop();
}, 30_000);

const inPhase = async (...phases: string[]): Promise<Rollout[]> =>
  (await fleet.rollouts()).filter(({ status }) => phases.includes(status?.phase ?? ''));

/** Changes every template at once, disturbs when `when` holds, and follows what each rollout went through. */
async function wave(
  version: string,
  when: () => Promise<boolean>,
  disturb: () => Promise<void>,
): Promise<void> {
  const since = Date.now();
  const replicaSets = new Map<string, Set<string>>();
  const stop = new AbortController();
  const { metadata } = await cluster.client.list<KubeObject>(kinds.ReplicaSet, fleet.namespace, { limit: 1 });
  const watching = (async () => {
    const from = { resourceVersion: metadata.resourceVersion };
    for await (const event of cluster.client.watch<KubeObject>(
      kinds.ReplicaSet,
      fleet.namespace,
      from,
      stop.signal,
    )) {
      if (event.type !== 'ADDED') continue;
      const { object } = event;
      const rollout = object.metadata.labels?.['weir.dev/rollout'];
      if (!rollout) continue;
      replicaSets.set(rollout, (replicaSets.get(rollout) ?? new Set()).add(object.metadata.name));
    }
  })();
  await fleet.each(0, FLEET, (index) => fleet.apply(index, version), FLEET);
  await eventually('the moment to disturb', when, { timeoutMs: 60_000 });
  await disturb();
  const done = ({ status }: Rollout) =>
    status?.phase === 'Healthy' && status.stable?.images.includes(`app:${version}`);
  await eventually('every rollout is promoted', async () => (await fleet.rollouts()).every(done), {
    timeoutMs: 150_000,
    everyMs: 500,
    describe: async () =>
      JSON.stringify(
        (await fleet.rollouts())
          .filter((each) => !done(each))
          .map(({ status }) => [status?.phase, status?.message]),
      ),
  });
  stop.abort();
  await watching;
  for (const {
    metadata: { name },
    status,
  } of await fleet.rollouts()) {
    const history = status!.history.filter(({ at }) => Date.parse(at) >= since);
    const reasons = history.map(({ reason }) => reason);
    // Begun once, each weight judged once, none left out, promoted once.
    expect([name, reasons.filter((reason) => reason === 'NewRevision')]).toEqual([name, ['NewRevision']]);
    expect([name, reasons.filter((reason) => reason === 'StepPassed').length]).toEqual([
      name,
      WEIGHTS.length,
    ]);
    expect([name, reasons.filter((reason) => reason === 'Promoted')]).toEqual([name, ['Promoted']]);
    expect([name, replicaSets.get(name)?.size]).toEqual([name, 1]);
  }
}

describe(`${FLEET} rollouts at once`, () => {
  test(
    'SIGKILL of the leader while some are being promoted: none restarts, none skips its analysis',
    () =>
      wave(
        'v2',
        async () => (await inPhase('Promoting', 'Watching')).length > 0,
        async () => {
          process.kill(pidOf(await leader()), 'SIGKILL');
        },
      ),
    DEADLINE,
  );

  test(
    'a leader that stood still for longer than its lease acts no more when it goes on',
    async () => {
      await eventually('two controllers again', async () => (await controllers()).length === 2, {
        timeoutMs: 60_000,
      });
      await wave(
        'v3',
        async () => (await inPhase('Progressing')).length > FLEET / 2,
        async () => {
          const before = await leader();
          const pid = pidOf(before);
          process.kill(pid, 'SIGSTOP');
          try {
            await eventually('the other one leads', async () => (await leader()) !== before, {
              timeoutMs: 40_000,
            });
          } finally {
            process.kill(pid, 'SIGCONT');
          }
        },
      );
    },
    DEADLINE,
  );

  test(
    'a rolling upgrade of Weir: none restarts, none skips its analysis',
    async () => {
      await eventually('two controllers again', async () => (await controllers()).length === 2, {
        timeoutMs: 60_000,
      });
      const old = await controllers();
      await wave(
        'v4',
        async () => (await inPhase('Progressing')).length > FLEET / 2,
        async () => {
          await cluster.client.patch(kinds.Deployment, 'weir', 'weir-controller', {
            type: 'merge',
            body: { spec: { template: { metadata: { annotations: { release: 'next' } } } } },
          });
          await eventually(
            'two new controllers',
            async () => {
              const now = await controllers();
              return now.length === 2 && now.every((name) => !old.includes(name));
            },
            { timeoutMs: 90_000 },
          );
        },
      );
    },
    DEADLINE,
  );
});
