import { type LabelSelector, matchesLabels } from '../../api/label-selector.ts';
import type { KubeObject } from '../../api/meta.ts';
import type { ServerContext } from './context.ts';
import { badRequest, conflict, MODIFIED, noSuchPath, notFound, StatusError } from './errors.ts';
import type { ResourceRequest } from './http/request.ts';
import { at, clone, isObject, type Json, type JsonObject } from './json.ts';
import { applyJsonPatch, type Operation } from './patch/json-patch.ts';
import { applyMergePatch } from './patch/merge.ts';
import { jsonPath } from './table/jsonpath.ts';
import { resourceOf } from './write/commit.ts';
import { deleteOptions, deleteStored } from './write/delete.ts';
import { patch, versioned } from './write/update.ts';

const keysOf = (path: string): string[] => path.replace(/^\./, '').split('.');

function selectorText(selector: Json | undefined): string {
  if (typeof selector === 'string') return selector;
  if (!isObject(selector)) return '';
  const labels = Object.entries(
    (isObject(selector.matchLabels) ? selector.matchLabels : {}) as Record<string, string>,
  ).map(([key, value]) => `${key}=${value}`);
  const expressions = (
    Array.isArray(selector.matchExpressions) ? (selector.matchExpressions as JsonObject[]) : []
  ).map(({ key, operator, values }) => {
    const list = Array.isArray(values) ? values.join(',') : '';
    return operator === 'Exists'
      ? String(key)
      : operator === 'DoesNotExist'
        ? `!${String(key)}`
        : `${String(key)} ${String(operator).toLowerCase()} (${list})`;
  });
  return [...labels, ...expressions].join(',');
}

function scaleOf(object: KubeObject, { served }: ResourceRequest): object {
  const { spec, status, selector } = served.scale!;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: jsonPath(object, spec) ?? 0 },
    status: {
      replicas: jsonPath(object, status) ?? 0,
      ...(selector
        ? {
            selector: selectorText(
              served.builtin ? at(object, 'spec', 'selector') : jsonPath(object, selector),
            ),
          }
        : {}),
    },
  };
}

/** GET, PUT and PATCH of /scale: a view of two numbers, written through as a patch of the object. */
export async function scale(context: ServerContext, request: ResourceRequest): Promise<object> {
  const { served, namespace, name, method, contentType } = request;
  if (!served.scale) throw noSuchPath();
  const stored = context.store.get(served.storage, namespace, name);
  if (!stored) throw notFound(resourceOf(served), name);
  const current = scaleOf(stored.object, request);
  if (method === 'GET') return current;
  const body = (await request.body()) as Json;
  const wanted =
    method === 'PUT'
      ? body
      : contentType.startsWith('application/json-patch')
        ? applyJsonPatch(clone(current) as Json, body as unknown as Operation[])
        : applyMergePatch(clone(current) as Json, body);
  const replicas = at(wanted, 'spec', 'replicas') ?? 0;
  if (typeof replicas !== 'number' || replicas < 0)
    throw badRequest(`spec.replicas must be a number of at least 0, not ${JSON.stringify(replicas)}`);
  const revision = at(wanted, 'metadata', 'resourceVersion');
  if (revision && revision !== stored.object.metadata.resourceVersion)
    throw conflict(resourceOf(served), name, MODIFIED);
  const change = keysOf(served.scale.spec).reduceRight<Json>((inner, key) => ({ [key]: inner }), replicas);
  const object = await patch(context, {
    ...request,
    contentType: 'application/merge-patch+json',
    body: async () => change,
  });
  return scaleOf(versioned(object, request), request);
}

/** POST pods/NAME/eviction: a delete that PodDisruptionBudgets may refuse. */
export async function evict(context: ServerContext, request: ResourceRequest): Promise<object> {
  const { namespace, name, served } = request;
  const body = await request.body();
  const stored = context.store.get('/pods', namespace, name);
  if (!stored) throw notFound({ group: '', resource: 'pods' }, name);
  for (const { object } of context.store.list('policy/poddisruptionbudgets', namespace)) {
    const selector = at(object, 'spec', 'selector') as LabelSelector | undefined;
    if (!matchesLabels(selector, stored.object.metadata.labels ?? {})) continue;
    if (Number(at(object, 'status', 'disruptionsAllowed') ?? 1) <= 0)
      throw new StatusError(
        429,
        'TooManyRequests',
        "Cannot evict pod as it would violate the pod's disruption budget.",
        {
          causes: [
            {
              reason: 'DisruptionBudget',
              message: `The disruption budget ${object.metadata.name} needs more healthy pods`,
            },
          ],
        },
      );
  }
  deleteStored(context, served, stored, deleteOptions(at(body, 'deleteOptions'), request.query));
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}

/** POST pods/NAME/binding: what a scheduler does. */
export async function bind(context: ServerContext, request: ResourceRequest): Promise<object> {
  const node = at(await request.body(), 'target', 'name');
  if (typeof node !== 'string') throw badRequest('target.name must name a node');
  await patch(context, {
    ...request,
    subresource: '',
    contentType: 'application/merge-patch+json',
    body: async () => ({ spec: { nodeName: node } }),
  });
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}

/** POST serviceaccounts/NAME/token. */
export async function requestToken(context: ServerContext, request: ResourceRequest): Promise<object> {
  const body = await request.body();
  const spec = (at(body, 'spec') ?? {}) as Parameters<typeof context.authenticator.issue>[2];
  const {
    token,
    expirationTimestamp,
    spec: granted,
  } = context.authenticator.issue(request.namespace, request.name, spec);
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name: request.name, namespace: request.namespace, creationTimestamp: null },
    spec: granted,
    status: { token, expirationTimestamp },
  };
}
