import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Deployment, PodTemplate, ReplicaSet } from '../types.ts';
import { type DeploymentPlan, planDeployment } from './plan.ts';
import { DESIRED_REPLICAS, MAX_REPLICAS, REVISION } from './revision.ts';
import { fenceposts } from './scale.ts';

const NOW = Date.parse('2026-01-05T12:00:00Z');
const template = (image: string): PodTemplate => ({
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'app', image }] },
});

function deploymentOf(image: string, spec: Partial<Deployment['spec']> = {}): Deployment {
  return {
    metadata: { name: 'web', namespace: 'shop', uid: 'd1', generation: 1, resourceVersion: '1' },
    spec: { replicas: 4, selector: { matchLabels: { app: 'web' } }, template: template(image), ...spec },
  };
}

function setOf(
  name: string,
  image: string,
  replicas: number,
  options: Record<string, unknown> = {},
): ReplicaSet {
  const {
    available = replicas,
    revision = '1',
    desired = 4,
    at = 0,
    max = 5,
  } = options as Record<string, number>;
  return {
    metadata: {
      name,
      namespace: 'shop',
      uid: name,
      generation: 1,
      creationTimestamp: new Date(NOW + at * 1000).toISOString(),
      annotations: {
        [REVISION]: String(revision),
        [DESIRED_REPLICAS]: String(desired),
        [MAX_REPLICAS]: String(max),
      },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd1', controller: true },
      ],
    },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web', 'pod-template-hash': name } },
      template: { ...template(image), metadata: { labels: { app: 'web', 'pod-template-hash': name } } },
    },
    status: { replicas, readyReplicas: available, availableReplicas: available, observedGeneration: 1 },
  };
}

const plan = (deployment: Deployment, sets: ReplicaSet[], runningPods: string[] = []): DeploymentPlan =>
  planDeployment({ deployment, sets, runningPods: new Set(runningPods), now: NOW });
const sizes = ({ update }: DeploymentPlan) =>
  Object.fromEntries(update.map(({ metadata, spec }) => [metadata.name, spec.replicas]));

describe('a Deployment', () => {
  test('gets its first ReplicaSet at full size, with hash, revision and annotations', () => {
    const { create, status, revision } = plan(deploymentOf('v1'), []);
    const hash = create!.metadata.labels!['pod-template-hash']!;
    expect(create!.metadata.name).toBe(`web-${hash}`);
    expect(create!.spec.replicas).toBe(4);
    expect(create!.spec.selector.matchLabels).toEqual({ app: 'web', 'pod-template-hash': hash });
    expect(create!.spec.template.metadata!.labels).toEqual({ app: 'web', 'pod-template-hash': hash });
    expect(create!.metadata.annotations).toEqual({
      [REVISION]: '1',
      [DESIRED_REPLICAS]: '4',
      [MAX_REPLICAS]: '5',
    });
    expect(revision).toBe('1');
    expect(status.conditions?.find(({ type }) => type === 'Progressing')?.reason).toBe(
      'NewReplicaSetCreated',
    );
  });

  test('a collision count gives the same template another name', () => {
    const again = { ...deploymentOf('v1'), status: { collisionCount: 1 } };
    expect(plan(again, []).create!.metadata.name).not.toBe(
      plan(deploymentOf('v1'), []).create!.metadata.name,
    );
  });

  test('picks the oldest ReplicaSet of an equal template', () => {
    const result = plan(deploymentOf('v1'), [setOf('younger', 'v1', 0, { at: 5 }), setOf('older', 'v1', 4)]);
    expect(result.create).toBeUndefined();
    expect(result.status.updatedReplicas).toBe(4);
  });

  test('steps up within surge, then down within unavailable', () => {
    const up = plan(deploymentOf('v2'), [setOf('one', 'v1', 4)]);
    expect(up.create!.spec.replicas).toBe(1);
    const down = plan(deploymentOf('v2'), [
      setOf('one', 'v1', 4),
      setOf('two', 'v2', 1, { at: 5, revision: 2 }),
    ]);
    expect(sizes(down)).toEqual({ one: 2 });
  });

  test('paused: creates nothing, scales what it has, says so', () => {
    const result = plan(deploymentOf('v2', { paused: true, replicas: 6 }), [setOf('one', 'v1', 4)]);
    expect(result.create).toBeUndefined();
    expect(sizes(result)).toEqual({ one: 6 });
    expect(result.status.conditions?.find(({ type }) => type === 'Progressing')?.reason).toBe(
      'DeploymentPaused',
    );
  });

  test('paused: an adopted, saturated ReplicaSet of the template takes the old one to 0 at once', () => {
    const result = plan(deploymentOf('v2', { paused: true }), [
      setOf('one', 'v1', 4),
      setOf('two', 'v2', 4, { at: 5 }),
    ]);
    expect(sizes(result)).toMatchObject({ one: 0 });
  });

  test('paused: an adopted ReplicaSet that is not saturated takes nothing', () => {
    const two = setOf('two', 'v2', 4, { at: 5, available: 3 });
    const result = plan(deploymentOf('v2', { paused: true }), [setOf('one', 'v1', 4, { max: 8 }), two]);
    expect(sizes(result).one ?? 4).toBeGreaterThan(0);
  });

  test('Recreate waits for the last old pod', () => {
    const recreate = deploymentOf('v2', { strategy: { type: 'Recreate' } });
    expect(sizes(plan(recreate, [setOf('one', 'v1', 4)]))).toEqual({ one: 0 });
    const waiting = plan(recreate, [setOf('one', 'v1', 0)], ['one']);
    expect(waiting.create).toBeUndefined();
    expect(plan(recreate, [setOf('one', 'v1', 0)]).create!.spec.replicas).toBe(4);
  });

  test('says when the progress deadline has passed', () => {
    const at = new Date(NOW - 700_000).toISOString();
    const conditions = [
      {
        type: 'Progressing',
        status: 'True' as const,
        reason: 'ReplicaSetUpdated',
        message: '',
        lastUpdateTime: at,
        lastTransitionTime: at,
      },
    ];
    const stuck = {
      ...deploymentOf('v2'),
      status: { replicas: 5, updatedReplicas: 1, readyReplicas: 4, availableReplicas: 4, conditions },
    };
    const sets = [setOf('one', 'v1', 4), setOf('two', 'v2', 1, { at: 5, available: 0, revision: 2 })];
    expect(plan(stuck, sets).status.conditions?.find(({ type }) => type === 'Progressing')).toMatchObject({
      status: 'False',
      reason: 'ProgressDeadlineExceeded',
    });
  });

  test('keeps no more old ReplicaSets than the history limit, and never one with pods', () => {
    const sets = [1, 2, 3].map((n) => setOf(`old${n}`, `v${n}`, 0, { revision: n, at: n }));
    const current = setOf('new', 'v9', 4, { revision: 4, at: 9 });
    const deployment = deploymentOf('v9', { revisionHistoryLimit: 1 });
    deployment.status = { observedGeneration: 1, replicas: 4, updatedReplicas: 4, availableReplicas: 4 };
    expect(plan(deployment, [...sets, current]).remove.map(({ metadata }) => metadata.name)).toEqual([
      'old1',
      'old2',
    ]);
  });

  test('a change of replicas is spread over what runs, in proportion', () => {
    const sets = [setOf('one', 'v1', 4, { max: 6 }), setOf('two', 'v2', 2, { at: 5, max: 6, available: 1 })];
    const deployment = deploymentOf('v2', { replicas: 8, strategy: { rollingUpdate: { maxSurge: '50%' } } });
    expect(sizes(plan(deployment, sets))).toEqual({ one: 8, two: 4 });
  });
});

describe('whatever the sizes', () => {
  const share = fc.oneof(
    fc.integer({ min: 0, max: 12 }),
    fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`),
  );
  test('a rolling update ends complete, never above surge and never below availability', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        share,
        share,
        fc.boolean(),
        (replicas, maxSurge, maxUnavailable, slow) => {
          const deployment = deploymentOf('v2', {
            replicas,
            strategy: { rollingUpdate: { maxSurge, maxUnavailable } },
          });
          const { surge, unavailable } = fenceposts(deployment);
          let sets = [setOf('one', 'v1', replicas, { desired: replicas, max: replicas + surge })];
          const total = () => sets.reduce((sum, { spec }) => sum + spec.replicas!, 0);
          const up = () => sets.reduce((sum, { status }) => sum + status!.availableReplicas!, 0);
          let before = '';
          for (let pass = 0; pass < 200; pass += 1) {
            const result = plan(deployment, sets);
            if (result.create) {
              const { metadata, ...rest } = result.create;
              const created = {
                ...metadata,
                uid: 'two',
                creationTimestamp: new Date(NOW + 5000).toISOString(),
              };
              sets = [...sets, { ...rest, metadata: created, status: { replicas: 0, availableReplicas: 0 } }];
            }
            sets = sets.map(
              (set) => result.update.find(({ metadata }) => metadata.uid === set.metadata.uid) ?? set,
            );
            expect(total()).toBeLessThanOrEqual(replicas + surge);
            deployment.status = result.status;
            sets = sets.map((set) => {
              const have = set.status!.availableReplicas!;
              const wanted = set.spec.replicas!;
              const next = wanted < have ? wanted : slow ? Math.min(wanted, have + 1) : wanted;
              return {
                ...set,
                status: {
                  ...set.status,
                  replicas: wanted,
                  readyReplicas: next,
                  availableReplicas: next,
                  observedGeneration: 9,
                },
              };
            });
            expect(up()).toBeGreaterThanOrEqual(replicas - Math.min(unavailable, replicas));
            // The plan is a function of this: from here on nothing changes any more.
            const after = JSON.stringify([sets, deployment.status]);
            if (after === before) break;
            before = after;
          }
          expect(sets.map(({ spec }) => spec.replicas)).toEqual([0, replicas]);
          expect(deployment.status?.conditions?.find(({ type }) => type === 'Progressing')?.reason).toBe(
            'NewReplicaSetAvailable',
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  test('scaling while paused ends at the wanted total with surge at most, and is stable', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 12 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        (replicas, a, b) => {
          const deployment = deploymentOf('v2', { replicas, paused: true });
          let sets = [
            setOf('one', 'v1', a, { desired: a, max: a + b, available: 0 }),
            setOf('two', 'v2', b, { desired: b, max: a + b, at: 5, available: 0 }),
          ];
          for (let pass = 0; pass < 5; pass += 1) {
            const { update } = plan(deployment, sets);
            sets = sets.map((set) => update.find(({ metadata }) => metadata.uid === set.metadata.uid) ?? set);
          }
          const total = sets.reduce((sum, { spec }) => sum + spec.replicas!, 0);
          expect(total).toBeLessThanOrEqual(replicas === 0 ? 0 : replicas + fenceposts(deployment).surge);
          expect(total).toBeGreaterThanOrEqual(replicas);
          expect(plan(deployment, sets).update).toEqual([]);
        },
      ),
    );
  });
});
