import type { Deployment, ReplicaSet } from '../types.ts';
import { byCreation } from './revision.ts';
import { active, available, isRolling, maxSurge, maxUnavailable, replicasOf, scaleTo, sum } from './scale.ts';

/** How large the new ReplicaSet may be now, given what else runs. */
export function newSize(deployment: Deployment, all: ReplicaSet[], current: ReplicaSet): number {
  const wanted = replicasOf(deployment);
  if (!isRolling(deployment)) return wanted;
  const total = sum(all, replicasOf);
  const limit = wanted + maxSurge(deployment);
  if (total >= limit) return replicasOf(current);
  return replicasOf(current) + Math.min(limit - total, wanted - replicasOf(current));
}

function growNew(deployment: Deployment, current: ReplicaSet, old: ReplicaSet[]): boolean {
  const wanted = replicasOf(deployment);
  const size = replicasOf(current) > wanted ? wanted : newSize(deployment, [...old, current], current);
  return scaleTo(deployment, current, size);
}

function shrinkOld(deployment: Deployment, current: ReplicaSet, old: ReplicaSet[]): boolean {
  const running = active(old).sort(byCreation);
  if (running.length === 0) return false;
  const minAvailable = replicasOf(deployment) - maxUnavailable(deployment);
  const notYet = replicasOf(current) - available(current);
  let budget = sum([...old, current], replicasOf) - minAvailable - notYet;
  if (budget <= 0) return false;
  let changed = false;
  // Unhealthy old pods serve nobody: they go first and cost no availability.
  for (const set of running) {
    const unhealthy = Math.min(budget, Math.max(0, replicasOf(set) - available(set)));
    if (unhealthy === 0) continue;
    budget -= unhealthy;
    changed = scaleTo(deployment, set, replicasOf(set) - unhealthy) || changed;
  }
  let surplus = sum([...active(running), current], available) - minAvailable;
  for (const set of running) {
    if (surplus <= 0) break;
    const part = Math.min(replicasOf(set), surplus);
    surplus -= part;
    changed = scaleTo(deployment, set, replicasOf(set) - part) || changed;
  }
  return changed;
}

/** One step of a rolling update: up if there is room, else down if enough is available. True if anything moved. */
export function rollingStep(deployment: Deployment, current: ReplicaSet, old: ReplicaSet[]): boolean {
  return growNew(deployment, current, old) || shrinkOld(deployment, current, old);
}

/** Recreate, first half: everything old to 0. True if anything moved. */
export function stopOld(deployment: Deployment, old: ReplicaSet[]): boolean {
  let changed = false;
  for (const set of active(old)) changed = scaleTo(deployment, set, 0) || changed;
  return changed;
}
