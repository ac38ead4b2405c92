import type { KubeObject } from '../../../api/meta.ts';
import { type ServerContext, timestamp } from '../context.ts';
import { conflict, notFound } from '../errors.ts';
import type { ResourceRequest } from '../http/request.ts';
import { asJson, at, clone, isObject, type JsonObject } from '../json.ts';
import type { Served } from '../kinds.ts';
import { compileSelectors } from '../selectors.ts';
import type { Stored } from '../storage/store.ts';
import { resourceOf } from './commit.ts';
import { isDryRun } from './create.ts';

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  propagationPolicy?: string;
  orphanDependents?: boolean;
  preconditions?: { uid?: string; resourceVersion?: string };
}

export function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const options = (isObject(body) ? body : {}) as DeleteOptions;
  const grace = query.get('gracePeriodSeconds');
  return {
    ...options,
    gracePeriodSeconds: options.gracePeriodSeconds ?? (grace === null ? undefined : Number(grace)),
    propagationPolicy: options.propagationPolicy ?? query.get('propagationPolicy') ?? undefined,
  };
}

/** DELETE of one object: a Status when it is gone, the object when it still has to finish. */
export async function remove(context: ServerContext, request: ResourceRequest): Promise<object> {
  const { served, namespace, name, user, warnings, query } = request;
  const body = await request.body();
  const options = deleteOptions(body, query);
  const dryRun =
    isDryRun(query) || (isObject(body) && Array.isArray(body.dryRun) && body.dryRun.includes('All'));
  const find = (): Stored => {
    const stored = context.store.get(served.storage, namespace, name);
    if (!stored) throw notFound(resourceOf(served), name);
    return stored;
  };
  const attributes = {
    served,
    subresource: '',
    operation: 'DELETE' as const,
    name,
    namespace,
    object: undefined,
    dryRun,
  };
  const seen = find().object;
  await context.webhooks.mutate({ ...attributes, oldObject: seen }, user, warnings);
  await context.webhooks.validate({ ...attributes, oldObject: seen }, user, warnings);
  const stored = find();
  checkPreconditions(served, stored.object, options);
  if (dryRun) return stored.object;
  const left = deleteStored(context, served, stored, options);
  if (left) return left.object;
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name,
      ...(served.group ? { group: served.group } : {}),
      kind: served.plural,
      uid: stored.object.metadata.uid,
    },
  };
}

export async function removeCollection(context: ServerContext, request: ResourceRequest): Promise<object> {
  const { served, namespace, query } = request;
  const options = deleteOptions(await request.body(), query);
  const matches = compileSelectors(
    served.kind,
    query.get('labelSelector'),
    query.get('fieldSelector'),
    served.selectableFields,
  );
  const items = context.store
    .list(served.storage, namespace || undefined)
    .filter(({ object }) => !matches || matches(object));
  if (!isDryRun(query)) for (const stored of items) deleteStored(context, served, stored, options);
  return {
    kind: `${served.kind}List`,
    apiVersion: stored(served),
    metadata: { resourceVersion: String(context.store.revision) },
    items: items.map(({ object }) => object),
  };
}

const stored = ({ group, version }: Served): string => (group ? `${group}/${version}` : version);

function checkPreconditions(
  served: Served,
  { metadata }: KubeObject,
  { preconditions }: DeleteOptions,
): void {
  const on = resourceOf(served);
  if (preconditions?.uid && preconditions.uid !== metadata.uid)
    throw conflict(
      on,
      metadata.name,
      `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${metadata.uid}`,
    );
  if (preconditions?.resourceVersion && preconditions.resourceVersion !== metadata.resourceVersion)
    throw conflict(
      on,
      metadata.name,
      `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion}`,
    );
}

/** Removes at once, or marks as deleted and leaves the rest to finalizers, the node or the namespace. */
export function deleteStored(
  context: ServerContext,
  served: Served,
  { object: before }: Stored,
  options: DeleteOptions = {},
): Stored | undefined {
  const object = clone(before);
  const { metadata } = object;
  const policy =
    options.propagationPolicy ??
    (options.orphanDependents === true
      ? 'Orphan'
      : options.orphanDependents === false
        ? 'Background'
        : undefined);
  const finalizers = new Set(metadata.finalizers);
  if (policy) {
    finalizers.delete('orphan');
    finalizers.delete('foregroundDeletion');
    if (policy === 'Orphan') finalizers.add('orphan');
    if (policy === 'Foreground') finalizers.add('foregroundDeletion');
  }
  if (finalizers.size > 0) metadata.finalizers = [...finalizers];
  else delete metadata.finalizers;

  const grace = gracePeriod(object, served, options);
  const isNamespace =
    served.group === '' &&
    served.kind === 'Namespace' &&
    Array.isArray(at(object, 'spec', 'finalizers')) &&
    (at(object, 'spec', 'finalizers') as string[]).length > 0;
  const isCrd = served.group === 'apiextensions.k8s.io';
  if (isCrd)
    metadata.finalizers = [...finalizers, 'customresourcecleanup.apiextensions.k8s.io'].filter(
      (each, index, all) => all.indexOf(each) === index,
    );
  if (finalizers.size === 0 && grace === 0 && !isNamespace && !isCrd) {
    context.store.remove(served.storage, metadata.namespace ?? '', metadata.name);
    return undefined;
  }
  const earlier = metadata.deletionTimestamp !== undefined;
  if (
    earlier &&
    Number(metadata.deletionGracePeriodSeconds ?? 0) <= grace &&
    finalizers.size === (before.metadata.finalizers?.length ?? 0) &&
    sameSet(finalizers, before.metadata.finalizers)
  )
    return context.store.get(served.storage, metadata.namespace ?? '', metadata.name);
  if (!earlier || Number(metadata.deletionGracePeriodSeconds ?? 0) > grace) {
    metadata.deletionTimestamp = timestamp(context.now() + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
  }
  if (!earlier && metadata.generation !== undefined) metadata.generation += 1;
  if (isNamespace) ((asJson(object).status as JsonObject | undefined) ?? {}).phase = 'Terminating';
  return context.store.write(served.storage, object);
}

const sameSet = (set: Set<string>, list: string[] | undefined): boolean =>
  (list ?? []).every((each) => set.has(each));

/** Only a pod that a node runs ends slowly. */
function gracePeriod(object: KubeObject, served: Served, options: DeleteOptions): number {
  if (served.group !== '' || served.kind !== 'Pod') return 0;
  const phase = at(object, 'status', 'phase');
  if (!at(object, 'spec', 'nodeName') || phase === 'Succeeded' || phase === 'Failed') return 0;
  const wanted =
    options.gracePeriodSeconds ?? Number(at(object, 'spec', 'terminationGracePeriodSeconds') ?? 30);
  return Math.max(0, wanted);
}
