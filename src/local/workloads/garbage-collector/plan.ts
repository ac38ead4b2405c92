import type { KubeObject, OwnerReference } from '../../../api/meta.ts';

export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

/** What is known of an owner: gone (or another uid under its name), alive, or waiting for its dependents to go. */
export type OwnerState = 'absent' | 'solid' | 'waiting';

export type CollectAction =
  | { type: 'none' }
  | { type: 'delete'; propagationPolicy: 'Background' | 'Foreground' | 'Orphan' }
  | { type: 'dropReferences'; uids: string[] };

export function hasFinalizer(object: KubeObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) ?? false;
}

export function isWaiting(owner: KubeObject): boolean {
  return owner.metadata.deletionTimestamp !== undefined && hasFinalizer(owner, FOREGROUND);
}

/** What to do with one dependent, given each of its owners (upstream's attemptToDeleteItem). */
export function planDependent(
  object: KubeObject,
  stateOf: (owner: OwnerReference) => OwnerState,
  hasDependents: boolean,
): CollectAction {
  const owners = object.metadata.ownerReferences ?? [];
  if (owners.length === 0) return { type: 'none' };
  // What is being deleted is looked at again only as an owner; see planOwner.
  if (object.metadata.deletionTimestamp) return { type: 'none' };
  const states = owners.map((owner) => ({ owner, state: stateOf(owner) }));
  const leaving = states.filter(({ state }) => state !== 'solid');
  if (leaving.length === 0) return { type: 'none' };
  if (leaving.length < states.length) {
    return { type: 'dropReferences', uids: leaving.map(({ owner }) => owner.uid) };
  }
  if (hasDependents && states.some(({ state }) => state === 'waiting')) {
    return { type: 'delete', propagationPolicy: 'Foreground' };
  }
  if (hasFinalizer(object, ORPHAN)) return { type: 'delete', propagationPolicy: 'Orphan' };
  if (hasFinalizer(object, FOREGROUND)) return { type: 'delete', propagationPolicy: 'Foreground' };
  return { type: 'delete', propagationPolicy: 'Background' };
}

export type OwnerAction<T> =
  | { type: 'none' }
  | { type: 'orphan'; dependents: T[] }
  /** Delete these first; the finalizer stays until no blocking one is left. */
  | { type: 'wait'; dependents: T[] }
  | { type: 'removeFinalizer'; finalizer: string };

/** What to do with an object that is being deleted under one of the two finalizers of the garbage collector. */
export function planOwner<T extends { object: KubeObject }>(
  owner: KubeObject,
  dependents: T[],
): OwnerAction<T> {
  if (owner.metadata.deletionTimestamp === undefined) return { type: 'none' };
  if (hasFinalizer(owner, ORPHAN)) {
    return dependents.length > 0
      ? { type: 'orphan', dependents }
      : { type: 'removeFinalizer', finalizer: ORPHAN };
  }
  if (!hasFinalizer(owner, FOREGROUND)) return { type: 'none' };
  const blocking = dependents.filter(({ object }) =>
    object.metadata.ownerReferences?.some(
      ({ uid, blockOwnerDeletion }) => uid === owner.metadata.uid && blockOwnerDeletion === true,
    ),
  );
  return blocking.length > 0
    ? { type: 'wait', dependents }
    : { type: 'removeFinalizer', finalizer: FOREGROUND };
}
