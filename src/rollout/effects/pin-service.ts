import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER, labels } from '../../api/names.ts';
import type { EffectContext, EffectOf } from './context.ts';

/**
 * The selector key and the gate's record of it. When pinning the record comes first, so that no write by others slips
 * between; when unpinning it goes first, so that admission does not put the key back.
 */
export async function pinService(
  { client, namespace, pins, service: seen }: EffectContext,
  { service: name, hash }: EffectOf<'pin-service'>,
  signal: AbortSignal,
): Promise<void> {
  const service = await seen(name, signal);
  if (!service && hash !== undefined) return;
  const { [labels.podTemplateHash]: present, ...selector } = service?.spec.selector ?? {};
  const record = [
    hash,
    ...Object.entries(selector)
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
  ].join('|');
  await pins.write(namespace, { [`pin.${name}`]: hash === undefined ? null : record }, signal);
  if (!service || present === hash) return;
  await client.patch(
    kinds.Service,
    namespace,
    name,
    {
      type: 'merge',
      body: {
        metadata: { resourceVersion: service.metadata.resourceVersion },
        spec: { selector: { [labels.podTemplateHash]: hash ?? null } },
      },
    },
    { fieldManager: FIELD_MANAGER, signal },
  );
}
