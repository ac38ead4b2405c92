import { kinds } from '../../../api/kinds.ts';
import { controllerRef } from '../owners.ts';
import type { Pod, ReplicaSet } from '../types.ts';

// As upstream: one pass starts no more than this.
const BURST = 500;

export interface ReplicaSetPlan {
  create: Pod[];
  remove: Pod[];
  status: NonNullable<ReplicaSet['status']>;
  requeueAfterMs?: number;
}

export function isActive(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return phase !== 'Succeeded' && phase !== 'Failed' && pod.metadata.deletionTimestamp === undefined;
}

export function readySince(pod: Pod): number | undefined {
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready');
  return ready?.status === 'True' ? Date.parse(ready.lastTransitionTime ?? '') || 0 : undefined;
}

const PHASES: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 };

/** Which pod of a ReplicaSet should go first: negative when `a` is the better one to delete (upstream's ranking). */
export function byDeletion(a: Pod, b: Pod): number {
  const assigned = (pod: Pod) => (pod.spec.nodeName ? 1 : 0);
  const phase = (pod: Pod) => PHASES[pod.status?.phase ?? 'Pending'] ?? 1;
  const cost = (pod: Pod) =>
    Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0) || 0;
  const restarts = (pod: Pod) =>
    Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount ?? 0));
  const created = (pod: Pod) => Date.parse(pod.metadata.creationTimestamp ?? '') || 0;
  const [readyA, readyB] = [readySince(a), readySince(b)];
  return (
    assigned(a) - assigned(b) ||
    phase(a) - phase(b) ||
    Number(readyA !== undefined) - Number(readyB !== undefined) ||
    cost(a) - cost(b) ||
    (readyB ?? 0) - (readyA ?? 0) ||
    restarts(b) - restarts(a) ||
    created(b) - created(a) ||
    (a.metadata.name < b.metadata.name ? 1 : -1)
  );
}

/** A pod of the ReplicaSet's template, copied as raw JSON. `suffix` makes its name. */
export function podOf(set: ReplicaSet, suffix: string): Pod {
  const { labels, annotations, finalizers } = set.spec.template.metadata ?? {};
  const prefix = `${set.metadata.name}-`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      // Named here rather than by the server, so that the expectation is in place before its watch event arrives.
      name: prefix + suffix,
      generateName: prefix,
      namespace: set.metadata.namespace,
      ...(labels ? { labels: { ...labels } } : {}),
      ...(annotations ? { annotations: { ...annotations } } : {}),
      ...(finalizers ? { finalizers: finalizers as string[] } : {}),
      ownerReferences: [controllerRef(kinds.ReplicaSet, set)],
    },
    spec: structuredClone(set.spec.template.spec),
  };
}

/** One pass of the ReplicaSet controller. `pods` are the owned ones; `expecting` means that earlier writes are not seen yet. */
export function planReplicaSet(
  set: ReplicaSet,
  pods: Pod[],
  options: { now: number; expecting: boolean; suffix: () => string },
): ReplicaSetPlan {
  const { now, expecting, suffix } = options;
  const running = pods.filter(isActive);
  const wanted = set.spec.replicas ?? 1;
  const plan: ReplicaSetPlan = { create: [], remove: [], status: {} };
  if (!expecting && set.metadata.deletionTimestamp === undefined) {
    const missing = Math.min(wanted - running.length, BURST);
    for (let index = 0; index < missing; index += 1) plan.create.push(podOf(set, suffix()));
    if (missing < 0) plan.remove = [...running].sort(byDeletion).slice(0, Math.min(-missing, BURST));
  }
  const templateLabels = Object.entries(set.spec.template.metadata?.labels ?? {});
  const wait = (set.spec.minReadySeconds ?? 0) * 1000;
  let ready = 0;
  let available = 0;
  let full = 0;
  let next = Number.POSITIVE_INFINITY;
  for (const pod of running) {
    if (templateLabels.every(([key, value]) => pod.metadata.labels?.[key] === value)) full += 1;
    const since = readySince(pod);
    if (since === undefined) continue;
    ready += 1;
    if (since + wait <= now || wait === 0) available += 1;
    else next = Math.min(next, since + wait - now);
  }
  plan.status = {
    replicas: running.length,
    fullyLabeledReplicas: full,
    readyReplicas: ready,
    availableReplicas: available,
    observedGeneration: set.metadata.generation ?? 0,
    ...(set.status?.conditions ? { conditions: set.status.conditions } : {}),
  };
  if (Number.isFinite(next)) plan.requeueAfterMs = next;
  return plan;
}
