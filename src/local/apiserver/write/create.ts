import type { KubeObject } from '../../../api/meta.ts';
import { entriesOf, type Manager, setEntries, trackUpdate } from '../apply/managers.ts';
import { type ServerContext, timestamp } from '../context.ts';
import { setDefaults } from '../defaults/index.ts';
import { alreadyExists, badRequest } from '../errors.ts';
import { managerName, type ResourceRequest } from '../http/request.ts';
import { groupVersionOf } from '../kinds.ts';
import { validate } from '../validate.ts';
import { checkNamespace, resourceOf } from './commit.ts';
import { completeCreate, decode, prepareCreate } from './prepare.ts';

export const isDryRun = (query: URLSearchParams): boolean => query.getAll('dryRun').includes('All');

export function managerOf(
  request: ResourceRequest,
  operation: 'Apply' | 'Update',
  context: ServerContext,
): Manager {
  return {
    name: managerName(request),
    operation,
    subresource: request.subresource || undefined,
    apiVersion: groupVersionOf(request.served),
    time: timestamp(context.now()),
  };
}

/** POST of a new object. */
export async function create(context: ServerContext, request: ResourceRequest): Promise<KubeObject> {
  const object = decode(await request.body(), request);
  if (object.metadata.resourceVersion)
    throw badRequest('resourceVersion should not be set on objects to be created');
  return createObject(context, request, object, (prepared) => {
    setEntries(prepared, []);
    trackUpdate(undefined, prepared, request.served, managerOf(request, 'Update', context));
  });
}

/** The rest of a creation, shared with apply: `own` records who owns the fields, before admission adds others. */
export async function createObject(
  context: ServerContext,
  request: ResourceRequest,
  object: KubeObject,
  own: (object: KubeObject) => void,
): Promise<KubeObject> {
  const { served, namespace, user, query, warnings } = request;
  const dryRun = isDryRun(query);
  prepareCreate(object, served, context);
  const { name } = object.metadata;
  checkNamespace(context, served, namespace, name ?? '');
  setDefaults(object, served);
  own(object);
  const entries = entriesOf(object);
  if (name && context.store.get(served.storage, namespace, name))
    throw alreadyExists(resourceOf(served), name);
  const attributes = {
    served,
    subresource: '',
    operation: 'CREATE' as const,
    name: name ?? '',
    namespace,
    oldObject: undefined,
    dryRun,
  };
  // Addresses and the like are there when webhooks look, as the real server's plug-ins run before them for pods.
  if (served.group === '' && served.kind === 'Pod') completeCreate(object, served, context);
  const admitted = (await context.webhooks.mutate({ ...attributes, object }, user, warnings)) ?? object;
  setEntries(admitted, entries);
  setDefaults(admitted, served);
  if (!(served.group === '' && served.kind === 'Pod')) completeCreate(admitted, served, context);
  validate(admitted, undefined, served);
  await context.webhooks.validate({ ...attributes, object: admitted }, user, warnings);
  if (context.store.get(served.storage, namespace, admitted.metadata.name))
    throw alreadyExists(resourceOf(served), admitted.metadata.name);
  if (dryRun) return admitted;
  return context.store.write(served.storage, admitted).object;
}
