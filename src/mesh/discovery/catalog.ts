import type { TrafficSplit } from '../../api/traffic-split.ts';
import { sameJson } from '../../lib/same-json.ts';
import { addressSubject, type ClusterIndex, type ClusterObject } from './cluster-index.ts';
import {
  type AddressKey,
  type DestinationKey,
  parseAddressKey,
  parseDestinationKey,
} from './destination-key.ts';
import { diffDestination } from './diff.ts';
import type { Destination, DownFrame } from './model.ts';
import { tcpPorts } from './objects.ts';
import { type Resolution, resolve, resolveAddress } from './resolve.ts';

/** One destination that somebody follows, with its frames serialised once per version however many follow it. */
export class CatalogEntry {
  readonly key: string;
  readonly parsed: DestinationKey | AddressKey;
  /** Sessions that follow it; the catalog drops an entry that nobody follows and no split rules. */
  followers = 0;
  destination: Destination | null = null;
  version = 0;
  /** First version that carries the split version in force. */
  splitSince = 0;
  delta: { base: number; frame: Buffer } | undefined;
  #problem: Resolution['problem'];
  #alias: string | undefined;
  #snapshot: Buffer | undefined;

  constructor(key: string, parsed: DestinationKey | AddressKey) {
    this.key = key;
    this.parsed = parsed;
  }

  /** What of the cluster it depends on, as the index names it. */
  get subject(): string {
    const { parsed } = this;
    return 'ip' in parsed ? addressSubject(parsed.ip) : `${parsed.namespace}/${parsed.name}`;
  }

  get snapshot(): Buffer {
    this.#snapshot ??= Buffer.concat([
      frame({
        type: 'snapshot',
        key: this.key,
        version: this.version,
        destination: this.destination,
        ...(this.#alias === undefined ? {} : { alias: this.#alias }),
      }),
      ...(this.#problem ? [frame({ type: 'error', key: this.key, ...this.#problem })] : []),
    ]);
    return this.#snapshot;
  }

  /** True when this changed what followers must know. */
  update(resolution: Resolution, nextVersion: () => number): boolean {
    const { destination, problem, alias } = resolution;
    const same =
      this.version > 0 &&
      alias === this.#alias &&
      sameJson(destination, this.destination) &&
      sameJson(problem, this.#problem);
    if (same) return false;
    const base = this.version;
    const changes = base > 0 ? diffDestination(this.destination, destination) : undefined;
    const splitBefore = this.destination?.split?.version;
    this.version = nextVersion();
    if (destination?.split?.version !== splitBefore) this.splitSince = this.version;
    this.destination = destination;
    this.#problem = problem;
    this.#alias = alias;
    this.#snapshot = undefined;
    this.delta = changes && {
      base,
      frame: frame({ type: 'delta', key: this.key, base, version: this.version, changes }),
    };
    return true;
  }
}

export interface CatalogOptions {
  index: ClusterIndex;
  leaseSeconds: number;
  /** Versions start after this; a time keeps them growing over restarts. */
  firstVersion?: number;
  /** Several TrafficSplits name one root Service: all but the oldest lose. Called once per loser. */
  onConflict?: (loser: TrafficSplit, winner: TrafficSplit) => void;
}

/**
 * The destinations that somebody follows or a split rules, kept up to date. A change costs only the destinations it can
 * affect; all changes of one turn of the event loop make one version.
 */
export class Catalog {
  readonly #options: CatalogOptions;
  readonly #entries = new Map<string, CatalogEntry>();
  readonly #bySubject = new Map<string, Set<CatalogEntry>>();
  readonly #listeners = new Set<(entry: CatalogEntry) => void>();
  readonly #dirty = new Set<string>();
  readonly #conflicts = new Map<string, Set<string>>();
  #scheduled = false;
  #version: number;

  constructor(options: CatalogOptions) {
    this.#options = options;
    this.#version = options.firstVersion ?? Date.now();
  }

  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#entries.size;
  }

  entries(): IterableIterator<CatalogEntry> {
    return this.#entries.values();
  }

  get(key: string): CatalogEntry | undefined {
    return this.#entries.get(key);
  }

  onChange(listener: (entry: CatalogEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The entry of a key, from now on kept; undefined when the text is no destination key. */
  follow(key: string): CatalogEntry | undefined {
    const entry = this.#entries.get(key) ?? this.#create(key);
    if (entry) entry.followers += 1;
    return entry;
  }

  unfollow(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    entry.followers -= 1;
    this.#dropIfIdle(entry);
  }

  /** What is affected, as the index has it. */
  set(change: ClusterObject): Set<string> {
    return this.#mark(this.#options.index.set(change));
  }

  remove(change: ClusterObject): Set<string> {
    return this.#mark(this.#options.index.remove(change));
  }

  /** Recomputes at once what is marked, instead of at the end of this turn. */
  flush(): void {
    this.#scheduled = false;
    const subjects = [...this.#dirty];
    this.#dirty.clear();
    for (const service of subjects) {
      this.#pinPorts(service);
      for (const entry of [...(this.#bySubject.get(service) ?? [])]) {
        if (entry.update(this.#resolve(entry), this.#nextVersion))
          for (const listener of this.#listeners) listener(entry);
        this.#dropIfIdle(entry);
      }
      this.#reportConflicts(service);
    }
  }

  /** A split is acknowledged per destination: those must exist even when no proxy has asked yet. */
  #pinPorts(service: string): void {
    const { index } = this.#options;
    if (index.splitsOf(service).length === 0) return;
    const [namespace, name] = service.split('/');
    const found = index.service(service);
    for (const { port } of found ? tcpPorts(found) : []) {
      const key = `${name}.${namespace}:${port}`;
      if (this.#entries.has(key)) continue;
      const entry = this.#create(key);
      if (entry) for (const listener of this.#listeners) listener(entry);
    }
  }

  #create(key: string): CatalogEntry | undefined {
    const parsed = parseDestinationKey(key) ?? parseAddressKey(key);
    if (!parsed) return undefined;
    const entry = new CatalogEntry(key, parsed);
    this.#entries.set(key, entry);
    const siblings = this.#bySubject.get(entry.subject);
    if (siblings) siblings.add(entry);
    else this.#bySubject.set(entry.subject, new Set([entry]));
    entry.update(this.#resolve(entry), this.#nextVersion);
    return entry;
  }

  #dropIfIdle(entry: CatalogEntry): void {
    if (entry.followers > 0 || entry.destination?.split) return;
    this.#entries.delete(entry.key);
    const siblings = this.#bySubject.get(entry.subject);
    siblings?.delete(entry);
    if (siblings?.size === 0) this.#bySubject.delete(entry.subject);
  }

  #resolve(entry: CatalogEntry): Resolution {
    const { index, leaseSeconds } = this.#options;
    return 'ip' in entry.parsed
      ? resolveAddress(index, entry.parsed)
      : resolve(index, entry.parsed, leaseSeconds);
  }

  readonly #nextVersion = (): number => ++this.#version;

  #mark(services: Set<string>): Set<string> {
    for (const service of services) this.#dirty.add(service);
    if (this.#scheduled || this.#dirty.size === 0) return services;
    this.#scheduled = true;
    setImmediate(() => {
      if (this.#scheduled) this.flush();
    });
    return services;
  }

  #reportConflicts(service: string): void {
    const [winner, ...losers] = this.#options.index.splitsOf(service);
    const reported = this.#conflicts.get(service) ?? new Set();
    const now = new Set(losers.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`));
    for (const loser of losers)
      if (winner && !reported.has(`${loser.metadata.namespace}/${loser.metadata.name}`))
        this.#options.onConflict?.(loser, winner);
    if (now.size > 0) this.#conflicts.set(service, now);
    else this.#conflicts.delete(service);
  }
}

/** One line of a stream. */
export function frame(value: DownFrame): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
