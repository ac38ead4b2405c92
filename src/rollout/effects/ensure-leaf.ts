import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER, labels } from '../../api/names.ts';
import { UNTRACKED } from '../../kube/untracked.ts';
import { AppError, isCode } from '../../lib/errors.ts';
import type { CachedService } from '../cached.ts';
import type { Service } from '../objects.ts';
import type { EffectContext, EffectOf } from './context.ts';

/**
 * A leaf Service has the root's ports and selector, and the hash of the revision it stands for while a run lasts. Those of the
 * route are headless: the mesh reads their endpoints, and an address for each would use up the cluster's range and, by far,
 * the most of what an API server does for a Rollout. A preview is called by name, and has one.
 */
export async function ensureLeaf(
  context: EffectContext,
  { service: name, role, hash }: EffectOf<'ensure-leaf'>,
  signal: AbortSignal,
): Promise<void> {
  const { client, namespace, rollout, spec } = context;
  const root = await context.service(spec.service.name, signal);
  // Gone since it was observed: the machine says so next.
  if (!root) return;
  const wanted = leafSpec(root, hash);
  const marks = { [labels.rollout]: rollout.metadata.name, [labels.role]: role };
  const options = { fieldManager: FIELD_MANAGER, signal };
  const existing = await context.service(name, signal);
  if (existing) return patchLeaf(context, existing, role, marks, wanted, signal);
  const service: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      namespace,
      labels: { ...marks, [labels.managedBy]: 'weir' },
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
    spec: role === 'preview' ? wanted : { ...wanted, clusterIP: 'None' },
  };
  try {
    await client.create(kinds.Service, service, options);
  } catch (error) {
    if (!isCode(error, 'AlreadyExists')) throw error;
    const live = await client.get<CachedService>(kinds.Service, namespace, name, signal);
    await patchLeaf(context, live, role, marks, wanted, signal);
  }
}

function leafSpec(
  root: CachedService,
  hash: string | undefined,
): Pick<Service['spec'], 'selector' | 'ports'> {
  const { [labels.podTemplateHash]: _pin, ...base } = root.spec.selector ?? {};
  return {
    selector: hash === undefined ? base : { ...base, [labels.podTemplateHash]: hash },
    ports: (root.spec.ports ?? []).map(({ name: port, port: number, targetPort, protocol, appProtocol }) => ({
      ...(port ? { name: port } : {}),
      port: number,
      targetPort: targetPort ?? number,
      protocol: protocol ?? 'TCP',
      ...(appProtocol ? { appProtocol } : {}),
    })),
  };
}

async function patchLeaf(
  { client, namespace }: EffectContext,
  existing: Pick<CachedService, 'metadata'>,
  role: string,
  marks: Record<string, string>,
  { selector, ports }: ReturnType<typeof leafSpec>,
  signal: AbortSignal,
): Promise<void> {
  const { name, resourceVersion, labels: marked } = existing.metadata;
  if (marked?.[labels.managedBy] !== 'weir') {
    throw new AppError(
      'Invalid',
      `Service ${name} exists and is not Weir's: Weir needs this name for the ${role} pods; rename yours`,
      { retryable: true },
    );
  }
  const body = [
    // Of the version that was observed, or a Conflict.
    { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
    { op: 'add', path: '/metadata/managedFields', value: UNTRACKED.managedFields },
    { op: 'add', path: '/metadata/labels', value: { ...marked, ...marks } },
    { op: 'replace', path: '/spec/selector', value: selector },
    { op: 'replace', path: '/spec/ports', value: ports },
  ];
  await client.patch(
    kinds.Service,
    namespace,
    name,
    { type: 'json', body },
    { fieldManager: FIELD_MANAGER, signal },
  );
}
