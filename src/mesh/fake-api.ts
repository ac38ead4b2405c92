import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject } from '../api/meta.ts';
import { plainKubeconfig } from '../kube/fixtures.ts';

/**
 * For the tests of the control plane: as much of the Kubernetes API over real HTTP as it uses (get, list, watch, create,
 * replace, apply, TokenReview), in memory. The local API server is a feature of its own that features may not import.
 */
export class FakeApi {
  /** `/api/v1/services` -> `ns/name` -> object. */
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #watchers = new Set<{ collection: string; response: ServerResponse; only: string | undefined }>();
  readonly tokens = new Map<string, { username: string; audiences: string[] }>();
  readonly #server: Server;
  #version = 100;
  kubeconfig = '';
  /** Awaited between a replacement and its answer: watches tell of it meanwhile, and of what comes after. */
  replaced: (collection: string) => Promise<void> = async () => {};

  constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** Watches that are open. */
  get watchers(): number {
    return this.#watchers.size;
  }

  async start(): Promise<this> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    const { port } = this.#server.address() as AddressInfo;
    this.kubeconfig = plainKubeconfig(port, 'test');
    return this;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  get(collection: string, key: string): KubeObject | undefined {
    return this.#objects.get(collection)?.get(key);
  }

  all(collection: string): Iterable<KubeObject> {
    return this.#objects.get(collection)?.values() ?? [];
  }

  /** Writes as another client would. */
  set(collection: string, object: KubeObject): KubeObject {
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
    const objects = this.#objects.get(collection) ?? new Map<string, KubeObject>();
    this.#objects.set(collection, objects);
    const type = objects.has(key) ? 'MODIFIED' : 'ADDED';
    this.#version += 1;
    const stored = {
      ...object,
      metadata: { uid: `uid-${key}`, ...object.metadata, resourceVersion: String(this.#version) },
    };
    objects.set(key, stored);
    this.#emit(collection, type, stored);
    return stored;
  }

  delete(collection: string, key: string): void {
    const object = this.get(collection, key);
    if (!object) return;
    this.#objects.get(collection)!.delete(key);
    this.#version += 1;
    this.#emit(collection, 'DELETED', {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(this.#version) },
    });
  }

  #emit(collection: string, type: string, object: KubeObject): void {
    for (const { collection: watched, response, only } of this.#watchers)
      if (watched === collection && (!only || only === object.metadata.name))
        response.write(`${JSON.stringify({ type, object })}\n`);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = text === '' ? undefined : JSON.parse(text);
    const url = new URL(request.url!, 'http://x');
    const send = (status: number, value: object) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    const fail = (code: number, reason: string) =>
      send(code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message: reason });
    if (url.pathname.endsWith('/tokenreviews')) {
      const known = this.tokens.get(body.spec.token);
      const audiences = known?.audiences.filter((each) => body.spec.audiences.includes(each)) ?? [];
      const status =
        known && audiences.length > 0
          ? { authenticated: true, audiences, user: { username: known.username } }
          : { authenticated: false, error: 'invalid bearer token' };
      return send(201, { ...body, status });
    }
    const match =
      /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+?)(\/status)?)?$/.exec(
        url.pathname,
      );
    if (!match) return fail(404, 'NotFound');
    const [, base, namespace = '', plural, name, status] = match;
    const collection = `${base}/${plural}`;
    const only = /metadata\.name=(.+)/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1];
    if (request.method === 'GET' && name) {
      const found = this.get(collection, `${namespace}/${name}`);
      return found ? send(200, found) : fail(404, 'NotFound');
    }
    if (request.method === 'GET' && url.searchParams.get('watch')) {
      const watcher = { collection, response, only };
      this.#watchers.add(watcher);
      response.once('close', () => this.#watchers.delete(watcher));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      return;
    }
    if (request.method === 'GET') {
      const items = [...(this.#objects.get(collection)?.values() ?? [])].filter(
        ({ metadata }) => !only || metadata.name === only,
      );
      return send(200, { kind: 'List', metadata: { resourceVersion: String(this.#version) }, items });
    }
    if (request.method === 'POST') {
      const key = `${body.metadata.namespace ?? namespace}/${body.metadata.name}`;
      if (this.get(collection, key)) return fail(409, 'AlreadyExists');
      return send(201, this.set(collection, body));
    }
    const current = this.get(collection, `${namespace}/${name}`);
    const precondition = body.metadata?.resourceVersion;
    if (current && precondition && precondition !== current.metadata.resourceVersion)
      return fail(409, 'Conflict');
    if (status) {
      if (!current) return fail(404, 'NotFound');
      return send(200, this.set(collection, { ...current, status: body.status }));
    }
    const stored = this.set(collection, { ...current, ...body, metadata: { ...body.metadata, namespace } });
    await this.replaced(collection);
    return send(200, stored);
  }
}
