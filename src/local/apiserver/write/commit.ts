import type { KubeObject } from '../../../api/meta.ts';
import { sameJson } from '../../../lib/same-json.ts';
import type { ServerContext } from '../context.ts';
import { forbidden, invalid, notFound } from '../errors.ts';
import { at } from '../json.ts';
import type { Served } from '../kinds.ts';
import type { Stored } from '../storage/store.ts';

export const resourceOf = (served: Served): { group: string; resource: string } => ({
  group: served.group,
  resource: served.plural,
});

/** Refuses content for a namespace that is missing or going away. */
export function checkNamespace(
  context: ServerContext,
  served: Served,
  namespace: string,
  name: string,
): void {
  if (!served.namespaced) return;
  const stored = context.store.get('/namespaces', '', namespace);
  if (!stored) throw notFound({ group: '', resource: 'namespaces' }, namespace);
  if (stored.object.metadata.deletionTimestamp) {
    const error = forbidden(
      resourceOf(served),
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
    );
    error.details!.causes = [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ];
    throw error;
  }
}

/** Stores a new state, or the end of an object whose last finalizer went. Equal states are not written again. */
export function commitUpdate(
  context: ServerContext,
  served: Served,
  object: KubeObject,
  before: Stored,
): Stored {
  if (sameExceptTimes(object, before.object)) return before;
  const { metadata } = object;
  const old = before.object.metadata;
  if (old.deletionTimestamp) {
    const added = (metadata.finalizers ?? []).filter((each) => !old.finalizers?.includes(each));
    if (added.length > 0)
      throw invalid(served.group, served.kind, metadata.name, [
        {
          field: 'metadata.finalizers',
          reason: 'FieldValueForbidden',
          message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
        },
      ]);
  }
  if (isFinished(object, served)) {
    const stored = context.store.write(served.storage, object);
    context.store.remove(served.storage, metadata.namespace ?? '', metadata.name);
    return stored;
  }
  return context.store.write(served.storage, object);
}

/** Nothing holds a deleted object any more: no finalizer, no grace. */
function isFinished(object: KubeObject, served: Served): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (!deletionTimestamp || (finalizers?.length ?? 0) > 0) return false;
  if (served.kind === 'Namespace' && served.group === '') {
    const held = at(object, 'spec', 'finalizers');
    return !Array.isArray(held) || held.length === 0;
  }
  return Number(deletionGracePeriodSeconds ?? 0) === 0;
}

function sameExceptTimes(a: KubeObject, b: KubeObject): boolean {
  const bare = ({ metadata, ...rest }: KubeObject) => ({
    ...rest,
    metadata: {
      ...metadata,
      resourceVersion: undefined,
      managedFields: metadata.managedFields?.map((entry) => ({ ...entry, time: undefined })),
    },
  });
  return sameJson(bare(a), bare(b));
}
