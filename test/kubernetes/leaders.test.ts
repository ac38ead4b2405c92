import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import type { Rollout } from '../../src/api/rollout.ts';
import { Fleet } from '../bench/controller/fleet.ts';
import { Kubelet } from '../bench/controller/kubelet.ts';
import { eventually, processes } from '../e2e/support/cluster.ts';
import { isReady } from '../e2e/support/pods.ts';
import { AuditLog } from './support/audit.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { Machine } from './support/machine.ts';
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

const audit = new AuditLog();
let cluster: KubernetesCluster;
let kubelet: Kubelet;
let fleet: Fleet;

/** Names of the ready pods of one part of Weir. */
const readyPods = async (component: string): Promise<string[]> =>
  (
    await cluster.client.list<KubeObject>(kinds.Pod, 'weir', {
      labelSelector: `app.kubernetes.io/component=${component}`,
    })
  ).items
    .filter((pod) => !pod.metadata.deletionTimestamp && isReady(pod))
    .map(({ metadata }) => metadata.name);

const controllers = (): Promise<string[]> => readyPods('controller');

const leader = async (): Promise<string> => {
  const { spec } = await cluster.client.get<KubeObject>(kinds.Lease, 'weir', 'weir-controller');
  return (spec as { holderIdentity: string }).holderIdentity;
};

const scaleControllers = (replicas: number) =>
  cluster.client.patch(kinds.Deployment, 'weir', 'weir-controller', {
    type: 'merge',
    body: { spec: { replicas } },
  });

const pidOf = (pod: string): number => {
  const [pid] = processes(cluster.dir, 'main.js controller', `POD_NAME=${pod}`);
  if (!pid) throw new Error(`no process of pod ${pod}`);
  return pid;
};

beforeAll(async () => {
  cluster = await ownCluster({ profile: 'cluster', apiserverFlags: audit.flags });
  await scaleControllers(2);
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

test('renewing the lease waits behind no other request of the controller', async () => {
  const flow =
    /^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="weir-leader-election",priority_level="leader-election"\} (\d+)$/m;
  await eventually('the API server counts it apart', async () => {
    const text = (await cluster.client.request('GET', '/metrics')) as string;
    return Number(flow.exec(text)?.[1] ?? 0) > 1;
  });
});

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
    'a leader cut off from the API server stops acting before another leads, and nothing of it arrives afterwards',
    async () => {
      await eventually('two controllers again', async () => (await controllers()).length === 2, {
        timeoutMs: 60_000,
      });
      const machine = new Machine(cluster);
      try {
        await machine.startController(pidOf(await leader()));
        await scaleControllers(0);
        await eventually('the one on the other machine leads', async () => (await leader()) === machine.pod, {
          timeoutMs: 40_000,
        });
        await scaleControllers(2);
        await eventually('two more', async () => (await controllers()).length === 2, { timeoutMs: 60_000 });
        let cut = 0;
        let taken = 0;
        await wave(
          'v4',
          async () => (await inPhase('Progressing')).length > FLEET / 2,
          async () => {
            machine.cut();
            cut = Date.now();
            await eventually('another one leads', async () => (await leader()) !== machine.pod, {
              timeoutMs: 40_000,
              everyMs: 20,
            });
            taken = Date.now();
            machine.mend();
          },
        );
        const again = machine.starts.find((at) => at > cut);
        expect([cut, again, taken]).toEqual([cut, again, taken].sort());
        await eventually('it answers, as a replica that does not lead', async () => {
          const text = await (await fetch(`http://${machine.address}:9090/metrics`)).text();
          return /^weir_leader 0$/m.test(text);
        });
        const writes = audit.writes(machine.address);
        expect(writes.filter(({ at, code }) => at < cut && code < 300).length).toBeGreaterThan(FLEET);
        // What was on its way when the cable was cut is taken back: the kernel has nothing to send again once it is mended.
        expect(writes.filter(({ done, code }) => done > taken && code < 400)).toEqual([]);
      } finally {
        await machine.stop();
      }
    },
    DEADLINE,
  );

  test(
    'a rolling upgrade of Weir: none restarts, none skips its analysis',
    async () => {
      await eventually('two controllers again', async () => (await controllers()).length === 2, {
        timeoutMs: 60_000,
      });
      const components = ['controller', 'mesh', 'metrics'];
      const old = (await Promise.all(components.map(readyPods))).flat();
      expect(old.length).toBeGreaterThanOrEqual(4);
      await wave(
        'v5',
        async () => (await inPhase('Progressing')).length > FLEET / 2,
        async () => {
          for (const component of components) {
            await cluster.client.patch(kinds.Deployment, 'weir', `weir-${component}`, {
              type: 'merge',
              body: { spec: { template: { metadata: { annotations: { release: 'next' } } } } },
            });
          }
          await eventually(
            'all of Weir is new',
            async () => {
              const now = await Promise.all(components.map(readyPods));
              return (
                now.flat().length === old.length &&
                now.every((names) => names.length > 0 && names.every((name) => !old.includes(name)))
              );
            },
            { timeoutMs: 90_000 },
          );
        },
      );
    },
    DEADLINE,
  );
});
