import type { KubeObject, ResourceKind } from '../api/meta.ts';
import { apiVersionOf } from '../api/meta.ts';
import { systemClock } from '../lib/clock.ts';
import { AppError, isCode, toAppError } from '../lib/errors.ts';
import { ClusterAccess } from './config.ts';
import { errorFromStatus } from './errors.ts';
import type { Chosen } from './kubeconfig.ts';
import { readBody, readLines, Transport } from './transport.ts';
import type {
  DeleteOptions,
  KubeClient,
  KubeList,
  ListOptions,
  Patch,
  RequestOptions,
  WatchEvent,
  WriteOptions,
} from './types.ts';

export interface ConnectOptions extends Chosen {
  /** Milliseconds without an answer after which a call fails with Timeout. */
  callTimeoutMs?: number;
  /** Milliseconds without an event or bookmark after which a watch counts as dead. */
  watchIdleMs?: number;
  /** Told of every request that is sent, watches included, and of which resource (`deployments/scale`) it is about. */
  onRequest?: (method: string, resource: string) => void;
}

const CONTENT_TYPE: Record<Patch['type'], string> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
};
/** How often a throttled or briefly unavailable server is asked again. */
const ATTEMPTS = 4;
/** The longest Retry-After that is waited for here, in seconds; a longer one is the caller's to plan around. */
const LONGEST_WAIT = 10;

function pathOf(
  kind: ResourceKind,
  namespace: string | undefined,
  name?: string,
  subresource?: string,
): string {
  const base = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const scope = kind.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  const tail = [name, subresource]
    .filter((part) => part !== undefined)
    .map((part) => `/${encodeURIComponent(part)}`);
  return `${base}${scope}/${kind.plural}${tail.join('')}`;
}

/** `deployments`, `deployments/scale`, or the path itself where it is about no resource. */
function resourceOf(path: string): string {
  const [, plural, subresource] =
    /^\/apis?\/(?:[^/]+\/)?v[^/]+\/(?:namespaces\/[^/]+\/)?([^/?]+)(?:\/[^/?]+(?:\/([^?]+))?)?(?:\?|$)/.exec(
      path,
    ) ?? [];
  if (!plural) return path.split('?')[0]!;
  return subresource ? `${plural}/${subresource}` : plural;
}

function queryOf(values: Record<string, string | number | boolean | undefined>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values))
    if (value !== undefined && value !== '') query.set(key, String(value));
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

const writeQuery = ({ fieldManager, dryRun, force }: WriteOptions) =>
  queryOf({ fieldManager, force, dryRun: dryRun ? 'All' : undefined });

const asked = ({ signal, rank }: Pick<WriteOptions, 'signal' | 'rank'>) => ({
  ...(signal ? { signal } : {}),
  ...(rank ? { rank } : {}),
});

export class Client implements KubeClient {
  readonly server: string;
  /** Of the current context: where what names none is looked for. */
  readonly namespace: string;
  readonly #access: ClusterAccess;
  readonly #transport: Transport;
  readonly #callTimeoutMs: number;
  readonly #watchIdleMs: number;
  readonly #onRequest: (method: string, resource: string) => void;

  constructor(access: ClusterAccess, options: ConnectOptions = {}) {
    this.#access = access;
    this.server = access.server;
    this.namespace = access.namespace;
    this.#transport = new Transport(this.server, () => this.#access.credentials());
    this.#callTimeoutMs = options.callTimeoutMs ?? 30_000;
    this.#watchIdleMs = options.watchIdleMs ?? 90_000;
    this.#onRequest = options.onRequest ?? (() => {});
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(method, path, body, options);
      } catch (thrown) {
        const error = toAppError(thrown);
        if (error.code === 'Unauthorized') this.#access.forget();
        // The server did not act on a request that it throttled, so any method may be sent again.
        const again =
          error.code === 'TooManyRequests' ||
          (error.code === 'Unauthorized' && attempt === 1) ||
          (error.code === 'Unavailable' && (method === 'GET' || error.retryAfterSeconds !== undefined));
        const tooLong = (error.retryAfterSeconds ?? 0) > LONGEST_WAIT;
        if (!again || tooLong || attempt >= ATTEMPTS || options.signal?.aborted) throw error;
        const wait = (error.retryAfterSeconds ?? 0) * 1000 || 50 * 2 ** attempt;
        await systemClock.sleep(wait * (0.75 + Math.random() / 2), options.signal);
      }
    }
  }

  async #once(
    method: string,
    path: string,
    body: string | undefined,
    options: RequestOptions,
  ): Promise<unknown> {
    this.#onRequest(method, resourceOf(path));
    const response = await this.#transport.open({
      method,
      path,
      idleMs: this.#callTimeoutMs,
      ...(body === undefined ? {} : { body }),
      ...(options.contentType ? { contentType: options.contentType } : {}),
      ...asked(options),
    });
    const text = await readBody(response);
    const code = response.statusCode ?? 0;
    if (code >= 300) throw errorFromStatus(code, text, `${method} ${path}`, response.headers['retry-after']);
    const json = response.headers['content-type']?.includes('json') ?? false;
    return json && text !== '' ? JSON.parse(text) : text;
  }

  get<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    name: string,
    signal?: AbortSignal,
  ): Promise<T> {
    return this.request('GET', pathOf(kind, namespace, name), signal ? { signal } : {}) as Promise<T>;
  }

  async find<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    name: string,
    signal?: AbortSignal,
  ): Promise<T | undefined> {
    try {
      return await this.get<T>(kind, namespace, name, signal);
    } catch (error) {
      if (isCode(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  async list<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    options: ListOptions = {},
    signal?: AbortSignal,
  ): Promise<KubeList<T>> {
    const path = pathOf(kind, namespace) + queryOf({ ...options });
    const list = (await this.request('GET', path, signal ? { signal } : {})) as KubeList<T>;
    // Items of a list carry neither; every consumer wants both.
    for (const item of list.items ?? []) {
      item.apiVersion ??= apiVersionOf(kind);
      item.kind ??= kind.kind;
    }
    return { ...list, items: list.items ?? [] };
  }

  create<T extends KubeObject>(kind: ResourceKind, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name } = object.metadata;
    const path = options.subresource
      ? pathOf(kind, namespace, name, options.subresource)
      : pathOf(kind, namespace);
    return this.#write('POST', path, kind, object, options);
  }

  replace<T extends KubeObject>(kind: ResourceKind, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name } = object.metadata;
    return this.#write('PUT', pathOf(kind, namespace, name, options.subresource), kind, object, options);
  }

  #write<T extends KubeObject>(
    method: string,
    path: string,
    kind: ResourceKind,
    object: T,
    options: WriteOptions,
  ): Promise<T> {
    const body = { apiVersion: apiVersionOf(kind), kind: kind.kind, ...object };
    return this.request(method, path + writeQuery(options), {
      body,
      ...asked(options),
    }) as Promise<T>;
  }

  patch<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    name: string,
    patch: Patch,
    options: WriteOptions = {},
  ): Promise<T> {
    return this.request('PATCH', pathOf(kind, namespace, name, options.subresource) + writeQuery(options), {
      body: patch.body,
      contentType: CONTENT_TYPE[patch.type],
      ...asked(options),
    }) as Promise<T>;
  }

  apply<T extends KubeObject>(
    kind: ResourceKind,
    object: T,
    options: WriteOptions & { fieldManager: string },
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    const { managedFields: _managed, ...metadata } = object.metadata;
    return this.request('PATCH', pathOf(kind, namespace, name, options.subresource) + writeQuery(options), {
      // JSON is YAML; the content type is what asks for server-side apply.
      body: { ...object, apiVersion: apiVersionOf(kind), kind: kind.kind, metadata },
      contentType: 'application/apply-patch+yaml',
      ...asked(options),
    }) as Promise<T>;
  }

  async delete(
    kind: ResourceKind,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const { signal, ...rest } = options;
    const body =
      Object.keys(rest).length === 0 ? undefined : { kind: 'DeleteOptions', apiVersion: 'v1', ...rest };
    await this.request('DELETE', pathOf(kind, namespace, name), {
      ...(body ? { body } : {}),
      ...(signal ? { signal } : {}),
    });
  }

  async *watch<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    options: ListOptions & { allowWatchBookmarks?: boolean; timeoutSeconds?: number },
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const path = pathOf(kind, namespace) + queryOf({ ...options, watch: true });
    try {
      this.#onRequest('WATCH', kind.plural);
      const response = await this.#transport.open(
        { method: 'GET', path, signal, idleMs: this.#watchIdleMs },
        true,
      );
      const code = response.statusCode ?? 0;
      if (code !== 200) {
        if (code === 401) this.#access.forget();
        throw errorFromStatus(
          code,
          await readBody(response),
          `WATCH ${path}`,
          response.headers['retry-after'],
        );
      }
      yield* readLines(response) as AsyncGenerator<WatchEvent<T>>;
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof AppError
        ? error
        : new AppError('Unavailable', `WATCH ${path}: ${toAppError(error).message}`, { cause: error });
    }
  }

  /** While it is held, nothing but what is urgent is asked for; watches and what is under way go on. */
  hold(held: boolean): void {
    this.#transport.hold(held);
  }

  /** Closes every kept connection. */
  close(): void {
    this.#transport.close();
  }
}

/** A client for the cluster that the kubeconfig's context names. */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  return new Client(await ClusterAccess.open(options), options);
}
