import { kinds } from '../../api/kinds.ts';
import { annotations } from '../../api/names.ts';
import type { Rollout } from '../../api/rollout.ts';
import type { EffectContext, EffectOf } from './context.ts';

/** Takes a command's annotation away, unless a newer command stands there by now. */
export async function consume(
  { client, namespace, rollout }: EffectContext,
  { verb, id }: EffectOf<'consume'>,
  signal: AbortSignal,
): Promise<void> {
  const annotation = annotations[verb];
  const live = await client.find<Rollout & { [field: string]: unknown }>(
    kinds.Rollout,
    namespace,
    rollout.metadata.name,
    signal,
  );
  const text = live?.metadata.annotations?.[annotation];
  if (text === undefined || !(text === id || text.includes(JSON.stringify(id)))) return;
  await client.patch(
    kinds.Rollout,
    namespace,
    rollout.metadata.name,
    {
      type: 'merge',
      body: {
        metadata: { resourceVersion: live!.metadata.resourceVersion, annotations: { [annotation]: null } },
      },
    },
    { fieldManager: 'weir-cli', signal },
  );
}
