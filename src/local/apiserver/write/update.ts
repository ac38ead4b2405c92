import type { KubeObject } from '../../../api/meta.ts';
import { applyConfiguration } from '../apply/apply.ts';
import { checkDeclared } from '../apply/declared.ts';
import { entriesOf, setEntries, trackUpdate } from '../apply/managers.ts';
import type { ServerContext } from '../context.ts';
import { setDefaults } from '../defaults/index.ts';
import { badRequest, conflict, MODIFIED, notFound, StatusError } from '../errors.ts';
import type { ResourceRequest } from '../http/request.ts';
import { asJson, asObject, clone, isObject, type Json, type JsonObject } from '../json.ts';
import { groupVersionOf } from '../kinds.ts';
import { applyJsonPatch, type Operation } from '../patch/json-patch.ts';
import { applyMergePatch } from '../patch/merge.ts';
import { applyStrategicPatch } from '../patch/strategic.ts';
import type { Stored } from '../storage/store.ts';
import { validate } from '../validate.ts';
import { commitUpdate, resourceOf } from './commit.ts';
import { createObject, isDryRun, managerOf } from './create.ts';
import { bumpGeneration, checkFields, decode, establish, prepareUpdate } from './prepare.ts';

const ATTEMPTS = 5;

/** Another request won while webhooks were asked. */
class LostRace extends Error {}

/** PUT of an object or its status. */
export async function replace(context: ServerContext, request: ResourceRequest): Promise<KubeObject> {
  const body = decode(await request.body(), request);
  return retry(context, request, async (before) => {
    const next = clone(body);
    requireRevision(request, next.metadata.resourceVersion, next.metadata.uid, before);
    return finish(context, request, next, before, () => {
      setEntries(next, entriesOf(before.object));
      trackUpdate(before.object, next, request.served, managerOf(request, 'Update', context));
    });
  });
}

/** PATCH in one of its four forms. */
export async function patch(context: ServerContext, request: ResourceRequest): Promise<KubeObject> {
  const { served, contentType, query, warnings } = request;
  const body = (await request.body()) as Json;
  if (contentType === 'application/apply-patch+yaml' || contentType === 'application/apply-patch+json')
    return apply(context, request, body);
  return retry(context, request, async (before) => {
    const base = asJson(versioned(before.object, request));
    const patched = patchWith(contentType, base, body, request) as JsonObject;
    checkFields(patched, served, query.get('fieldValidation') ?? 'Ignore', warnings);
    const next = asObject(patched);
    next.metadata ??= { name: request.name };
    const { resourceVersion, uid } = next.metadata;
    requireRevision(
      request,
      resourceVersion === before.object.metadata.resourceVersion ? undefined : resourceVersion,
      uid,
      before,
    );
    if (next.metadata.name !== request.name) throw badRequest('metadata.name may not be changed');
    return finish(context, request, next, before, () => {
      setEntries(next, entriesOf(before.object));
      trackUpdate(before.object, next, served, managerOf(request, 'Update', context));
    });
  });
}

function patchWith(contentType: string, base: JsonObject, body: Json, { served }: ResourceRequest): Json {
  switch (contentType) {
    case 'application/json-patch+json':
      return applyJsonPatch(base, body as unknown as Operation[]);
    case 'application/merge-patch+json':
      return applyMergePatch(clone(base), body);
    case 'application/strategic-merge-patch+json':
      if (served.builtin) return applyStrategicPatch(clone(base), body, served.schema);
      throw unsupported(contentType);
    default:
      throw unsupported(contentType);
  }
}

const unsupported = (contentType: string): StatusError =>
  new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml (got ${contentType})`,
  );

async function apply(context: ServerContext, request: ResourceRequest, body: Json): Promise<KubeObject> {
  const { served, namespace, name, query, subresource } = request;
  const force = query.get('force') === 'true';
  if (!query.get('fieldManager'))
    throw badRequest(
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  if (isObject(body)) checkDeclared(body, served, namespace ?? '', name);
  const configuration = decode(clone(body), request);
  if (configuration.metadata.managedFields?.length) throw badRequest('metadata.managedFields must be nil');
  const manager = managerOf(request, 'Apply', context);
  if (!context.store.get(served.storage, namespace, name)) {
    if (subresource) throw notFound(resourceOf(served), name);
    const created = applyConfiguration(undefined, configuration, served, manager, force);
    const entries = entriesOf(created);
    return createObject(context, request, created, (object) => setEntries(object, entries));
  }
  return retry(context, request, async (before) => {
    requireRevision(request, configuration.metadata.resourceVersion, configuration.metadata.uid, before);
    const next = applyConfiguration(
      versioned(before.object, request),
      clone(configuration),
      served,
      manager,
      force,
    );
    return finish(context, request, next, before, () => {});
  });
}

/** All versions of a kind share their stored form; only the name of the version differs. */
export function versioned(object: KubeObject, { served }: Pick<ResourceRequest, 'served'>): KubeObject {
  const apiVersion = groupVersionOf(served);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

function requireRevision(
  request: ResourceRequest,
  revision: string | undefined,
  uid: string | undefined,
  before: Stored,
): void {
  const { metadata } = before.object;
  const on = resourceOf(request.served);
  if (uid && uid !== metadata.uid)
    throw conflict(
      on,
      request.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid}`,
    );
  if (revision && revision !== metadata.resourceVersion) throw conflict(on, request.name, MODIFIED);
}

async function retry(
  context: ServerContext,
  request: ResourceRequest,
  attempt: (before: Stored) => Promise<KubeObject>,
): Promise<KubeObject> {
  const { served, namespace, name } = request;
  for (let tries = 1; ; tries += 1) {
    const before = context.store.get(served.storage, namespace, name);
    if (!before) throw notFound(resourceOf(served), name);
    try {
      return await attempt(before);
    } catch (error) {
      if (!(error instanceof LostRace)) throw error;
      if (tries === ATTEMPTS) throw conflict(resourceOf(served), name, MODIFIED);
    }
  }
}

/** Defaulting, ownership, admission, validation and the write itself. */
async function finish(
  context: ServerContext,
  request: ResourceRequest,
  next: KubeObject,
  before: Stored,
  own: () => void,
): Promise<KubeObject> {
  const { served, namespace, name, subresource, user, warnings, query } = request;
  const dryRun = isDryRun(query);
  const old = versioned(before.object, request);
  prepareUpdate(next, old, served, subresource);
  setDefaults(next, served);
  own();
  const entries = entriesOf(next);
  const attributes = {
    served,
    subresource,
    operation: 'UPDATE' as const,
    name,
    namespace,
    oldObject: old,
    dryRun,
  };
  const admitted = (await context.webhooks.mutate({ ...attributes, object: next }, user, warnings)) ?? next;
  setEntries(admitted, entries);
  if (admitted !== next) {
    prepareUpdate(admitted, old, served, subresource);
    setDefaults(admitted, served);
  }
  if (served.kind === 'CustomResourceDefinition' && served.builtin) establish(admitted, context);
  bumpGeneration(admitted, old, served);
  admitted.metadata.resourceVersion = before.object.metadata.resourceVersion;
  if (subresource !== 'status' || !served.builtin) validate(admitted, old, served);
  await context.webhooks.validate({ ...attributes, object: admitted }, user, warnings);
  if (context.store.get(served.storage, namespace, name) !== before) throw new LostRace();
  if (dryRun) return admitted;
  return versioned(commitUpdate(context, served, admitted, before).object, request);
}
