import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER, GATE_CONFIG_MAP, labels } from '../../api/names.ts';
import type { KubeClient } from '../../kube/types.ts';
import { isCode } from '../../lib/errors.ts';
import type { EffectContext } from './context.ts';

/** Writes keys of the namespace's gate; null removes one. Rollouts of a namespace share the ConfigMap: keys only. */
export async function writeGate(
  client: KubeClient,
  namespace: string,
  data: Record<string, string | null>,
  signal: AbortSignal,
): Promise<void> {
  const options = { fieldManager: FIELD_MANAGER, signal };
  for (let attempt = 0; ; attempt += 1) {
    try {
      await client.patch(
        kinds.ConfigMap,
        namespace,
        GATE_CONFIG_MAP,
        { type: 'merge', body: { data } },
        options,
      );
      return;
    } catch (error) {
      if (!isCode(error, 'NotFound') || attempt > 2) throw error;
    }
    const kept = Object.fromEntries(
      Object.entries(data).filter((entry): entry is [string, string] => entry[1] !== null),
    );
    if (Object.keys(kept).length === 0) return;
    try {
      await client.create(
        kinds.ConfigMap,
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: {
            name: GATE_CONFIG_MAP,
            namespace,
            labels: { [labels.managedBy]: 'weir', 'app.kubernetes.io/part-of': 'weir' },
          },
          data: kept,
        },
        options,
      );
      return;
    } catch (error) {
      if (!isCode(error, 'AlreadyExists')) throw error;
    }
  }
}

export const ensureGateEntry = (context: EffectContext, signal: AbortSignal) =>
  writeGate(
    context.client,
    context.namespace,
    { [`deployment.${context.spec.targetRef.name}`]: context.rollout.metadata.name },
    signal,
  );
