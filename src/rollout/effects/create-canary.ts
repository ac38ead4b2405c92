import { kinds } from '../../api/kinds.ts';
import { annotations, FIELD_MANAGER, labels } from '../../api/names.ts';
import { AppError, isCode } from '../../lib/errors.ts';
import type { HeldDeployment } from '../cached.ts';
import { DESIRED, MAX, type ReplicaSet } from '../objects.ts';
import { canaryLabels } from '../observe.ts';
import type { EffectContext, EffectOf } from './context.ts';

/** The ReplicaSet that runs what the gate holds: raw copy of the template, invisible to the Deployment, no pods yet. */
export function canaryReplicaSet(
  { metadata, spec }: HeldDeployment,
  rollout: string,
  { run, replicas, surge }: EffectOf<'create-canary'>,
): ReplicaSet {
  const { template, selector, minReadySeconds } = spec;
  const hash = { [labels.podTemplateHash]: run.hash };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: run.replicaSet,
      namespace: metadata.namespace!,
      labels: canaryLabels(rollout),
      annotations: {
        [annotations.digest]: run.digest,
        [DESIRED]: String(replicas),
        [MAX]: String(replicas + surge),
      },
      // The Deployment's, not the Rollout's: deleting a Rollout must neither kill the pods nor let them be adopted.
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          name: metadata.name,
          uid: metadata.uid!,
        },
      ],
    },
    spec: {
      replicas: 0,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, ...hash } },
      template: {
        ...template,
        metadata: { ...template.metadata, labels: { ...template.metadata?.labels, ...hash } },
      },
    },
  };
}

export async function createCanary(
  { client, rollout, deployment }: EffectContext,
  effect: EffectOf<'create-canary'>,
  signal: AbortSignal,
): Promise<void> {
  const seen = deployment();
  if (!seen?.held || seen.view.digest !== effect.run.digest) {
    throw new AppError('Conflict', 'the Deployment has another template by now: it is looked at again');
  }
  const canary = canaryReplicaSet(seen.held, rollout.metadata.name, effect);
  try {
    await client.create(kinds.ReplicaSet, canary, { fieldManager: FIELD_MANAGER, signal });
  } catch (error) {
    // The name is the run's own: it was created before a crash.
    if (!isCode(error, 'AlreadyExists')) throw error;
  }
}
