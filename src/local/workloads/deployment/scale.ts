import type { Deployment, ReplicaSet } from '../types.ts';
import { byCreation, DESIRED_REPLICAS, MAX_REPLICAS, numberAnnotation } from './revision.ts';

export const replicasOf = (object: { spec: { replicas?: number } }): number => object.spec.replicas ?? 1;
export const sum = (sets: ReplicaSet[], of: (set: ReplicaSet) => number): number =>
  sets.reduce((total, set) => total + of(set), 0);
export const available = (set: ReplicaSet): number => set.status?.availableReplicas ?? 0;
export const active = (sets: (ReplicaSet | undefined)[]): ReplicaSet[] =>
  sets.filter((set): set is ReplicaSet => set !== undefined && replicasOf(set) > 0);

export function isRolling(deployment: Deployment): boolean {
  return (deployment.spec.strategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
}

function scaled(value: number | string | undefined, of: number, round: (x: number) => number): number {
  if (value === undefined) return round(0.25 * of);
  if (typeof value === 'number') return value;
  // Integer arithmetic first: 0.07 * 100 is not 7 in floating point, and rounding up would make 8 of it.
  return round((Number.parseInt(value, 10) * of) / 100);
}

/** Surge rounds up, unavailable rounds down, and both 0 would never move, so that unavailable becomes 1. */
export function fenceposts(deployment: Deployment): { surge: number; unavailable: number } {
  const replicas = replicasOf(deployment);
  const { maxSurge, maxUnavailable } = deployment.spec.strategy?.rollingUpdate ?? {};
  const surge = scaled(maxSurge, replicas, Math.ceil);
  const unavailable = scaled(maxUnavailable, replicas, Math.floor);
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

export function maxSurge(deployment: Deployment): number {
  return isRolling(deployment) ? fenceposts(deployment).surge : 0;
}

export function maxUnavailable(deployment: Deployment): number {
  const replicas = replicasOf(deployment);
  if (!isRolling(deployment) || replicas === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, replicas);
}

/** Records what this size was computed for; a later difference is how a scaling event is recognised. */
export function stampReplicas(deployment: Deployment, set: ReplicaSet): boolean {
  set.metadata.annotations ??= {};
  const desired = String(replicasOf(deployment));
  const max = String(replicasOf(deployment) + maxSurge(deployment));
  const { annotations } = set.metadata;
  if (annotations[DESIRED_REPLICAS] === desired && annotations[MAX_REPLICAS] === max) return false;
  annotations[DESIRED_REPLICAS] = desired;
  annotations[MAX_REPLICAS] = max;
  return true;
}

/** Scales in place; answers whether the size changed. */
export function scaleTo(deployment: Deployment, set: ReplicaSet, replicas: number): boolean {
  if (replicasOf(set) === replicas) return false;
  set.spec.replicas = replicas;
  stampReplicas(deployment, set);
  return true;
}

export function isScalingEvent(deployment: Deployment, sets: ReplicaSet[]): boolean {
  return active(sets).some((set) => {
    const desired = numberAnnotation(set, DESIRED_REPLICAS);
    return desired !== undefined && desired !== replicasOf(deployment);
  });
}

function activeOrLatest(current: ReplicaSet | undefined, old: ReplicaSet[]): ReplicaSet | undefined {
  const running = active([...old, current]);
  if (running.length > 1) return undefined;
  return running[0] ?? current ?? [...old].sort(byCreation).at(-1);
}

/** Upstream's IsSaturated: this ReplicaSet alone serves all that the Deployment asks for. */
export function isSaturated(deployment: Deployment, set: ReplicaSet | undefined): boolean {
  const wanted = replicasOf(deployment);
  return (
    set !== undefined &&
    replicasOf(set) === wanted &&
    numberAnnotation(set, DESIRED_REPLICAS) === wanted &&
    available(set) === wanted
  );
}

function fraction(deployment: Deployment, set: ReplicaSet): number {
  if (replicasOf(deployment) === 0) return -replicasOf(set);
  const before = numberAnnotation(set, MAX_REPLICAS) || (deployment.status?.replicas ?? 0);
  if (before === 0) return 0;
  const after = replicasOf(deployment) + maxSurge(deployment);
  return Math.round((replicasOf(set) * after) / before) - replicasOf(set);
}

/**
 * Resizes what exists and creates nothing: all that a paused Deployment, or one whose replicas were changed, gets.
 * A saturated new ReplicaSet takes the old ones to 0 at once, paused or not; the release of a canary relies on it.
 */
export function scale(deployment: Deployment, current: ReplicaSet | undefined, old: ReplicaSet[]): void {
  const only = activeOrLatest(current, old);
  if (only) {
    scaleTo(deployment, only, replicasOf(deployment));
    return;
  }
  if (isSaturated(deployment, current)) {
    for (const set of active(old)) scaleTo(deployment, set, 0);
    return;
  }
  if (!isRolling(deployment)) return;
  const running = active([...old, current]);
  const wanted = replicasOf(deployment);
  const toAdd = (wanted > 0 ? wanted + maxSurge(deployment) : 0) - sum(running, replicasOf);
  // Growing favours the newer of two equals, shrinking takes from the older.
  running.sort((a, b) => replicasOf(b) - replicasOf(a) || (toAdd > 0 ? byCreation(b, a) : byCreation(a, b)));
  let added = 0;
  const sizes = running.map((set) => {
    if (toAdd === 0 || added === toAdd) return replicasOf(set);
    const share = fraction(deployment, set);
    const part = toAdd > 0 ? Math.min(share, toAdd - added) : Math.max(share, toAdd - added);
    added += part;
    return replicasOf(set) + part;
  });
  if (toAdd !== 0) sizes[0] = Math.max(0, sizes[0]! + toAdd - added);
  for (const [index, set] of running.entries()) {
    scaleTo(deployment, set, sizes[index]!);
    stampReplicas(deployment, set);
  }
}
