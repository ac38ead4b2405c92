import { type KubeObject, keyOf, type ResourceKind } from '../api/meta.ts';
import { Backoff } from '../lib/backoff.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { AppError, toAppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { type Indexers, Store } from './store.ts';
import type { KubeClient, ListOptions } from './types.ts';

export interface InformerOptions<T extends KubeObject> {
  client: KubeClient;
  kind: ResourceKind;
  namespace?: string;
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

/** A watch that held this long was established. */
const LIVED_MS = 1000;

export interface ChangeEvent<T> {
  type: 'added' | 'updated' | 'deleted';
  object: T;
  previous?: T;
}

/**
 * A local copy of one kind, kept current: paged list, then a watch with bookmarks that resumes where it ended. 410 lists
 * again, and what vanished meanwhile is reported as deleted. Versions never go backwards: a list that is older than what is
 * known (a lagging replica) is refused and asked for again.
 */
export class Informer<T extends KubeObject> {
  readonly store: Store<T>;
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #listeners = new Set<(event: ChangeEvent<T>) => void>();
  #markSynced!: () => void;
  #version = '';
  #hasSynced = false;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.store = new Store(options.indexers);
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** Calls back after the store has changed; for a list, after all of it is in. Returns a function that stops it. */
  onChange(listener: (event: ChangeEvent<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(signal: AbortSignal): void {
    this.#run(signal).catch((error: unknown) => {
      if (!signal.aborted)
        this.#options.log.error({ error, kind: this.#options.kind.kind }, 'informer ended');
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { kind, log } = this.#options;
    const backoff = new Backoff({ initial: 100, max: 30_000, ...this.#options.backoff });
    let relist = true;
    let gone = false;
    while (!signal.aborted) {
      let since: number | undefined;
      // A watch that lived was no failure, however it ended and whether or not it had anything to tell: what comes after it
      // is asked for at once. Otherwise a load balancer that ends idle connections makes us blind for longer and longer.
      const lived = () => since !== undefined && this.#clock.now() - since >= LIVED_MS;
      try {
        if (relist) await this.#list(signal);
        relist = false;
        since = this.#clock.now();
        const events = await this.#watch(signal);
        gone = false;
        if (events > 0 || lived()) backoff.reset();
        // A server that ends watches at once must not be asked in a tight loop.
        else await this.#clock.sleep(backoff.next(), signal);
      } catch (thrown) {
        if (signal.aborted) return;
        const error = toAppError(thrown);
        relist = relist || error.code === 'Gone';
        // Nothing changed for so long that the peer might be dead: everyday life where little happens.
        const quiet = error.code === 'Timeout';
        if (error.code !== 'Gone')
          log[quiet ? 'debug' : 'warn'](
            { kind: kind.kind, code: error.code, reason: error.message },
            'watch interrupted',
          );
        if (lived() && error.details.status === undefined) backoff.reset();
        // The first 410 is everyday life; a server that says nothing else must not be listed in a tight loop.
        const wait = Math.max(
          error.code === 'Gone' && !gone ? 0 : backoff.next(),
          (error.retryAfterSeconds ?? 0) * 1000,
        );
        gone = error.code === 'Gone';
        await this.#clock.sleep(wait, signal).catch(() => {});
      }
    }
  }

  #selection(): ListOptions {
    const { labelSelector, fieldSelector } = this.#options;
    return { ...(labelSelector ? { labelSelector } : {}), ...(fieldSelector ? { fieldSelector } : {}) };
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, kind, namespace, pageSize = 500 } = this.#options;
    const found = new Map<string, T>();
    let next: string | undefined;
    let version = '';
    do {
      const page = await client.list<KubeObject>(
        kind,
        namespace,
        { ...this.#selection(), limit: pageSize, ...(next ? { continue: next } : {}) },
        signal,
      );
      for (const object of page.items) {
        const kept = this.#project(object);
        if (kept) found.set(keyOf(object), kept);
      }
      next = page.metadata.continue || undefined;
      version = page.metadata.resourceVersion;
    } while (next);
    if (isOlder(version, this.#version)) {
      throw new AppError(
        'Unavailable',
        `list of ${kind.plural} at version ${version} is older than ${this.#version}`,
      );
    }
    this.#version = version;
    const events: ChangeEvent<T>[] = [];
    for (const key of this.store.keys()) {
      if (!found.has(key)) events.push({ type: 'deleted', object: this.store.delete(key)! });
    }
    for (const object of found.values()) {
      const event = this.#put(object);
      if (event) events.push(event);
    }
    // Told last: a listener that looks around sees the whole list, and that it is whole.
    this.#hasSynced = true;
    this.#markSynced();
    for (const event of events) this.#emit(event);
  }

  /** One watch; resolves with the number of events it brought. */
  async #watch(signal: AbortSignal): Promise<number> {
    const { client, kind, namespace } = this.#options;
    let events = 0;
    const stream = client.watch<KubeObject>(
      kind,
      namespace,
      {
        ...this.#selection(),
        resourceVersion: this.#version,
        allowWatchBookmarks: true,
        // Spread out, so that a fleet of watches does not end in the same second.
        timeoutSeconds: 240 + Math.floor(Math.random() * 240),
      },
      signal,
    );
    for await (const event of stream) {
      events += 1;
      switch (event.type) {
        case 'ADDED':
        case 'MODIFIED':
          this.#version = event.object.metadata.resourceVersion ?? this.#version;
          this.#see(event.object);
          break;
        case 'DELETED': {
          this.#version = event.object.metadata.resourceVersion ?? this.#version;
          const previous = this.store.delete(keyOf(event.object));
          if (previous)
            this.#emit({ type: 'deleted', object: this.#project(event.object) ?? previous, previous });
          break;
        }
        case 'BOOKMARK':
          this.#version = event.object.metadata.resourceVersion;
          break;
        case 'ERROR': {
          const { code, message } = event.object;
          throw new AppError(
            code === 410 ? 'Gone' : code === 429 ? 'TooManyRequests' : 'Unavailable',
            message ?? 'watch error',
          );
        }
      }
    }
    return events;
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
    const kept = this.#project(object);
    const event = kept && this.#put(kept);
    if (event) this.#emit(event);
  }

  /** What changed in the store, or undefined: the object is known already, or a newer one is. */
  #put(object: T): ChangeEvent<T> | undefined {
    const known = this.store.get(keyOf(object));
    if (known?.metadata.uid === object.metadata.uid) {
      if (known?.metadata.resourceVersion === object.metadata.resourceVersion) return;
      if (isOlder(object.metadata.resourceVersion ?? '', known?.metadata.resourceVersion ?? ''))
        return undefined;
    }
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

/** Resource versions are opaque; where both are whole numbers (every real server) they are ordered (KEP-5504). */
function isOlder(version: string, than: string): boolean {
  return /^\d+$/.test(version) && /^\d+$/.test(than) && BigInt(version) < BigInt(than);
}
