import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER } from '../../api/names.ts';
import { UNTRACKED } from '../../kube/untracked.ts';
import { DESIRED, MAX } from '../objects.ts';
import type { EffectContext, EffectOf } from './context.ts';

/** Size and the annotations by which the Deployment controller will know a full ReplicaSet when it adopts it. */
export async function scaleReplicaSet(
  { client, namespace }: EffectContext,
  { name, replicas, desired, max }: EffectOf<'scale-replica-set'>,
  signal: AbortSignal,
): Promise<void> {
  await client.patch(
    kinds.ReplicaSet,
    namespace,
    name,
    {
      type: 'merge',
      body: {
        metadata: { ...UNTRACKED, annotations: { [DESIRED]: String(desired), [MAX]: String(max) } },
        spec: { replicas },
      },
    },
    { fieldManager: FIELD_MANAGER, signal, rank: 'soon' },
  );
}

/**
 * Through the scale subresource, as an HPA would: the field stays the user's. Of the version that was observed: what an HPA has
 * raised higher meanwhile must not be lowered.
 */
export async function raiseScale(
  { client, namespace, spec }: Pick<EffectContext, 'client' | 'namespace' | 'spec'>,
  { replicas, resourceVersion }: EffectOf<'raise-scale'>,
  signal: AbortSignal,
): Promise<void> {
  await client.patch(
    kinds.Deployment,
    namespace,
    spec.targetRef.name,
    { type: 'merge', body: { metadata: { resourceVersion }, spec: { replicas } } },
    { fieldManager: FIELD_MANAGER, subresource: 'scale', signal },
  );
}
