import { kinds } from '../../../api/kinds.ts';
import { labels } from '../../../api/names.ts';
import { canonicalJson } from '../../../lib/canonical.ts';
import { controllerRef } from '../owners.ts';
import { templateHash } from '../template.ts';
import type { Deployment, DeploymentStatus, ReplicaSet } from '../types.ts';
import { beyondHistory, numberAnnotation, REVISION, splitNewAndOld, syncAnnotations } from './revision.ts';
import { newSize, rollingStep, stopOld } from './rolling.ts';
import { isRolling, isScalingEvent, replicasOf, scale, scaleTo, stampReplicas } from './scale.ts';
import {
  computeStatus,
  conditionOf,
  hasDeadline,
  isComplete,
  judgeProgress,
  pausedCondition,
  setCondition,
} from './status.ts';

export interface DeploymentPlan {
  /** A ReplicaSet to create; on AlreadyExists of a different one, raise collisionCount and plan again. */
  create?: ReplicaSet;
  /** Whole ReplicaSets to write back, under the resourceVersion they carry. */
  update: ReplicaSet[];
  remove: ReplicaSet[];
  status: DeploymentStatus;
  /** The Deployment's own revision annotation, when it has to change. */
  revision?: string;
  requeueAfterMs?: number;
}

export interface DeploymentInput {
  deployment: Deployment;
  /** The ReplicaSets it owns, after adoption and release. */
  sets: ReplicaSet[];
  /** Uids of ReplicaSets of which pods still exist that have not finished (Recreate waits for them). */
  runningPods: ReadonlySet<string>;
  now: number;
}

/** One pass of the Deployment controller as a pure function; follows upstream's syncDeployment step by step. */
export function planDeployment(input: DeploymentInput): DeploymentPlan {
  const { now, runningPods } = input;
  const marked = pausedCondition(input.deployment, now);
  const deployment = marked ? { ...input.deployment, status: marked } : input.deployment;
  const before = new Map(input.sets.map((set) => [set.metadata.uid, canonicalJson(set)]));
  const sets = structuredClone(input.sets);
  let { current, old } = splitNewAndOld(deployment, sets);
  const plan: DeploymentPlan = { update: [], remove: [], status: {} };

  const finish = (progress: boolean): DeploymentPlan => {
    plan.update = sets.filter((set) => canonicalJson(set) !== before.get(set.metadata.uid));
    plan.status = computeStatus(deployment, current, old, now);
    const condition = (reason: string, message: string) =>
      setCondition(plan.status, { type: 'Progressing', status: 'True', reason, message }, now);
    if (hasDeadline(deployment) && plan.create) {
      condition('NewReplicaSetCreated', `Created new replica set "${plan.create.metadata.name}"`);
    } else if (hasDeadline(deployment) && current && !conditionOf(plan.status, 'Progressing')) {
      condition('FoundNewReplicaSet', `Found new replica set "${current.metadata.name}"`);
    }
    if (progress) plan.requeueAfterMs = judgeProgress(deployment, plan.status, current, now);
    return plan;
  };

  if (deployment.metadata.deletionTimestamp) return finish(false);

  const newest = Math.max(0, ...old.map((set) => numberAnnotation(set, REVISION) ?? 0));
  const noteRevision = (set: ReplicaSet) => {
    const revision = set.metadata.annotations?.[REVISION];
    if (revision !== deployment.metadata.annotations?.[REVISION]) plan.revision = revision;
  };
  if (current) {
    syncAnnotations(deployment, current, newest + 1, true);
    const wait = deployment.spec.minReadySeconds ?? 0;
    if ((current.spec.minReadySeconds ?? 0) !== wait) current.spec.minReadySeconds = wait;
    noteRevision(current);
  }

  if (deployment.spec.paused || isScalingEvent(deployment, sets)) {
    scale(deployment, current, old);
    if (deployment.spec.paused) plan.remove = beyondHistory(deployment, old);
    return finish(false);
  }

  if (!isRolling(deployment)) {
    if (stopOld(deployment, old)) return finish(true);
    const stillRunning =
      old.some((set) => (set.status?.replicas ?? 0) > 0) ||
      [...runningPods].some((uid) => uid !== current?.metadata.uid);
    if (stillRunning) return finish(true);
  }
  if (!current) {
    current = build(deployment, old, newest + 1);
    plan.create = current;
    noteRevision(current);
    return finish(true);
  }
  const moved = isRolling(deployment)
    ? rollingStep(deployment, current, old)
    : scaleTo(deployment, current, replicasOf(deployment));
  if (!moved && isComplete(deployment, deployment.status ?? {})) plan.remove = beyondHistory(deployment, old);
  return finish(true);
}

/** The ReplicaSet of the Deployment's template, sized as the strategy allows. */
function build(deployment: Deployment, old: ReplicaSet[], revision: number): ReplicaSet {
  const hash = templateHash(deployment.spec.template, deployment.status?.collisionCount ?? 0);
  const template = structuredClone(deployment.spec.template);
  template.metadata = {
    ...template.metadata,
    labels: { ...template.metadata?.labels, [labels.podTemplateHash]: hash },
  };
  const selector = structuredClone(deployment.spec.selector);
  selector.matchLabels = { ...selector.matchLabels, [labels.podTemplateHash]: hash };
  const set: ReplicaSet = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace,
      labels: { ...template.metadata.labels },
      annotations: {},
      ownerReferences: [controllerRef(kinds.Deployment, deployment)],
    },
    spec: {
      replicas: 0,
      ...(deployment.spec.minReadySeconds ? { minReadySeconds: deployment.spec.minReadySeconds } : {}),
      selector,
      template,
    },
  };
  set.spec.replicas = newSize(deployment, [...old, set], set);
  syncAnnotations(deployment, set, revision, false);
  stampReplicas(deployment, set);
  return set;
}
