import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER, labels } from '../../api/names.ts';
import { AppError } from '../../lib/errors.ts';
import type { Service } from '../objects.ts';
import type { EffectContext, EffectOf } from './context.ts';

/** A leaf Service has the root's ports and selector, and the hash of the revision it stands for while a run lasts. */
export async function ensureLeaf(
  { client, namespace, rollout, spec }: EffectContext,
  { service: name, role, hash }: EffectOf<'ensure-leaf'>,
  signal: AbortSignal,
): Promise<void> {
  const root = await client.get<Service>(kinds.Service, namespace, spec.service.name, signal);
  const { [labels.podTemplateHash]: _pin, ...base } = root.spec.selector ?? {};
  const selector = hash === undefined ? base : { ...base, [labels.podTemplateHash]: hash };
  const ports = (root.spec.ports ?? []).map(
    ({ name: port, port: number, targetPort, protocol, appProtocol }) => ({
      ...(port ? { name: port } : {}),
      port: number,
      targetPort: targetPort ?? number,
      protocol: protocol ?? 'TCP',
      ...(appProtocol ? { appProtocol } : {}),
    }),
  );
  const existing = await client.find<Service>(kinds.Service, namespace, name, signal);
  const options = { fieldManager: FIELD_MANAGER, signal };
  if (!existing) {
    const service: Service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name,
        namespace,
        labels: {
          [labels.rollout]: rollout.metadata.name,
          [labels.role]: role,
          [labels.managedBy]: 'weir',
        },
        ownerReferences: [
          {
            apiVersion: rollout.apiVersion,
            kind: 'Rollout',
            name: rollout.metadata.name,
            uid: rollout.metadata.uid!,
            controller: true,
          },
        ],
      },
      spec: { selector, ports },
    };
    await client.create(kinds.Service, service, options);
    return;
  }
  if (existing.metadata.labels?.[labels.managedBy] !== 'weir') {
    throw new AppError(
      'Invalid',
      `Service ${name} exists and is not Weir's: Weir needs this name for the ${role} pods; rename yours`,
      { retryable: true },
    );
  }
  await client.patch(
    kinds.Service,
    namespace,
    name,
    {
      type: 'json',
      body: [
        {
          op: 'add',
          path: '/metadata/labels',
          value: {
            ...existing.metadata.labels,
            [labels.rollout]: rollout.metadata.name,
            [labels.role]: role,
          },
        },
        { op: 'replace', path: '/spec/selector', value: selector },
        { op: 'replace', path: '/spec/ports', value: ports },
      ],
    },
    options,
  );
}
