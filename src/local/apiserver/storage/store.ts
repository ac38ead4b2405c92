import type { KubeObject } from '../../../api/meta.ts';
import { expired } from '../errors.ts';
import { type Journal, journalLine, openJournal } from './journal.ts';

/** An object as stored, with its JSON text: reads and all watchers of one version share it. */
export interface Stored {
  object: KubeObject;
  json: string;
  revision: number;
}

export interface Change {
  revision: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  current: Stored;
  previous: Stored | undefined;
}

export type Listener = (change: Change) => void;

const HISTORY = 5000;
const COMPACT_AT = 32 * 1024 * 1024;

interface Collection {
  byNamespace: Map<string, Map<string, Stored>>;
  history: Change[];
  /** Revision of the newest change that fell out of `history`. */
  dropped: number;
  listeners: Set<Listener>;
}

/**
 * All objects in memory, by resource (`group/plural`), namespace and name. One revision counter for everything, as
 * etcd has, so that a list's resourceVersion is comparable over kinds.
 */
export class Store {
  readonly #collections = new Map<string, Collection>();
  readonly #journal: Journal | undefined;
  #revision = 1;
  #live = 0;

  constructor(dir?: string) {
    if (!dir) return;
    const { journal, entries } = openJournal(dir);
    this.#journal = journal;
    for (const { revision, key, object } of entries) {
      this.#revision = Math.max(this.#revision, revision);
      if (key === '') continue;
      const [resource, namespace, name] = key.split('|') as [string, string, string];
      if (object) this.#put(resource, namespace, name, { object, json: JSON.stringify(object), revision });
      else this.#collection(resource).byNamespace.get(namespace)?.delete(name);
    }
    // History does not outlive the process: watchers from before must list again.
    for (const collection of this.#collections.values()) collection.dropped = this.#revision;
    this.#compact();
  }

  get revision(): number {
    return this.#revision;
  }

  get(resource: string, namespace: string, name: string): Stored | undefined {
    return this.#collections.get(resource)?.byNamespace.get(namespace)?.get(name);
  }

  /** Sorted by namespace and name, as etcd's key order. */
  list(resource: string, namespace?: string): Stored[] {
    const collection = this.#collections.get(resource);
    if (!collection) return [];
    const spaces = namespace === undefined ? [...collection.byNamespace.keys()].sort() : [namespace];
    return spaces.flatMap((space) =>
      [...(collection.byNamespace.get(space) ?? [])].sort(byName).map(([, stored]) => stored),
    );
  }

  write(resource: string, object: KubeObject): Stored {
    const { namespace = '', name } = object.metadata;
    const previous = this.get(resource, namespace, name);
    this.#revision += 1;
    object.metadata.resourceVersion = String(this.#revision);
    const stored: Stored = { object, json: JSON.stringify(object), revision: this.#revision };
    this.#journal?.append(journalLine(this.#revision, `${resource}|${namespace}|${name}`, stored.json));
    this.#put(resource, namespace, name, stored);
    this.#publish(resource, {
      revision: this.#revision,
      type: previous ? 'MODIFIED' : 'ADDED',
      current: stored,
      previous,
    });
    this.#compactWhenLarge();
    return stored;
  }

  remove(resource: string, namespace: string, name: string): Stored | undefined {
    const previous = this.get(resource, namespace, name);
    if (!previous) return undefined;
    this.#revision += 1;
    this.#journal?.append(journalLine(this.#revision, `${resource}|${namespace}|${name}`, 'null'));
    this.#collection(resource).byNamespace.get(namespace)!.delete(name);
    this.#live -= 1;
    // The last state of a deleted object carries the revision of the deletion, so that watchers can resume from it.
    const object = {
      ...previous.object,
      metadata: { ...previous.object.metadata, resourceVersion: String(this.#revision) },
    };
    const current: Stored = { object, json: JSON.stringify(object), revision: this.#revision };
    this.#publish(resource, { revision: this.#revision, type: 'DELETED', current, previous });
    return current;
  }

  /** Changes after a revision; throws 410 when they are no longer known. */
  since(resource: string, revision: number): Change[] {
    const { history, dropped } = this.#collection(resource);
    if (revision < dropped) throw expired(`too old resource version: ${revision} (${this.#revision})`);
    return history.filter((change) => change.revision > revision);
  }

  subscribe(resource: string, listener: Listener): () => void {
    const { listeners } = this.#collection(resource);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  close(): void {
    this.#journal?.close();
  }

  #collection(resource: string): Collection {
    let collection = this.#collections.get(resource);
    if (!collection) {
      collection = { byNamespace: new Map(), history: [], dropped: 0, listeners: new Set() };
      this.#collections.set(resource, collection);
    }
    return collection;
  }

  #put(resource: string, namespace: string, name: string, stored: Stored): void {
    const { byNamespace } = this.#collection(resource);
    let space = byNamespace.get(namespace);
    if (!space) {
      space = new Map();
      byNamespace.set(namespace, space);
    }
    if (!space.has(name)) this.#live += 1;
    space.set(name, stored);
  }

  #publish(resource: string, change: Change): void {
    const collection = this.#collection(resource);
    collection.history.push(change);
    if (collection.history.length > HISTORY) {
      const cut = collection.history.splice(0, HISTORY / 5);
      collection.dropped = cut.at(-1)!.revision;
    }
    for (const listener of collection.listeners) listener(change);
  }

  #compactWhenLarge(): void {
    if (this.#journal && this.#journal.size() > COMPACT_AT + this.#live * 4096) this.#compact();
  }

  #compact(): void {
    this.#journal?.compact(this.#lines());
  }

  *#lines(): Generator<string> {
    // Keeps the counter even when the newest facts were deletions.
    yield journalLine(this.#revision, '', 'null');
    for (const [resource, { byNamespace }] of this.#collections)
      for (const [namespace, space] of byNamespace)
        for (const [name, { revision, json }] of space)
          yield journalLine(revision, `${resource}|${namespace}|${name}`, json);
  }
}

const byName = (a: [string, unknown], b: [string, unknown]): number =>
  a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
