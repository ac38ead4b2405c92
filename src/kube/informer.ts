import { type KubeObject, keyOf, type ResourceKind } from '../api/meta.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { Feed, isOlder } from './feed.ts';
import { type Indexers, Store } from './store.ts';
import type { KubeClient } from './types.ts';

export interface InformerOptions<T extends KubeObject> {
  client: KubeClient;
  kind: ResourceKind;
  namespace?: string;
  /** Several; overrides `namespace`. */
  namespaces?: string[];
  labelSelector?: string;
  fieldSelector?: string;
  indexers?: Indexers<T>;
  /**
   * What is kept of each object as it arrives (client-go's transform): most of what the server sends is never read, and a
   * cache of whole objects is mostly managed fields and pod templates. Keeps at least name, namespace, uid and
   * resourceVersion. Default: all but managed fields.
   */
  project?: (object: KubeObject) => T;
  log: Logger;
  clock?: Clock;
  /** Objects a page of the list holds. */
  pageSize?: number;
  backoff?: { initial: number; max: number };
}

export interface ChangeEvent<T> {
  type: 'added' | 'updated' | 'deleted';
  object: T;
  previous?: T;
}

/**
 * A local copy of one kind, kept current by list and watch. What vanished between two lists is reported as deleted. A copy of
 * several namespaces has a feed for each: a ServiceAccount may be allowed no more than those.
 */
export class Informer<T extends KubeObject> {
  readonly store: Store<T>;
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #listeners = new Set<(event: ChangeEvent<T>) => void>();
  readonly #namespaces: (string | undefined)[];
  readonly #listed = new Set<string | undefined>();
  readonly #feeds = new Map<string | undefined, Feed<T>>();
  #markSynced!: () => void;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    const { namespace, namespaces = [] } = options;
    this.#namespaces = namespaces.length > 0 ? [...new Set(namespaces)] : [namespace];
    this.store = new Store(options.indexers);
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  get kind(): ResourceKind {
    return this.#options.kind;
  }

  get hasSynced(): boolean {
    return this.#listed.size === this.#namespaces.length;
  }

  /** Calls back after the store has changed; for a list, after all of it is in. Returns a function that stops it. */
  onChange(listener: (event: ChangeEvent<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(signal: AbortSignal): void {
    const { client, kind, labelSelector, fieldSelector, pageSize = 500, log } = this.#options;
    for (const namespace of this.#namespaces) {
      const feed = new Feed<T>({
        client,
        kind,
        namespace,
        selection: {
          ...(labelSelector ? { labelSelector } : {}),
          ...(fieldSelector ? { fieldSelector } : {}),
        },
        pageSize,
        backoff: { initial: 100, max: 30_000, ...this.#options.backoff },
        clock: this.#options.clock ?? systemClock,
        log,
        project: (object) => this.#project(object),
        listed: (objects) => this.#replace(namespace, objects),
        changed: (type, object) => (type === 'DELETED' ? this.#gone(object) : this.#see(object)),
      });
      this.#feeds.set(namespace, feed);
      feed.run(signal).catch((error: unknown) => {
        if (!signal.aborted) log.error({ error, kind: kind.kind }, 'informer ended');
      });
    }
  }

  /**
   * Takes in an object as a write of our own was answered, without waiting for the watch to bring it: what is decided next would
   * otherwise be decided on what was before. Ignored when the watch knows better, or when it is not this copy's to keep.
   */
  learn(object: KubeObject): void {
    const feed = this.#feeds.get(undefined) ?? this.#feeds.get(object.metadata.namespace);
    if (!feed || !this.hasSynced || !this.#selects(object)) return;
    // The feed is past this version and does not have it, or has another one of that name: deleted in between.
    const passed = !isOlder(feed.version, object.metadata.resourceVersion ?? '');
    if (passed && this.store.get(keyOf(object))?.metadata.uid !== object.metadata.uid) return;
    this.#see(object);
  }

  /** Only what can be told without the server's help. */
  #selects({ metadata }: KubeObject): boolean {
    const { labelSelector, fieldSelector } = this.#options;
    if (labelSelector) return false;
    return fieldSelector === undefined || fieldSelector === `metadata.name=${metadata.name}`;
  }

  #replace(namespace: string | undefined, objects: T[]): void {
    const found = new Set(objects.map(keyOf));
    const events: ChangeEvent<T>[] = [];
    const { version = '' } = this.#feeds.get(namespace) ?? {};
    for (const key of this.store.keys()) {
      if (found.has(key) || (namespace !== undefined && !key.startsWith(`${namespace}/`))) continue;
      // Learnt from a write that the list is older than: the watch goes on from the list, and tells what became of it.
      if (isOlder(version, this.store.get(key)!.metadata.resourceVersion ?? '')) continue;
      events.push({ type: 'deleted', object: this.store.delete(key)! });
    }
    for (const object of objects) {
      const event = this.#put(object);
      if (event) events.push(event);
    }
    // Told last: a listener that looks around sees the whole list, and that it is whole.
    this.#listed.add(namespace);
    if (this.hasSynced) this.#markSynced();
    for (const event of events) this.#emit(event);
  }

  #gone(object: KubeObject): void {
    // The one before: a write of ours has told already of the one that took its name.
    const { uid, resourceVersion = '' } = this.store.get(keyOf(object))?.metadata ?? {};
    if (uid !== object.metadata.uid && isOlder(object.metadata.resourceVersion ?? '', resourceVersion))
      return;
    const previous = this.store.delete(keyOf(object));
    if (previous) this.#emit({ type: 'deleted', object: this.#project(object) ?? previous, previous });
  }

  /** One object that cannot be understood must not stop the others: it is told, and left out. */
  #project(object: KubeObject): T | undefined {
    const { project, log, kind } = this.#options;
    if (!project) return withoutManagedFields(object) as T;
    try {
      return project(object);
    } catch (error) {
      log.error({ error, kind: kind.kind, object: keyOf(object) }, 'object not understood');
      return undefined;
    }
  }

  #see(object: KubeObject): void {
    const { uid, resourceVersion } = object.metadata;
    const known = this.store.get(keyOf(object))?.metadata;
    if (known?.uid === uid && known?.resourceVersion === resourceVersion) return;
    const kept = this.#project(object);
    const event = kept && this.#put(kept);
    if (event) this.#emit(event);
  }

  /** What changed in the store, or undefined: the object is known already, or a newer one is. */
  #put(object: T): ChangeEvent<T> | undefined {
    const { uid, resourceVersion = '' } = this.store.get(keyOf(object))?.metadata ?? {};
    if (uid === object.metadata.uid && resourceVersion === object.metadata.resourceVersion) return undefined;
    if (isOlder(object.metadata.resourceVersion ?? '', resourceVersion)) return undefined;
    const previous = this.store.set(object);
    return previous ? { type: 'updated', object, previous } : { type: 'added', object };
  }

  #emit(event: ChangeEvent<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#options.log.error({ error, kind: this.#options.kind.kind }, 'change listener failed');
      }
    }
  }
}

function withoutManagedFields(object: KubeObject): KubeObject {
  const { managedFields: _managed, ...metadata } = object.metadata;
  return { ...object, metadata };
}
