import { type LabelSelector, matchesLabels } from '../../api/label-selector.ts';
import { apiVersionOf, type KubeObject, type OwnerReference, type ResourceKind } from '../../api/meta.ts';

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find(({ controller }) => controller === true);
}

export function controllerRef(kind: ResourceKind, owner: KubeObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid!,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export interface Claim<T> {
  owned: T[];
  /** Orphans that match the selector: they get the controllerRef, under their uid and resourceVersion. */
  adopt: T[];
  /** Owned objects whose labels stopped matching: they lose the controllerRef. */
  release: T[];
}

/** Which of the candidates belong to the owner (upstream's ControllerRefManager.ClaimObject). */
export function claim<T extends KubeObject>(
  owner: KubeObject,
  selector: LabelSelector | undefined,
  candidates: T[],
): Claim<T> {
  const result: Claim<T> = { owned: [], adopt: [], release: [] };
  const leaving = owner.metadata.deletionTimestamp !== undefined;
  for (const candidate of candidates) {
    const ref = controllerOf(candidate);
    const match = matchesLabels(selector, candidate.metadata.labels);
    if (ref) {
      if (ref.uid !== owner.metadata.uid) continue;
      if (match) result.owned.push(candidate);
      // An owner on its way out leaves releasing to the garbage collector's orphan policy.
      else if (!leaving) result.release.push(candidate);
    } else if (match && !leaving && candidate.metadata.deletionTimestamp === undefined)
      result.adopt.push(candidate);
  }
  return result;
}
