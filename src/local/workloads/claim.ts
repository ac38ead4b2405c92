import type { LabelSelector } from '../../api/label-selector.ts';
import type { KubeObject, ResourceKind } from '../../api/meta.ts';
import type { KubeClient } from '../../kube/types.ts';
import { lostRace } from './context.ts';
import { claim, controllerRef } from './owners.ts';

/**
 * Adopts and releases on the API server and answers what the owner owns afterwards. The owner is read live before an
 * adoption: a cache may not know yet that it was deleted, or re-created under the same name.
 */
export async function claimObjects<T extends KubeObject>(options: {
  client: KubeClient;
  ownerKind: ResourceKind;
  owner: KubeObject;
  selector: LabelSelector;
  kind: ResourceKind;
  candidates: T[];
}): Promise<T[]> {
  const { client, ownerKind, owner, selector, kind, candidates } = options;
  const { owned, adopt, release } = claim(owner, selector, candidates);
  const patch = async (object: T, ownerReferences: unknown[]): Promise<T | undefined> => {
    const { name, namespace, uid, resourceVersion } = object.metadata;
    try {
      return await client.patch<T>(kind, namespace, name, {
        type: 'merge',
        body: { metadata: { uid, resourceVersion, ownerReferences } },
      });
    } catch (thrown) {
      if (lostRace(thrown)) return undefined;
      throw thrown;
    }
  };
  const result = [...owned];
  if (adopt.length > 0) {
    const { namespace, name } = owner.metadata;
    const live = await client.find(ownerKind, namespace, name);
    const same = live?.metadata.uid === owner.metadata.uid && !live?.metadata.deletionTimestamp;
    for (const object of same ? adopt : []) {
      const references = [...(object.metadata.ownerReferences ?? []), controllerRef(ownerKind, owner)];
      // One object may name the same owner only once; a plain reference becomes the controlling one.
      const unique = references.filter(
        (reference, index) =>
          reference.controller || !references.slice(index + 1).some(({ uid }) => uid === reference.uid),
      );
      const adopted = await patch(object, unique);
      if (adopted) result.push(adopted);
    }
  }
  for (const object of release) {
    await patch(
      object,
      (object.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner.metadata.uid),
    );
  }
  return result;
}
