import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '../types.ts';
import { available, maxUnavailable, replicasOf, sum } from './scale.ts';

type Change = Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>;

const actual = (set: ReplicaSet): number => set.status?.replicas ?? 0;

export function conditionOf(
  status: DeploymentStatus | undefined,
  type: string,
): DeploymentCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** Sets a condition; the same status and reason leave it, and its times, as they are unless `touch`. */
export function setCondition(status: DeploymentStatus, change: Change, now: number, touch = false): void {
  const before = conditionOf(status, change.type);
  if (before && !touch && before.status === change.status && before.reason === change.reason) return;
  const at = `${new Date(now).toISOString().slice(0, 19)}Z`;
  const lastTransitionTime = before?.status === change.status ? before.lastTransitionTime : at;
  const next = { ...change, lastUpdateTime: at, lastTransitionTime };
  status.conditions = [...(status.conditions ?? []).filter(({ type }) => type !== change.type), next];
}

export function hasDeadline(deployment: Deployment): boolean {
  return (deployment.spec.progressDeadlineSeconds ?? 600) !== 2_147_483_647;
}

export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const wanted = replicasOf(deployment);
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

/** Counts and the Available condition; every other condition is carried over. */
export function computeStatus(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: ReplicaSet[],
  now: number,
): DeploymentStatus {
  const all = current ? [...old, current] : old;
  const availableReplicas = sum(all, available);
  const status: DeploymentStatus = {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sum(all, actual),
    updatedReplicas: current ? actual(current) : 0,
    readyReplicas: sum(all, (set) => set.status?.readyReplicas ?? 0),
    availableReplicas,
    unavailableReplicas: Math.max(0, sum(all, replicasOf) - availableReplicas),
    conditions: [...(deployment.status?.conditions ?? [])],
    ...(deployment.status?.collisionCount === undefined
      ? {}
      : { collisionCount: deployment.status.collisionCount }),
  };
  const enough = availableReplicas >= replicasOf(deployment) - maxUnavailable(deployment);
  setCondition(
    status,
    {
      type: 'Available',
      status: enough ? 'True' : 'False',
      reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
      message: enough
        ? 'Deployment has minimum availability.'
        : 'Deployment does not have minimum availability.',
    },
    now,
  );
  return status;
}

function hasMoved(before: DeploymentStatus | undefined, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus | undefined) =>
    (status?.replicas ?? 0) - (status?.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before?.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before?.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before?.availableReplicas ?? 0)
  );
}

/** The Progressing condition of a running rollout; answers after how many milliseconds the deadline must be looked at. */
export function judgeProgress(
  deployment: Deployment,
  status: DeploymentStatus,
  current: ReplicaSet | undefined,
  now: number,
): number | undefined {
  if (!hasDeadline(deployment)) {
    status.conditions = (status.conditions ?? []).filter(({ type }) => type !== 'Progressing');
    return undefined;
  }
  const before = conditionOf(status, 'Progressing');
  const done =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && before?.reason === 'NewReplicaSetAvailable';
  if (done) return undefined;
  const subject = current
    ? `ReplicaSet "${current.metadata.name}"`
    : `Deployment "${deployment.metadata.name}"`;
  const set = (value: 'True' | 'False', reason: string, message: string, touch = false) =>
    setCondition(status, { type: 'Progressing', status: value, reason, message }, now, touch);
  if (isComplete(deployment, status)) {
    set('True', 'NewReplicaSetAvailable', `${subject} has successfully progressed.`);
    return undefined;
  }
  if (hasMoved(deployment.status, status))
    set('True', 'ReplicaSetUpdated', `${subject} is progressing.`, true);
  const condition = conditionOf(status, 'Progressing');
  if (!condition || condition.reason === 'NewReplicaSetAvailable') return undefined;
  const due = Date.parse(condition.lastUpdateTime) + (deployment.spec.progressDeadlineSeconds ?? 600) * 1000;
  if (now <= due) return due - now + 1000;
  set('False', 'ProgressDeadlineExceeded', `${subject} has timed out progressing.`);
  return undefined;
}

/** While paused no deadline runs: Progressing says Unknown/DeploymentPaused, and DeploymentResumed after it. */
export function pausedCondition(deployment: Deployment, now: number): DeploymentStatus | undefined {
  if (!hasDeadline(deployment)) return undefined;
  const before = conditionOf(deployment.status, 'Progressing');
  if (before?.reason === 'ProgressDeadlineExceeded') return undefined;
  const marked = before?.reason === 'DeploymentPaused';
  const paused = deployment.spec.paused === true;
  if (marked === paused) return undefined;
  const status = structuredClone(deployment.status ?? {});
  setCondition(
    status,
    {
      type: 'Progressing',
      status: 'Unknown',
      reason: paused ? 'DeploymentPaused' : 'DeploymentResumed',
      message: paused ? 'Deployment is paused' : 'Deployment is resumed',
    },
    now,
  );
  return status;
}
