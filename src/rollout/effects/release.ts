import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER, labels } from '../../api/names.ts';
import { AppError } from '../../lib/errors.ts';
import { templateDigest } from '../digest.ts';
import type { Deployment } from '../objects.ts';
import type { EffectContext, EffectOf } from './context.ts';

/**
 * The point of no return: with the selector's labels the Deployment controller adopts the ReplicaSet and scales the old
 * one to 0. The Deployment is read live and must be what was observed; the write carries the version of the ReplicaSet on
 * which its template was compared.
 */
export async function release(
  { client, namespace, spec }: EffectContext,
  { name, resourceVersion, digest, hash, deploymentVersion }: EffectOf<'release'>,
  signal: AbortSignal,
): Promise<void> {
  const deployment = await client.get<Deployment>(kinds.Deployment, namespace, spec.targetRef.name, signal);
  const same =
    deployment.metadata.resourceVersion === deploymentVersion &&
    deployment.spec.paused === true &&
    templateDigest(deployment.spec.template) === digest;
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
            ...deployment.spec.template.metadata?.labels,
            [labels.podTemplateHash]: hash,
          },
        },
      },
    },
    { fieldManager: FIELD_MANAGER, signal },
  );
}
