import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER } from '../../api/names.ts';
import { AppError } from '../../lib/errors.ts';
import { templateDigest } from '../digest.ts';
import type { Deployment } from '../objects.ts';
import type { EffectContext, EffectOf } from './context.ts';

/**
 * Carries the version on which the template was compared: an unconditional unpause once let the next revision out. Reads
 * back what it wrote: under a wrong user name the API server answers 200 and the gate stays shut.
 */
export async function setPaused(
  { client, namespace, spec }: EffectContext,
  { paused, resourceVersion, digest }: EffectOf<'set-paused'>,
  signal: AbortSignal,
): Promise<void> {
  const written = await client.patch<Deployment>(
    kinds.Deployment,
    namespace,
    spec.targetRef.name,
    { type: 'merge', body: { metadata: { resourceVersion }, spec: { paused: paused ? true : null } } },
    { fieldManager: FIELD_MANAGER, signal },
  );
  if ((written.spec.paused === true) !== paused) {
    throw new AppError(
      'Forbidden',
      `Deployment ${spec.targetRef.name} stayed ${paused ? 'unpaused' : 'paused'} although the server accepted the change: Weir does not act as the user that the gate knows; reinstall with the right --namespace and ServiceAccount`,
      { retryable: true },
    );
  }
  if (templateDigest(written.spec.template) !== digest) {
    throw new AppError('Conflict', 'the template changed together with the unpause: it is looked at again');
  }
}
