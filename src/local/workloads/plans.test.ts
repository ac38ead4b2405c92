import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { matchesLabels } from '../../api/label-selector.ts';
import type { KubeObject } from '../../api/meta.ts';
import { fnv32a } from '../../lib/fnv.ts';
import { planSlices } from './endpoint-slice/plan.ts';
import { planDependent, planOwner } from './garbage-collector/plan.ts';
import { claim } from './owners.ts';
import { Expectations } from './replica-set/expectations.ts';
import { byDeletion, planReplicaSet } from './replica-set/plan.ts';
import { equalIgnoringHash, templateHash } from './template.ts';
import type { Pod, ReplicaSet, Service } from './types.ts';

const NOW = Date.parse('2026-01-05T12:00:00Z');

function podOf(
  name: string,
  options: {
    ready?: boolean;
    ip?: string;
    labels?: Record<string, string>;
    deleting?: boolean;
    at?: number;
    phase?: string;
  } = {},
): Pod {
  const {
    ready = true,
    ip = '127.9.1.1',
    labels = { app: 'web' },
    deleting,
    at = 0,
    phase = 'Running',
  } = options;
  return {
    metadata: {
      name,
      namespace: 'shop',
      uid: name,
      labels,
      creationTimestamp: new Date(NOW + at * 1000).toISOString(),
      ...(deleting ? { deletionTimestamp: new Date(NOW).toISOString() } : {}),
    },
    spec: {
      nodeName: 'local',
      containers: [{ name: 'app', ports: [{ name: 'http', containerPort: 8080 }] }],
    },
    status: {
      phase,
      podIP: ip,
      conditions: [
        {
          type: 'Ready',
          status: ready ? 'True' : 'False',
          lastTransitionTime: new Date(NOW + at * 1000).toISOString(),
        },
      ],
    },
  };
}

const set = (replicas: number): ReplicaSet => ({
  metadata: { name: 'web-x', namespace: 'shop', uid: 'rs', generation: 3 },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'app', unknownField: [1] }] },
    },
  },
});
const options = { now: NOW + 60_000, expecting: false, suffix: () => 'abcde' };

describe('a ReplicaSet', () => {
  test('creates what is missing, with the raw template and a controller reference', () => {
    const { create } = planReplicaSet(set(2), [podOf('a')], options);
    expect(create.map(({ metadata }) => metadata.name)).toEqual(['web-x-abcde']);
    expect(create[0]!.spec.containers[0]).toEqual({ name: 'app', unknownField: [1] });
    expect(create[0]!.metadata.ownerReferences).toEqual([
      {
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        name: 'web-x',
        uid: 'rs',
        controller: true,
        blockOwnerDeletion: true,
      },
    ]);
  });

  test('does nothing while its last writes are not seen', () => {
    expect(planReplicaSet(set(5), [], { ...options, expecting: true }).create).toEqual([]);
  });

  test('deletes the unready before the ready, the newer before the older', () => {
    const pods = [podOf('old', { at: 0 }), podOf('new', { at: 50 }), podOf('unready', { ready: false })];
    expect(planReplicaSet(set(1), pods, options).remove.map(({ metadata }) => metadata.name)).toEqual([
      'unready',
      'new',
    ]);
  });

  test('counts availability after minReadySeconds and says when to look again', () => {
    const slow = set(1);
    slow.spec.minReadySeconds = 70;
    const plan = planReplicaSet(slow, [podOf('a')], options);
    expect(plan.status).toMatchObject({
      replicas: 1,
      readyReplicas: 1,
      availableReplicas: 0,
      observedGeneration: 3,
    });
    expect(plan.requeueAfterMs).toBe(10_000);
  });

  test('ends at its size from any start', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 20 }),
        fc.array(fc.boolean(), { maxLength: 20 }),
        (replicas, readiness) => {
          const pods = readiness.map((ready, index) => podOf(`p${index}`, { ready, at: index }));
          const { create, remove } = planReplicaSet(set(replicas), pods, options);
          expect(pods.length + create.length - remove.length).toBe(replicas);
          expect(create.length === 0 || remove.length === 0).toBe(true);
        },
      ),
    );
  });

  test('the ranking for deletion is a total order', () => {
    const pod = fc.record({
      ready: fc.boolean(),
      at: fc.integer({ min: 0, max: 3 }),
      phase: fc.constantFrom('Pending', 'Running'),
    });
    fc.assert(
      fc.property(pod, pod, (a, b) => {
        const [left, right] = [podOf('a', a), podOf('b', b)];
        expect(Math.sign(byDeletion(left, right))).toBe(-Math.sign(byDeletion(right, left)));
      }),
    );
  });

  test('expectations hold until seen and expire', () => {
    let now = 0;
    const expectations = new Expectations(() => now);
    expectations.expectCreation('rs', 'a');
    expectations.expectDeletion('rs', 'b');
    expectations.observe('rs', 'creation', 'a');
    expect(expectations.pending('rs')).toBe(true);
    expectations.observe('rs', 'deletion', 'b');
    expect(expectations.pending('rs')).toBe(false);
    expectations.expectCreation('rs', 'a');
    now = 60_000;
    expect(expectations.pending('rs')).toBe(false);
  });
});

describe('claiming', () => {
  const owner = { metadata: { name: 'web', uid: 'd' } };
  const object = (labels: Record<string, string>, uid?: string): KubeObject => ({
    metadata: {
      name: 'x',
      labels,
      ...(uid
        ? {
            ownerReferences: [
              { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid, controller: true },
            ],
          }
        : {}),
    },
  });
  test('adopts matching orphans, releases what stopped matching, leaves what is others’', () => {
    const orphan = object({ app: 'web' });
    const lost = object({ app: 'other' }, 'd');
    const mine = object({ app: 'web' }, 'd');
    const theirs = object({ app: 'web' }, 'e');
    expect(claim(owner, { matchLabels: { app: 'web' } }, [orphan, lost, mine, theirs])).toEqual({
      owned: [mine],
      adopt: [orphan],
      release: [lost],
    });
  });
  test('a non-controller reference does not stop an adoption', () => {
    const canary = object({ app: 'web' });
    canary.metadata.ownerReferences = [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd' }];
    expect(claim(owner, { matchLabels: { app: 'web' } }, [canary]).adopt).toEqual([canary]);
  });
  test('expressions select as in Kubernetes', () => {
    const has = (operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', labels: Record<string, string>) =>
      matchesLabels({ matchExpressions: [{ key: 'a', operator, values: ['1'] }] }, labels);
    expect([has('In', { a: '1' }), has('In', {}), has('NotIn', {}), has('NotIn', { a: '1' })]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect([
      has('Exists', { a: '' }),
      has('DoesNotExist', { a: '' }),
      matchesLabels(undefined, {}),
      matchesLabels({}, {}),
    ]).toEqual([true, false, false, true]);
  });
});

describe('templates', () => {
  test('are equal but for the hash label and the order of keys', () => {
    const plain = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'i' }] } };
    const stamped = {
      metadata: { labels: { 'pod-template-hash': 'x', app: 'web' } },
      spec: { containers: [{ image: 'i', name: 'a' }] },
    };
    expect(equalIgnoringHash(plain, stamped)).toBe(true);
    expect(equalIgnoringHash(plain, { ...plain, spec: { containers: [{ name: 'a', image: 'j' }] } })).toBe(
      false,
    );
    expect(templateHash(plain)).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]+$/);
    expect(fnv32a('a')).toBe(0xe40c292c);
  });
});

describe('an EndpointSlice', () => {
  const service = (spec: Partial<Service['spec']> = {}): Service => ({
    metadata: { name: 'web', namespace: 'shop', uid: 's' },
    spec: {
      clusterIP: '127.9.240.1',
      selector: { app: 'web' },
      ports: [{ name: 'http', port: 80, targetPort: 'http' }],
      ...spec,
    },
  });
  test('lists ready, unready and terminating pods with their conditions', () => {
    const pods = [
      podOf('a'),
      podOf('b', { ready: false, ip: '127.9.1.2' }),
      podOf('c', { deleting: true, ip: '127.9.1.3' }),
      podOf('d', { phase: 'Failed' }),
    ];
    const [slice] = planSlices(service(), pods, []).create;
    expect(slice!.ports).toEqual([{ name: 'http', port: 8080, protocol: 'TCP' }]);
    expect(slice!.endpoints.map(({ addresses, conditions }) => [addresses[0], conditions])).toEqual([
      ['127.9.1.1', { ready: true, serving: true, terminating: false }],
      ['127.9.1.2', { ready: false, serving: false, terminating: false }],
      ['127.9.1.3', { ready: false, serving: true, terminating: true }],
    ]);
    expect(planSlices(service(), pods, [slice!])).toEqual({ create: [], update: [], remove: [] });
  });
  test('publishNotReadyAddresses makes everything ready', () => {
    const [slice] = planSlices(
      service({ publishNotReadyAddresses: true }),
      [podOf('a', { ready: false })],
      [],
    ).create;
    expect(slice!.endpoints[0]!.conditions.ready).toBe(true);
  });
  test('pods that serve a named port elsewhere get a slice of their own', () => {
    const other = podOf('b');
    other.spec.containers[0]!.ports = [{ name: 'http', containerPort: 9090 }];
    const { create } = planSlices(service(), [podOf('a'), other], []);
    expect(create.map(({ ports }) => ports[0]!.port)).toEqual([8080, 9090]);
    expect(planSlices(service(), [podOf('a')], create).remove).toHaveLength(1);
  });
});

describe('the garbage collector', () => {
  const dependent = (uids: string[], extra: object = {}): KubeObject => ({
    metadata: {
      name: 'x',
      uid: 'x',
      ownerReferences: uids.map((uid) => ({
        apiVersion: 'v1',
        kind: 'K',
        name: uid,
        uid,
        blockOwnerDeletion: true,
      })),
      ...extra,
    },
  });
  const states = { gone: 'absent', live: 'solid', leaving: 'waiting' } as const;
  const act = (uids: (keyof typeof states)[], hasDependents = false, extra = {}) =>
    planDependent(dependent(uids, extra), ({ uid }) => states[uid as keyof typeof states], hasDependents);
  test('deletes what has no owner left, drops references to those that went', () => {
    expect(act([])).toEqual({ type: 'none' });
    expect(act(['live'])).toEqual({ type: 'none' });
    expect(act(['gone'])).toEqual({ type: 'delete', propagationPolicy: 'Background' });
    expect(act(['gone', 'live'])).toEqual({ type: 'dropReferences', uids: ['gone'] });
    expect(act(['leaving'], true)).toEqual({ type: 'delete', propagationPolicy: 'Foreground' });
    expect(act(['gone'], false, { deletionTimestamp: 'now' })).toEqual({ type: 'none' });
  });
  const owner = (finalizers: string[]): KubeObject => ({
    metadata: { name: 'o', uid: 'o', deletionTimestamp: 'now', finalizers },
  });
  const of = (block: boolean) => ({
    object: {
      metadata: {
        name: 'd',
        ownerReferences: [{ apiVersion: 'v1', kind: 'K', name: 'o', uid: 'o', blockOwnerDeletion: block }],
      },
    },
  });
  test('foreground waits for the blocking dependents only; orphan lets go of all', () => {
    expect(planOwner(owner(['foregroundDeletion']), [of(true)]).type).toBe('wait');
    expect(planOwner(owner(['foregroundDeletion']), [of(false)])).toEqual({
      type: 'removeFinalizer',
      finalizer: 'foregroundDeletion',
    });
    expect(planOwner(owner(['orphan']), [of(false)]).type).toBe('orphan');
    expect(planOwner(owner(['orphan']), [])).toEqual({ type: 'removeFinalizer', finalizer: 'orphan' });
    expect(planOwner(owner(['other']), [of(true)]).type).toBe('none');
  });
});
