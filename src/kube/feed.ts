import type { KubeObject, ResourceKind } from '../api/meta.ts';
import { Backoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { AppError, toAppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { KubeClient, ListOptions } from './types.ts';

export interface FeedOptions<T> {
  client: KubeClient;
  kind: ResourceKind;
  /** undefined: all of them. */
  namespace: string | undefined;
  selection: Pick<ListOptions, 'labelSelector' | 'fieldSelector'>;
  pageSize: number;
  backoff: { initial: number; max: number };
  clock: Clock;
  log: Logger;
  /** What is kept of an object, page by page; undefined: nothing. */
  project(object: KubeObject): T | undefined;
  /** The whole list; called again when the server has forgotten where the watch was. */
  listed(objects: T[]): void;
  changed(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject): void;
}

/** A watch that held this long was established. */
const LIVED_MS = 1000;

/**
 * One list and the watch that follows it, for ever: paged list, then a watch with bookmarks that resumes where it ended. 410
 * lists again. Versions never go backwards: a list that is older than what is known (a lagging replica) is refused and asked
 * for again.
 */
export class Feed<T> {
  readonly #options: FeedOptions<T>;
  #version = '';

  constructor(options: FeedOptions<T>) {
    this.#options = options;
  }

  /** Of the last list, event or bookmark: all that happened up to it has been told. */
  get version(): string {
    return this.#version;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { kind, log, clock } = this.#options;
    const backoff = new Backoff(this.#options.backoff);
    let relist = true;
    let gone = false;
    while (!signal.aborted) {
      let since: number | undefined;
      // A watch that lived was no failure, however it ended and whether or not it had anything to tell: what comes after it
      // is asked for at once. Otherwise a load balancer that ends idle connections makes us blind for longer and longer.
      const lived = () => since !== undefined && clock.now() - since >= LIVED_MS;
      try {
        if (relist) await this.#list(signal);
        relist = false;
        since = clock.now();
        const events = await this.#watch(signal);
        gone = false;
        if (events > 0 || lived()) backoff.reset();
        // A server that ends watches at once must not be asked in a tight loop.
        else await clock.sleep(backoff.next(), signal);
      } catch (thrown) {
        if (signal.aborted) return;
        const error = toAppError(thrown);
        relist = relist || error.code === 'Gone';
        // Nothing changed for so long that the peer might be dead: everyday life where little happens.
        const quiet = error.code === 'Timeout';
        if (lived() && error.details.status === undefined) backoff.reset();
        if (error.code !== 'Gone')
          log[quiet ? 'debug' : 'warn'](
            { kind: kind.kind, code: error.code, reason: error.message },
            'watch interrupted',
          );
        // The first 410 is everyday life; a server that says nothing else must not be listed in a tight loop.
        const wait = Math.max(
          error.code === 'Gone' && !gone ? 0 : backoff.next(),
          (error.retryAfterSeconds ?? 0) * 1000,
        );
        gone = error.code === 'Gone';
        await clock.sleep(wait, signal).catch(() => {});
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, kind, namespace, pageSize, selection, project, listed } = this.#options;
    const found: T[] = [];
    let next: string | undefined;
    let version = '';
    do {
      const page = await client.list<KubeObject>(
        kind,
        namespace,
        { ...selection, limit: pageSize, ...(next ? { continue: next } : {}) },
        signal,
      );
      for (const object of page.items) {
        const kept = project(object);
        if (kept) found.push(kept);
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
    listed(found);
  }

  /** One watch; resolves with the number of events it brought. */
  async #watch(signal: AbortSignal): Promise<number> {
    const { client, kind, namespace, selection, changed } = this.#options;
    let events = 0;
    const stream = client.watch<KubeObject>(
      kind,
      namespace,
      {
        ...selection,
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
        case 'DELETED':
          this.#version = event.object.metadata.resourceVersion ?? this.#version;
          changed(event.type, event.object);
          break;
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
}

/** Resource versions are opaque; where both are whole numbers (every real server) they are ordered (KEP-5504). */
export function isOlder(version: string, than: string): boolean {
  return /^\d+$/.test(version) && /^\d+$/.test(than) && BigInt(version) < BigInt(than);
}
