import { randomBytes, randomUUID } from 'node:crypto';
import type { KubeObject } from '../../../api/meta.ts';
import { sameJson } from '../../../lib/same-json.ts';
import { type ServerContext, timestamp } from '../context.ts';
import { prune } from '../crd/structural.ts';
import { admitPod, setDefault } from '../defaults/pod.ts';
import { badRequest } from '../errors.ts';
import type { ResourceRequest } from '../http/request.ts';
import { asJson, isObject, type JsonObject } from '../json.ts';
import { groupVersionOf, type Served } from '../kinds.ts';

const SUFFIX = 'bcdfghjklmnpqrstvwxz2456789';

export function generateName(prefix: string): string {
  return prefix + [...randomBytes(5)].map((byte) => SUFFIX[byte % SUFFIX.length]).join('');
}

/** Checks that a body is an object of the kind that the URL names, and cuts unknown fields as fieldValidation asks. */
export function decode(body: unknown, request: ResourceRequest): KubeObject {
  const { served, namespace, name, query, warnings } = request;
  if (!isObject(body)) throw badRequest('the body is not an object: send the manifest as JSON or YAML');
  const expected = groupVersionOf(served);
  body.apiVersion ??= expected;
  body.kind ??= served.kind;
  if (body.apiVersion !== expected || body.kind !== served.kind)
    throw badRequest(
      `${String(body.kind)} in version "${String(body.apiVersion)}" cannot be handled as a ${served.kind}: no kind "${String(body.kind)}" is registered for version "${expected}"`,
    );
  if (!isObject(body.metadata)) body.metadata = {};
  const metadata = body.metadata;
  if (served.namespaced) {
    if (metadata.namespace !== undefined && metadata.namespace !== namespace)
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    metadata.namespace = namespace;
  } else delete metadata.namespace;
  if (name) {
    if (metadata.name !== undefined && metadata.name !== name)
      throw badRequest(
        `the name of the object (${String(metadata.name)}) does not match the name on the URL (${name})`,
      );
    metadata.name = name;
  }
  checkFields(body, served, query.get('fieldValidation') ?? (served.builtin ? 'Ignore' : 'Warn'), warnings);
  return body as unknown as KubeObject;
}

export function checkFields(body: JsonObject, served: Served, mode: string, warnings: string[]): void {
  const unknown = prune(body, served.schema);
  if (unknown.length === 0 || mode === 'Ignore') return;
  const lines = unknown.map((path) => `unknown field "${path}"`);
  if (mode === 'Strict')
    throw badRequest(
      served.builtin
        ? `${served.kind} in version "${served.version}" cannot be handled as a ${served.kind}: strict decoding error: ${lines.join(', ')}`
        : `strict decoding error: ${lines.join(', ')}`,
    );
  warnings.push(...lines);
}

/** What the server itself decides about a new object. */
export function prepareCreate(object: KubeObject, served: Served, context: ServerContext): void {
  const { metadata } = object;
  if (!metadata.name && typeof metadata.generateName === 'string')
    metadata.name = generateName(metadata.generateName);
  metadata.uid = randomUUID();
  metadata.creationTimestamp = timestamp(context.now());
  delete metadata.resourceVersion;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  const json = asJson(object);
  if (served.status && !(served.group === '' && ['Node', 'Namespace'].includes(served.kind)))
    delete json.status;
  if (hasGeneration(served)) metadata.generation = 1;
  else delete metadata.generation;
}

/** Like prepareCreate, after defaulting: what admission plug-ins and strategies add. */
export function completeCreate(object: KubeObject, served: Served, context: ServerContext): void {
  const json = asJson(object);
  if (served.group === '' && served.kind === 'Pod') admitPod(json);
  if (served.group === '' && served.kind === 'Service') {
    context.addresses.assign(object);
    setDefault(json, 'status', { loadBalancer: {} });
  }
  if (served.builtin && served.status) setDefault(json, 'status', {});
  if (served.kind === 'CustomResourceDefinition') establish(object, context);
}

/** Carries over what a client may not change, isolates status from spec, and counts generations. */
export function prepareUpdate(
  object: KubeObject,
  before: KubeObject,
  served: Served,
  subresource: string,
): void {
  const json = asJson(object);
  const old = asJson(before);
  if (subresource === 'status') {
    const { status } = json;
    const { managedFields, labels, annotations } = object.metadata;
    for (const key of Object.keys(json))
      if (key !== 'metadata' && key !== 'apiVersion' && key !== 'kind') delete json[key];
    for (const [key, value] of Object.entries(old))
      if (!['metadata', 'status', 'apiVersion', 'kind'].includes(key)) json[key] = value;
    if (status !== undefined) json.status = status;
    object.metadata = {
      ...before.metadata,
      managedFields,
      ...(served.builtin ? { labels, annotations } : {}),
    };
  } else if (served.status) {
    if (old.status === undefined) delete json.status;
    else json.status = old.status;
  }
  const { metadata } = object;
  for (const key of [
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
    'generateName',
  ] as const) {
    if (before.metadata[key] === undefined) delete metadata[key];
    else metadata[key] = before.metadata[key] as never;
  }
  delete metadata.selfLink;
  if (served.kind === 'Namespace' && served.group === '' && subresource !== 'finalize') {
    const finalizers = (old.spec as JsonObject | undefined)?.finalizers;
    if (finalizers !== undefined) json.spec = { ...(json.spec as JsonObject), finalizers };
  }
  if (served.kind === 'Service' && served.group === '') keepAddress(json, old);
}

/** An update that leaves the address out keeps the old one. */
function keepAddress(json: JsonObject, old: JsonObject): void {
  const spec = json.spec as JsonObject;
  const before = old.spec as JsonObject;
  if (!isObject(spec) || spec.type === 'ExternalName') return;
  if (!spec.clusterIP && before.clusterIP !== undefined) {
    spec.clusterIP = before.clusterIP;
    if (before.clusterIPs !== undefined) spec.clusterIPs = before.clusterIPs;
  }
}

export function bumpGeneration(object: KubeObject, before: KubeObject, served: Served): void {
  if (!hasGeneration(served)) return;
  const bare = (each: KubeObject): JsonObject => {
    const { metadata: _metadata, status, ...rest } = asJson(each);
    return served.status || status === undefined ? rest : { ...rest, status };
  };
  const changed = !sameJson(bare(object), bare(before));
  object.metadata.generation = (before.metadata.generation ?? 1) + (changed ? 1 : 0);
}

const UNCOUNTED = new Set([
  'Namespace',
  'Node',
  'Service',
  'ConfigMap',
  'Secret',
  'ServiceAccount',
  'Event',
  'Endpoints',
  'Lease',
  'Role',
  'RoleBinding',
  'ClusterRole',
  'ClusterRoleBinding',
  'ControllerRevision',
]);
const hasGeneration = (served: Served): boolean => !served.builtin || !UNCOUNTED.has(served.kind);

/** A CRD is served as soon as it is stored, so its conditions say so at once. */
export function establish(crd: KubeObject, context: ServerContext): void {
  const spec = crd.spec as { names: JsonObject; versions: { name: string; storage: boolean }[] };
  const at = timestamp(context.now());
  const old = (crd.status ?? {}) as { conditions?: unknown; storedVersions?: string[] };
  const condition = (type: string, reason: string, message: string) => ({
    type,
    status: 'True',
    reason,
    message,
    lastTransitionTime: at,
  });
  const storage = spec.versions.filter((version) => version.storage).map(({ name }) => name);
  crd.status = {
    conditions: old.conditions ?? [
      condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
      condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
    ],
    acceptedNames: spec.names,
    storedVersions: [...new Set([...(old.storedVersions ?? []), ...storage])],
  };
}
