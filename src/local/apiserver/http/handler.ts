import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzip } from 'node:zlib';
import { bearerToken } from '../auth/authenticator.ts';
import type { Rbac } from '../auth/rbac.ts';
import type { ServerContext } from '../context.ts';
import {
  aggregated,
  apiGroup,
  apiGroupList,
  apiVersions,
  resourceList,
  VERSION,
} from '../discovery/documents.ts';
import { openApiDocument, openApiIndex } from '../discovery/openapi.ts';
import { badRequest, forbidden, noSuchPath, StatusError, unauthorized } from '../errors.ts';
import { decodeProtobuf } from './protobuf.ts';
import { parseResourcePath, type ResourceRequest, type User, verbOf } from './request.ts';
import { route } from './routes.ts';

const MAX_BODY = 3 * 1024 * 1024;
const GZIP_FROM = 128 * 1024;

/** The whole HTTP surface: health, discovery, OpenAPI and resources, after authentication. */
export function createHandler(
  context: ServerContext,
  rbac: Rbac,
  stopping: AbortSignal,
): (request: IncomingMessage, response: ServerResponse) => void {
  const documents = new Map<string, string>();
  const cached = (key: string, make: () => object | undefined): string => {
    const full = `${context.registry.version} ${key}`;
    let text = documents.get(full);
    if (text === undefined) {
      const made = make();
      if (!made) throw noSuchPath();
      if (documents.size > 200) documents.clear();
      text = JSON.stringify(made);
      documents.set(full, text);
    }
    return text;
  };

  return (incoming, response) => {
    const warnings: string[] = [];
    serve(incoming, response, warnings).catch((error: unknown) => fail(context, response, error, warnings));
  };

  async function serve(
    incoming: IncomingMessage,
    response: ServerResponse,
    warnings: string[],
  ): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'https://server');
    const path = url.pathname.replace(/\/+$/, '') || '/';
    if (['/livez', '/readyz', '/healthz'].includes(path)) {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('ok');
      return;
    }
    const token = bearerToken(incoming.headers.authorization);
    const user = token ? context.authenticator.authenticate(token)?.user : undefined;
    if (!user) throw unauthorized();
    const accept = incoming.headers.accept ?? '';
    const parts = path.split('/').filter(Boolean);
    const isResource = (parts[0] === 'api' && parts.length > 2) || (parts[0] === 'apis' && parts.length > 3);
    if (!isResource) {
      if (
        !rbac.allowsPath(
          user,
          incoming.method === 'GET' ? 'get' : String(incoming.method).toLowerCase(),
          path,
        )
      )
        throw forbidden({ group: '', resource: '' }, '', `User "${user.username}" cannot get path "${path}"`);
      return document(parts, accept, incoming, response);
    }
    const found = parseResourcePath(path, context.registry);
    const method = incoming.method ?? 'GET';
    const request: ResourceRequest = {
      ...found,
      method: method === 'HEAD' ? 'GET' : method,
      verb: verbOf(method, found.name, url.searchParams),
      query: url.searchParams,
      user: impersonated(user, incoming),
      userAgent: incoming.headers['user-agent'] ?? '',
      accept,
      contentType: (incoming.headers['content-type'] ?? '').split(';')[0]!.trim(),
      body: once(() => readBody(incoming)),
      warnings,
      signal: stopping,
    };
    const answer = await route(context, rbac, request, response);
    if (answer)
      await send(
        incoming,
        response,
        answer.code,
        typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body),
        warnings,
      );
  }

  async function document(
    parts: string[],
    accept: string,
    incoming: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { registry } = context;
    const [first, second, third, fourth, fifth] = parts;
    const wantsAggregated = /as=APIGroupDiscoveryList/.test(accept) && /v=v2(;|,|$)/.test(accept);
    const type =
      wantsAggregated && parts.length === 1 && (first === 'api' || first === 'apis')
        ? 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
        : 'application/json';
    const text = cached(`${parts.join('/')} ${type}`, () => {
      if (first === 'version' && parts.length === 1) return VERSION;
      if (first === 'api') {
        if (parts.length === 1)
          return wantsAggregated ? aggregated(registry, true) : apiVersions(incoming.headers.host ?? '');
        return resourceList(registry, '', second!);
      }
      if (first === 'apis') {
        if (parts.length === 1) return wantsAggregated ? aggregated(registry, false) : apiGroupList(registry);
        if (parts.length === 2)
          return { kind: 'APIGroup', apiVersion: 'v1', ...(apiGroup(registry, second!) ?? raise()) };
        return resourceList(registry, second!, third!);
      }
      if (first === 'openapi' && second === 'v3') {
        if (parts.length === 2) return openApiIndex(registry);
        return third === 'api'
          ? openApiDocument(registry, '', fourth!)
          : openApiDocument(registry, fourth!, fifth!);
      }
      if (first === undefined)
        return { paths: ['/api', '/apis', '/healthz', '/livez', '/openapi/v3', '/readyz', '/version'] };
      return undefined;
    });
    await send(incoming, response, 200, text, [], type);
  }
}

const raise = (): never => {
  throw noSuchPath();
};

/** `kubectl --as`: only masters may. */
function impersonated(user: User, incoming: IncomingMessage): User {
  const name = incoming.headers['impersonate-user'];
  if (typeof name !== 'string') return user;
  if (!user.groups.includes('system:masters'))
    throw forbidden(
      { group: '', resource: 'users' },
      name,
      `User "${user.username}" cannot impersonate resource "users" in API group "" at the cluster scope`,
    );
  const group = incoming.headers['impersonate-group'];
  const asked = typeof group === 'string' ? group.split(',').map((each) => each.trim()) : (group ?? []);
  const account = /^system:serviceaccount:([^:]+):/.exec(name)?.[1];
  return {
    username: name,
    groups: [
      ...asked,
      ...(account ? ['system:serviceaccounts', `system:serviceaccounts:${account}`] : []),
      'system:authenticated',
    ],
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

async function readBody(incoming: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw new StatusError(413, 'RequestEntityTooLarge', `limit is ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  if (size === 0) return undefined;
  const type = incoming.headers['content-type'] ?? '';
  const bytes = Buffer.concat(chunks);
  if (type.includes('protobuf')) return decodeProtobuf(bytes);
  const text = bytes.toString();
  try {
    if (!type.includes('yaml') || /^\s*[{[]/.test(text)) return JSON.parse(text);
    // Weir and kubectl send JSON, also as YAML: most servers never meet any other.
    return (await import('../../../lib/yaml.ts')).parse(text);
  } catch (error) {
    throw badRequest(
      `the object provided is unrecognized (must be of type JSON or YAML): ${(error as Error).message}`,
    );
  }
}

async function send(
  incoming: IncomingMessage,
  response: ServerResponse,
  code: number,
  text: string,
  warnings: string[],
  type = 'application/json',
): Promise<void> {
  const headers: Record<string, string | string[]> = {
    'content-type': type,
    'audit-id': randomUUID(),
    'cache-control': 'no-cache, private',
  };
  if (warnings.length > 0) headers.warning = warnings.map((each) => `299 - ${JSON.stringify(each)}`);
  const plain = Buffer.from(text);
  let body: Uint8Array = plain;
  if (body.length >= GZIP_FROM && /\bgzip\b/.test(String(incoming.headers['accept-encoding'] ?? ''))) {
    body = await new Promise<Buffer>((done, failed) =>
      gzip(plain, { level: 1 }, (error, packed) => (error ? failed(error) : done(packed))),
    );
    headers['content-encoding'] = 'gzip';
  }
  response.writeHead(code, { ...headers, 'content-length': body.length });
  response.end(incoming.method === 'HEAD' ? undefined : body);
}

function fail(context: ServerContext, response: ServerResponse, error: unknown, warnings: string[]): void {
  let status: StatusError;
  if (error instanceof StatusError) status = error;
  else {
    context.log.error({ error }, 'request failed');
    status = new StatusError(
      500,
      'InternalError',
      `Internal error occurred: ${error instanceof Error ? error.message : String(error)}`,
      {},
    );
  }
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const retryAfter = status.details?.retryAfterSeconds;
  const headers: Record<string, string | string[]> = { 'content-type': 'application/json' };
  if (retryAfter) headers['retry-after'] = String(retryAfter);
  if (warnings.length > 0) headers.warning = warnings.map((each) => `299 - ${JSON.stringify(each)}`);
  response.writeHead(status.code, headers);
  response.end(JSON.stringify(status));
}
