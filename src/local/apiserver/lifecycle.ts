import { randomUUID } from 'node:crypto';
import type { KubeObject } from '../../api/meta.ts';
import { type ServerContext, timestamp } from './context.ts';
import { asJson, clone, type JsonObject } from './json.ts';
import type { Served } from './kinds.ts';
import type { Change } from './storage/store.ts';
import { commitUpdate } from './write/commit.ts';
import { deleteStored } from './write/delete.ts';

const CRD_CLEANUP = 'customresourcecleanup.apiextensions.k8s.io';
const CRDS = 'apiextensions.k8s.io/customresourcedefinitions';

/**
 * The controllers that live in the API server: CRDs become resources, namespaces get their default ServiceAccount, and
 * what is deleted takes its contents along. Each runs on the store's own changes, so it never lags behind a request.
 */
export function startLifecycle(context: ServerContext): () => void {
  const { store, registry } = context;
  const waiting = new Set<string>();
  for (const { object } of store.list(CRDS)) registry.setCrd(object);

  const byName = (storage: string): Served | undefined =>
    registry.all().find((served) => served.storage === storage);
  const namespaces = byName('/namespaces')!;
  const crds = byName(CRDS)!;

  const emptyNamespace = (name: string): void => {
    const stored = store.get('/namespaces', '', name);
    if (!stored?.object.metadata.deletionTimestamp) return;
    let left = 0;
    for (const served of distinct(registry.all().filter((each) => each.namespaced && !each.virtual)))
      for (const item of store.list(served.storage, name)) if (deleteStored(context, served, item)) left += 1;
    if (left > 0) return;
    const object = clone(stored.object);
    const spec = asJson(object).spec as JsonObject;
    spec.finalizers = ((spec.finalizers ?? []) as string[]).filter((each) => each !== 'kubernetes');
    commitUpdate(context, namespaces, object, store.get('/namespaces', '', name)!);
  };

  const emptyCrd = (crd: KubeObject): void => {
    const spec = crd.spec as { group: string; names: { plural: string } };
    const served = registry.findResource(spec.group, spec.names.plural);
    let left = 0;
    if (served)
      for (const item of store.list(served.storage)) if (deleteStored(context, served, item)) left += 1;
    const stored = store.get(CRDS, '', crd.metadata.name);
    if (left > 0 || !stored?.object.metadata.deletionTimestamp) return;
    const object = clone(stored.object);
    object.metadata.finalizers = object.metadata.finalizers?.filter((each) => each !== CRD_CLEANUP);
    commitUpdate(context, crds, object, stored);
  };

  // After the request that caused it: a handler sees the state that it wrote.
  const later = (key: string, work: () => void): void => {
    if (waiting.has(key)) return;
    waiting.add(key);
    setImmediate(() => {
      waiting.delete(key);
      try {
        work();
      } catch (error) {
        context.log.error({ error, key }, 'lifecycle step failed');
      }
    });
  };

  const stops = [
    store.subscribe(CRDS, ({ type, current: { object } }: Change) => {
      if (type === 'DELETED') registry.removeCrd(object.metadata.name);
      else registry.setCrd(object);
      if (type !== 'DELETED' && object.metadata.deletionTimestamp)
        later(`crd/${object.metadata.name}`, () => emptyCrd(object));
    }),
    store.subscribe('/namespaces', ({ type, current: { object } }: Change) => {
      const { name, deletionTimestamp } = object.metadata;
      if (type === 'ADDED' && !deletionTimestamp) ensureServiceAccount(context, name);
      if (type !== 'DELETED' && deletionTimestamp) later(`namespace/${name}`, () => emptyNamespace(name));
    }),
  ];
  // Finalizers and graceful pods end on their own time; look again while something is on its way out.
  const timer = setInterval(() => {
    for (const { object } of store.list('/namespaces'))
      if (object.metadata.deletionTimestamp) emptyNamespace(object.metadata.name);
    for (const { object } of store.list(CRDS)) if (object.metadata.deletionTimestamp) emptyCrd(object);
  }, 100).unref();
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease'])
    ensureNamespace(context, name);
  return () => {
    clearInterval(timer);
    for (const stop of stops) stop();
  };
}

const distinct = (all: Served[]): Served[] => [
  ...new Map(all.map((served) => [served.storage, served])).values(),
];

function ensureNamespace(context: ServerContext, name: string): void {
  if (context.store.get('/namespaces', '', name)) {
    ensureServiceAccount(context, name);
    return;
  }
  context.store.write('/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      uid: randomUUID(),
      creationTimestamp: timestamp(context.now()),
      labels: { 'kubernetes.io/metadata.name': name },
    },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  });
}

function ensureServiceAccount(context: ServerContext, namespace: string): void {
  if (context.store.get('/serviceaccounts', namespace, 'default')) return;
  context.store.write('/serviceaccounts', {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'default', namespace, uid: randomUUID(), creationTimestamp: timestamp(context.now()) },
  });
}
