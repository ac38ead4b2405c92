import { badRequest, noSuchPath } from '../errors.ts';
import type { Served } from '../kinds.ts';
import type { Registry } from '../registry.ts';

/** Who is asking, after authentication. */
export interface User {
  username: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

export interface ResourceRequest {
  served: Served;
  namespace: string;
  name: string;
  subresource: string;
  method: string;
  verb: string;
  query: URLSearchParams;
  user: User;
  userAgent: string;
  accept: string;
  contentType: string;
  body: () => Promise<unknown>;
  /** Texts for `Warning` response headers. */
  warnings: string[];
  signal: AbortSignal;
}

export interface ResourcePath {
  served: Served;
  namespace: string;
  name: string;
  subresource: string;
}

/** `/api/v1/…` and `/apis/GROUP/VERSION/…` -> what is meant; throws 404 for what is not served. */
export function parseResourcePath(pathname: string, registry: Registry): ResourcePath {
  const parts = pathname.split('/').filter(Boolean).map(decodeURIComponent);
  const core = parts[0] === 'api';
  const [group, version, ...rest] = core
    ? ['', parts[1] ?? '', ...parts.slice(2)]
    : [parts[1] ?? '', parts[2] ?? '', ...parts.slice(3)];
  const find = (plural: string | undefined) => {
    const served = registry.find(group!, version!, plural ?? '');
    if (!served) throw noSuchPath();
    return served;
  };
  if (rest[0] === 'namespaces' && rest.length >= 3) {
    // The namespace's own subresources share the prefix of what lives in it.
    if (core && ['status', 'finalize'].includes(rest[2]!) && rest.length === 3)
      return { served: find('namespaces'), namespace: '', name: rest[1]!, subresource: rest[2]! };
    const served = find(rest[2]);
    if (!served.namespaced) throw noSuchPath();
    return { served, namespace: rest[1]!, name: rest[3] ?? '', subresource: rest.slice(4).join('/') };
  }
  const served = find(rest[0]);
  if (served.namespaced && rest.length > 1) throw noSuchPath();
  return { served, namespace: '', name: rest[1] ?? '', subresource: rest.slice(2).join('/') };
}

export function verbOf(method: string, name: string, query: URLSearchParams): string {
  const watching = ['true', '1'].includes(query.get('watch') ?? '');
  switch (method) {
    case 'GET':
    case 'HEAD':
      return name ? 'get' : watching ? 'watch' : 'list';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return name ? 'delete' : 'deletecollection';
    default:
      throw badRequest(`unsupported method ${method}`);
  }
}

/** The manager that a write is recorded under: named, or the first word of the user agent (`kubectl/v1.32` -> `kubectl`). */
export function managerName({ query, userAgent }: { query: URLSearchParams; userAgent: string }): string {
  return query.get('fieldManager') || userAgent.split('/')[0]?.slice(0, 128) || 'unknown';
}
