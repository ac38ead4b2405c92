import type { KubeObject } from '../api/meta.ts';
import { isCode } from '../lib/errors.ts';

interface Source<T extends KubeObject> {
  cached(key: string): T | undefined;
  /** The object as it is now, from the API server. */
  read(metadata: T['metadata']): Promise<T | undefined>;
}

/** What this process wrote last and its cache has not shown yet: the next turn must not go on from an older state. */
export class OwnWrites<T extends KubeObject> {
  readonly #source: Source<T>;
  readonly #written = new Map<string, T>();

  constructor(source: Source<T>) {
    this.#source = source;
  }

  /** The newer of cache and own last write. */
  current(key: string): T | undefined {
    const cached = this.#source.cached(key);
    const own = this.#written.get(key);
    if (!own || !cached || own.metadata.uid !== cached.metadata.uid) {
      this.#written.delete(key);
      return cached;
    }
    if (Number(own.metadata.resourceVersion) > Number(cached.metadata.resourceVersion)) return own;
    this.#written.delete(key);
    return cached;
  }

  /** Remembers what was written; after a conflict what is there now is believed, until the cache has caught up. */
  async write(key: string, write: () => Promise<T>): Promise<T> {
    try {
      const written = await write();
      this.#written.set(key, written);
      return written;
    } catch (error) {
      const known = isCode(error, 'Conflict') ? this.current(key) : undefined;
      const live = known && (await this.#source.read(known.metadata));
      if (live) this.#written.set(key, live);
      throw error;
    }
  }

  drop(key: string): void {
    this.#written.delete(key);
  }

  clear(): void {
    this.#written.clear();
  }
}
