import type { KubeObject } from '../../../api/meta.ts';
import { equalIgnoringHash } from '../template.ts';
import type { Deployment, ReplicaSet } from '../types.ts';

export const REVISION = 'deployment.kubernetes.io/revision';
export const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';

// What a ReplicaSet must not inherit from its Deployment's annotations.
const NOT_INHERITED = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deprecated.deployment.rollback.to',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
]);

export function numberAnnotation(object: KubeObject, name: string): number | undefined {
  const text = object.metadata.annotations?.[name];
  const value = Number(text);
  return text === undefined || !Number.isInteger(value) ? undefined : value;
}

/** Oldest first; the name decides within one second, so that every pass picks the same one. */
export function byCreation(a: KubeObject, b: KubeObject): number {
  const [left, right] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? ''];
  if (left !== right) return left < right ? -1 : 1;
  return a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0;
}

/** The oldest ReplicaSet that runs the Deployment's template, and all the others. */
export function splitNewAndOld(
  deployment: Deployment,
  sets: ReplicaSet[],
): { current: ReplicaSet | undefined; old: ReplicaSet[] } {
  const sorted = [...sets].sort(byCreation);
  const current = sorted.find((set) => equalIgnoringHash(set.spec.template, deployment.spec.template));
  return { current, old: sorted.filter((set) => set !== current) };
}

/** Makes `set` carry the Deployment's annotations and at least `revision`; answers whether anything changed. */
export function syncAnnotations(
  deployment: Deployment,
  set: ReplicaSet,
  revision: number,
  exists: boolean,
): boolean {
  set.metadata.annotations ??= {};
  const annotations = set.metadata.annotations;
  let changed = false;
  for (const [name, value] of Object.entries(deployment.metadata.annotations ?? {})) {
    if (NOT_INHERITED.has(name) || annotations[name] === value) continue;
    annotations[name] = value;
    changed = true;
  }
  const before = annotations[REVISION];
  if ((numberAnnotation(set, REVISION) ?? 0) >= revision) return changed;
  annotations[REVISION] = String(revision);
  if (exists && before !== undefined) {
    const history = annotations[REVISION_HISTORY];
    annotations[REVISION_HISTORY] = history ? `${history},${before}` : before;
  }
  return true;
}

/** ReplicaSets beyond the history limit that nothing runs in any more, oldest revision first. */
export function beyondHistory(deployment: Deployment, old: ReplicaSet[]): ReplicaSet[] {
  const limit = deployment.spec.revisionHistoryLimit ?? 10;
  const alive = old.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const surplus = alive.length - limit;
  if (surplus <= 0) return [];
  return [...alive]
    .sort(
      (a, b) =>
        (numberAnnotation(a, REVISION) ?? 0) - (numberAnnotation(b, REVISION) ?? 0) || byCreation(a, b),
    )
    .slice(0, surplus)
    .filter(
      ({ metadata, spec, status }) =>
        (status?.replicas ?? 0) === 0 &&
        (spec.replicas ?? 1) === 0 &&
        (metadata.generation ?? 0) <= (status?.observedGeneration ?? 0),
    );
}
