import { kinds } from '../../api/kinds.ts';
import { isCode } from '../../lib/errors.ts';
import type { EffectContext, EffectOf } from './context.ts';

/** Exactly the one that was looked at: a conflict means looking again. */
export async function deleteReplicaSet(
  { client, namespace }: EffectContext,
  { name, uid, resourceVersion }: EffectOf<'delete-replica-set'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.delete(kinds.ReplicaSet, namespace, name, {
      propagationPolicy: 'Background',
      preconditions: { uid, resourceVersion },
      signal,
    });
  } catch (error) {
    if (!isCode(error, 'NotFound')) throw error;
  }
}
