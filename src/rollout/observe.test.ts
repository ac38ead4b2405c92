import { describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../api/meta.ts';
import { annotations, labels } from '../api/names.ts';
import { type Rollout, rolloutSpecSchema } from '../api/rollout.ts';
import { cachedDeployment, cachedPod, cachedReplicaSet, cachedService, cachedSlice } from './cached.ts';
import { templateDigest } from './digest.ts';
import { canaryReplicaSet } from './effects/create-canary.ts';
import type { Deployment, EndpointSlice, Pod, ReplicaSet, Service } from './objects.ts';
import { canaryLabels, observe, type Sources } from './observe.ts';
import { serviceSelects } from './selector.ts';

const template = (version: string, extra: object = {}) => ({
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'app', image: `app:${version}` }], ...extra },
});
const meta = (
  kind: string,
  name: string,
  more: object = {},
): Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'> => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, namespace: 'shop', uid: `uid-${name}`, resourceVersion: '1', ...more },
});
const deployment = (more: object = {}, about: object = {}): Deployment => ({
  ...meta('Deployment', 'web', about),
  spec: {
    replicas: 4,
    paused: true,
    selector: { matchLabels: { app: 'web' } },
    template: template('v2'),
    ...more,
  },
});
const service = (name: string, selector?: Record<string, string>): Service => ({
  ...meta('Service', name),
  spec: { ...(selector ? { selector } : {}), ports: [{ port: 80 }] },
});
const pod = (name: string, hash: string, status: Pod['status'] = {}): Pod => ({
  ...meta('Pod', name, { labels: { app: 'web', [labels.podTemplateHash]: hash } }),
  status,
});
const run = {
  id: 'abc',
  digest: templateDigest(template('v2')),
  hash: 'eabc',
  replicaSet: 'web-eabc',
  images: ['app:v2'],
  startedAt: 0,
  retry: '',
  peak: 0,
};
const canary = (of = deployment()): ReplicaSet => {
  const made = canaryReplicaSet(of, 'web', {
    kind: 'create-canary',
    run,
    replicas: 4,
    surge: 1,
  });
  return { ...made, metadata: { ...made.metadata, uid: 'uid-canary', resourceVersion: '5' } };
};
const rollout = (notes: Record<string, string> = {}): Rollout => ({
  ...meta('Rollout', 'web', { generation: 3, annotations: notes }),
  apiVersion: 'weir.dev/v1alpha1',
  kind: 'Rollout',
  spec: {},
});
const spec = rolloutSpecSchema.parse({
  targetRef: { name: 'web' },
  service: { name: 'web', port: 80 },
  strategy: { canary: { weights: [10] } },
});

interface World {
  deployment?: Deployment;
  sets?: ReplicaSet[];
  pods?: Pod[];
  services?: Service[];
  slices?: EndpointSlice[];
  gate?: Record<string, string>;
  pins?: Record<string, string>;
}
const see = (world: World, notes?: Record<string, string>) => {
  const services = (world.services ?? []).map(cachedService);
  const from: Sources = {
    deployment: () => world.deployment && cachedDeployment(world.deployment),
    replicaSets: () => (world.sets ?? []).map(cachedReplicaSet),
    pods: () => (world.pods ?? []).map(cachedPod),
    service: (name) => services.find(({ metadata }) => metadata.name === name),
    selecting: (labelled) =>
      services
        .filter((each) => serviceSelects(each.spec.selector, labelled))
        .map(({ metadata }) => metadata.name),
    slices: () => (world.slices ?? []).map(cachedSlice),
    gate: () => (world.gate ? { ...meta('ConfigMap', 'weir-gate'), data: world.gate } : undefined),
    pins: () => (world.pins ? { ...meta('ConfigMap', 'weir-pins'), data: world.pins } : undefined),
  };
  const route = { weights: undefined, version: undefined, acknowledged: { done: false, proxies: 0, of: 0 } };
  return observe(rollout(notes), spec, from, {
    route,
    probe: undefined,
    gateVersion: undefined,
    look: undefined,
  });
};

describe('the canary ReplicaSet', () => {
  test('is a raw copy that the Deployment cannot see, owned by it without being controlled', () => {
    const made = canary(deployment({ template: template('v2', { fieldOfTomorrow: { deep: true } }) }));
    expect(made.spec.template.spec).toMatchObject({ fieldOfTomorrow: { deep: true } });
    expect(made.metadata.labels).toEqual(canaryLabels('web'));
    expect(made.metadata.labels).not.toHaveProperty('app');
    expect(made.metadata.ownerReferences).toEqual([
      { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'uid-web' },
    ]);
    expect(made.spec).toMatchObject({
      replicas: 0,
      selector: { matchLabels: { app: 'web', 'pod-template-hash': 'eabc' } },
    });
    expect(made.metadata.annotations).toMatchObject({
      'deployment.kubernetes.io/desired-replicas': '4',
      'deployment.kubernetes.io/max-replicas': '5',
    });
  });

  test('reads back equal to the template but for the hash, and unequal when a webhook changed it', () => {
    const view = (set: ReplicaSet) => see({ deployment: deployment(), sets: [set] }).replicaSets[0]!;
    expect(view(canary())).toMatchObject({
      digest: run.digest,
      hash: 'eabc',
      canary: true,
      owned: false,
      released: false,
    });
    const changed = canary();
    changed.spec.template = { ...changed.spec.template, spec: { ...template('v2').spec, hostNetwork: true } };
    expect(view(changed).digest).not.toBe(run.digest);
  });

  test('with the selector labels it is released; once adopted it is owned and no canary any more', () => {
    const set = canary();
    set.metadata.labels = { app: 'web', 'pod-template-hash': 'eabc' };
    const view = () => see({ deployment: deployment(), sets: [set] }).replicaSets[0];
    expect(view()).toMatchObject({ released: true, owned: false, canary: false });
    set.metadata.ownerReferences![0]!.controller = true;
    expect(view()).toMatchObject({ released: true, owned: true, canary: false });
  });

  test.each<[string, Pod[], ReplicaSet['status'], string | undefined]>([
    ['is well', [pod('a', 'eabc')], {}, undefined],
    [
      'is not scheduled',
      [pod('a', 'eabc', { conditions: [{ type: 'PodScheduled', status: 'False', message: '0/3 nodes' }] })],
      {},
      'a is not scheduled: 0/3 nodes',
    ],
    [
      'crashes',
      [
        pod('a', 'eabc', {
          containerStatuses: [
            { name: 'app', state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off' } } },
          ],
        }),
      ],
      {},
      'a: CrashLoopBackOff (back-off)',
    ],
    [
      'belongs to another revision',
      [
        pod('a', 'other', {
          containerStatuses: [{ name: 'app', state: { waiting: { reason: 'CrashLoopBackOff' } } }],
        }),
      ],
      {},
      undefined,
    ],
    [
      'hits a quota',
      [],
      { conditions: [{ type: 'ReplicaFailure', status: 'True', message: 'exceeded quota' }] },
      'pods are refused: exceeded quota',
    ],
  ])('says why: %s', (_name, pods, status, trouble) => {
    const set = { ...canary(), status: status ?? {} };
    expect(see({ deployment: deployment(), sets: [set], pods }).replicaSets[0]!.trouble).toBe(trouble);
  });
});

test('a Deployment that is being deleted is gone', () => {
  expect(
    see({ deployment: deployment({}, { deletionTimestamp: '2026-01-05T12:00:00Z' }) }).deployment,
  ).toBeUndefined();
});

test('the Deployment: surge rounds up, and the manager that paused it last is named, Weir never', () => {
  const by = (manager: string, time: string) => ({
    manager,
    time,
    fieldsV1: { 'f:spec': { 'f:paused': {} } },
  });
  const seen = see({
    deployment: deployment(
      { replicas: 5, strategy: { rollingUpdate: { maxSurge: '25%' } } },
      { managedFields: [by('kubectl', '1'), by('argocd', '2'), by('weir-controller', '3')] },
    ),
  }).deployment!;
  expect(seen).toMatchObject({
    surge: 2,
    pausedBy: 'argocd',
    paused: true,
    revisionHistoryLimit: 10,
    selectsEverything: false,
  });
  const wide = deployment({
    selector: { matchExpressions: [{ key: 'weir.dev/none', operator: 'DoesNotExist' }] },
  });
  expect(see({ deployment: wide }).deployment!.selectsEverything).toBe(true);
});

test('Services: pins, ready endpoints by revision, and those that reach the canary beside the weights', () => {
  const seen = see({
    deployment: deployment(),
    pods: [pod('a', 'old'), pod('b', 'eabc'), pod('c', 'eabc')],
    services: [
      service('web', { app: 'web', 'pod-template-hash': 'old' }),
      service('web-stable', { app: 'web' }),
      service('metrics', { app: 'web' }),
      service('api', { app: 'api' }),
      service('external'),
    ],
    slices: [
      {
        ...meta('EndpointSlice', 'web-1'),
        endpoints: [
          { targetRef: { name: 'a' }, conditions: { ready: true } },
          { targetRef: { name: 'b' } },
          { targetRef: { name: 'c' }, conditions: { ready: false } },
        ],
      },
    ],
    gate: { 'deployment.web': 'web' },
    pins: { 'pin.web': 'old|app=web' },
  });
  expect(seen.root).toMatchObject({
    hash: 'old',
    selector: ['app=web'],
    ours: false,
    ready: { old: 1, eabc: 1 },
  });
  expect(seen.others).toEqual(['metrics']);
  expect(seen.gate).toMatchObject({ entry: 'web', pins: { web: 'old|app=web' } });
});

test('commands: as the CLI writes them, and by hand with kubectl', () => {
  const { commands } = see(
    { deployment: deployment() },
    {
      [annotations.approve]: JSON.stringify({ id: '1', by: 'ann', at: 'now' }),
      [annotations.promote]: JSON.stringify({ id: '2', by: 'ann', full: true }),
      [annotations.abort]: 'now!',
      [annotations.retry]: '{broken',
    },
  );
  expect(commands).toEqual({
    approve: { id: '1', by: 'ann', at: 'now' },
    promote: { id: '2', by: 'ann', at: '', full: true },
    abort: { id: 'now!', by: 'kubectl annotate', at: '' },
    retry: { id: '{broken', by: 'kubectl annotate', at: '' },
  });
});
