import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER, labels } from '../../api/names.ts';
import { AppError } from '../../lib/errors.ts';
import { templateDigest } from '../digest.ts';
import type { Deployment, ReplicaSet } from '../objects.ts';
import type { EffectContext, EffectOf } from './context.ts';

/**
 * The point of no return: with the selector's labels the Deployment controller adopts the ReplicaSet and scales the old
 * one to 0. Both objects are read live and must be what was observed; the write carries the ReplicaSet's version.
 */
export async function release(
  { client, namespace, spec }: EffectContext,
  { name, resourceVersion, digest, deploymentVersion }: EffectOf<'release'>,
  signal: AbortSignal,
): Promise<void> {
  const [deployment, set] = await Promise.all([
    client.get<Deployment>(kinds.Deployment, namespace, spec.targetRef.name, signal),
    client.get<ReplicaSet>(kinds.ReplicaSet, namespace, name, signal),
  ]);
  const same =
    deployment.metadata.resourceVersion === deploymentVersion &&
    set.metadata.resourceVersion === resourceVersion &&
    deployment.spec.paused === true &&
    templateDigest(deployment.spec.template) === digest &&
    templateDigest(set.spec.template) === digest;
  if (!same) throw new AppError('Conflict', 'the world moved before the release: it is looked at again');
  await client.patch(
    kinds.ReplicaSet,
    namespace,
    name,
    {
      type: 'merge',
      body: {
        metadata: {
          resourceVersion,
          labels: {
            [labels.rollout]: null,
            [labels.role]: null,
            [labels.managedBy]: null,
            ...set.spec.template.metadata?.labels,
          },
        },
      },
    },
    { fieldManager: FIELD_MANAGER, signal },
  );
}
