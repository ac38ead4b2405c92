import type { ServerResponse } from 'node:http';
import { type Attributes, denial, type Rbac } from '../auth/rbac.ts';
import { review } from '../auth/reviews.ts';
import type { ServerContext } from '../context.ts';
import { forbidden, methodNotAllowed, noSuchPath } from '../errors.ts';
import { podLog } from '../pod-log.ts';
import { get, list } from '../read/list.ts';
import { watch } from '../read/watch.ts';
import { bind, evict, requestToken, scale } from '../subresources.ts';
import { resourceOf } from '../write/commit.ts';
import { create } from '../write/create.ts';
import { remove, removeCollection } from '../write/delete.ts';
import { patch, replace } from '../write/update.ts';
import type { ResourceRequest } from './request.ts';

export interface Answer {
  code: number;
  /** JSON text, or what will be JSON. */
  body: string | object;
}

const ok = (body: string | object): Answer => ({ code: 200, body });
const created = (body: string | object): Answer => ({ code: 201, body });

export function authorize(request: ResourceRequest, rbac: Rbac): void {
  const { served, verb, namespace, name, subresource, user } = request;
  const attributes: Attributes = {
    verb,
    group: served.group,
    resource: served.plural,
    subresource,
    namespace,
    name,
  };
  // A Namespace is namespaced by itself for RBAC.
  if (served.group === '' && served.plural === 'namespaces' && name) attributes.namespace = name;
  if (!rbac.allows(user, attributes)) throw forbidden(resourceOf(served), name, denial(user, attributes));
}

/** One resource request; undefined when the handler streams the response itself. */
export async function route(
  context: ServerContext,
  rbac: Rbac,
  request: ResourceRequest,
  response: ServerResponse,
): Promise<Answer | undefined> {
  authorize(request, rbac);
  const { served, subresource, method, verb, name, query } = request;
  if (served.virtual) {
    if (method !== 'POST') throw methodNotAllowed();
    return created(review(request, await request.body(), context.authenticator, rbac));
  }
  if (subresource && !(subresource === 'status' && served.status))
    return subresourceRoute(context, request, response);
  switch (method) {
    case 'GET':
      if (verb === 'watch' || (name && ['true', '1'].includes(query.get('watch') ?? ''))) {
        watch(context, request, response);
        return undefined;
      }
      return ok(name ? get(context, request) : list(context, request));
    case 'POST':
      if (name) throw methodNotAllowed();
      return created(await create(context, request));
    case 'PUT':
      if (!name) throw methodNotAllowed();
      return ok(await replace(context, request));
    case 'PATCH': {
      if (!name) throw methodNotAllowed();
      const existed = context.store.get(served.storage, request.namespace, name) !== undefined;
      return { code: existed ? 200 : 201, body: await patch(context, request) };
    }
    case 'DELETE':
      if (subresource) throw methodNotAllowed();
      return ok(await (name ? remove(context, request) : removeCollection(context, request)));
    default:
      throw methodNotAllowed();
  }
}

async function subresourceRoute(
  context: ServerContext,
  request: ResourceRequest,
  response: ServerResponse,
): Promise<Answer | undefined> {
  const { served, subresource, method } = request;
  const core = served.group === '';
  if (subresource === 'scale' && ['GET', 'PUT', 'PATCH'].includes(method))
    return ok(await scale(context, request));
  if (core && served.kind === 'Namespace' && subresource === 'finalize' && method === 'PUT')
    return ok(await replace(context, request));
  if (core && served.kind === 'ServiceAccount' && subresource === 'token' && method === 'POST')
    return created(await requestToken(context, request));
  if (core && served.kind === 'Pod') {
    if (subresource === 'log' && method === 'GET') {
      await podLog(context, request, response);
      return undefined;
    }
    if (subresource === 'eviction' && method === 'POST') return created(await evict(context, request));
    if (subresource === 'binding' && method === 'POST') return created(await bind(context, request));
    if (subresource === 'ephemeralcontainers') throw methodNotAllowed();
  }
  throw noSuchPath();
}
