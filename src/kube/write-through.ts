import type { KubeObject, ResourceKind } from '../api/meta.ts';
import type { KubeClient, WriteOptions } from './types.ts';

interface Cache {
  readonly kind: ResourceKind;
  learn(object: KubeObject): void;
}

/**
 * The client, with caches that know at once what it wrote. What a controller decides next is then not decided on what was
 * before its own write, which would be to ask for the same thing twice.
 */
export function writeThrough(client: KubeClient, caches: readonly Cache[]): KubeClient {
  const learnt = <T extends KubeObject>(kind: ResourceKind, object: T, options: WriteOptions = {}): T => {
    // Other subresources answer with objects of other kinds.
    const whole = options.subresource === undefined || options.subresource === 'status';
    // Several may be of one kind, each of other objects, and leave alone what is not theirs.
    if (whole && !options.dryRun) for (const cache of caches) if (cache.kind === kind) cache.learn(object);
    return object;
  };
  return {
    get: (...call) => client.get(...call),
    find: (...call) => client.find(...call),
    list: (...call) => client.list(...call),
    delete: (...call) => client.delete(...call),
    watch: (...call) => client.watch(...call),
    request: (...call) => client.request(...call),
    create: async (kind, object, options) =>
      learnt(kind, await client.create(kind, object, options), options),
    replace: async (kind, object, options) =>
      learnt(kind, await client.replace(kind, object, options), options),
    patch: async <T extends KubeObject>(...call: Parameters<KubeClient['patch']>): Promise<T> =>
      learnt(call[0], await client.patch<T>(...call), call[4]),
    apply: async (kind, object, options) => learnt(kind, await client.apply(kind, object, options), options),
  };
}
