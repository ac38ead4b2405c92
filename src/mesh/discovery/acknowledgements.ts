import type { AcknowledgementFrame } from '../../api/acknowledgement.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Catalog, CatalogEntry } from './catalog.ts';
import type { ClusterIndex } from './cluster-index.ts';
import type { SessionRegistry } from './registry.ts';
import type { FrameSink } from './session.ts';

/** A proxy that has reconnected but follows nothing says nothing; after this it counts as heard. */
const INTRODUCTION_PATIENCE = 2000;

export interface AcknowledgementsOptions {
  catalog: Catalog;
  registry: SessionRegistry;
  index: ClusterIndex;
  leaseSeconds: number;
  clock: Clock;
}

/**
 * Who routes by which split, for the controllers that watch. A replica that has just started does not know who was
 * connected to the one before it: until every meshed pod has been heard, or a lease is over (by when a proxy that lost
 * its control plane sends to stable alone), its counts say `settled: false`.
 */
export class Acknowledgements {
  readonly #options: AcknowledgementsOptions;
  readonly #startedAt: number;
  readonly #watchers = new Set<FrameSink>();
  readonly #dirty = new Set<string>();
  readonly #last = new Map<string, string>();
  #scheduled = false;
  #settled = false;

  constructor(options: AcknowledgementsOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    options.registry.onChange((key) => this.#mark(key));
  }

  get settled(): boolean {
    return this.#settled;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Sends every frame there is, then each that changes. */
  watch(sink: FrameSink): void {
    this.flush();
    this.#checkSettled();
    this.#watchers.add(sink);
    for (const entry of this.#options.catalog.entries()) {
      const text = this.#text(entry);
      if (text) sink.write(Buffer.from(text));
    }
  }

  unwatch(sink: FrameSink): void {
    this.#watchers.delete(sink);
  }

  /** To be called about once a second: time alone settles the counts too. */
  tick(): void {
    if (!this.#settled) this.#checkSettled();
  }

  ping(): void {
    const ping: AcknowledgementFrame = {
      type: 'ping',
      key: '',
      split: '',
      version: '',
      subscribed: 0,
      acknowledged: 0,
    };
    this.#broadcast(`${JSON.stringify(ping)}\n`);
  }

  closeAll(reason: string): void {
    for (const sink of this.#watchers) sink.end(reason);
    this.#watchers.clear();
  }

  /** Sends now what would be sent at the end of this turn. */
  flush(): void {
    this.#scheduled = false;
    if (!this.#settled && this.#dirty.size > 0) this.#checkSettled();
    const keys = [...this.#dirty];
    this.#dirty.clear();
    for (const key of keys) {
      const entry = this.#options.catalog.get(key);
      const text = entry && this.#text(entry);
      if (!text) this.#last.delete(key);
      else if (this.#last.get(key) !== text) {
        this.#last.set(key, text);
        this.#broadcast(text);
      }
    }
  }

  #checkSettled(): void {
    if (this.#settled) return;
    const { clock, leaseSeconds, index, registry, catalog } = this.#options;
    if (clock.now() - this.#startedAt < leaseSeconds * 1000) {
      for (const pod of index.pods())
        if (
          pod.injected &&
          pod.ready &&
          !registry.knows(`${pod.namespace}/${pod.name}`, INTRODUCTION_PATIENCE)
        )
          return;
    }
    this.#settled = true;
    for (const entry of catalog.entries()) this.#mark(entry.key);
  }

  #mark(key: string): void {
    this.#dirty.add(key);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      if (this.#scheduled) this.flush();
    });
  }

  #text(entry: CatalogEntry): string | undefined {
    const split = entry.destination?.split;
    if (!split) return undefined;
    const value: AcknowledgementFrame = {
      type: 'acknowledgement',
      key: entry.key,
      split: split.name,
      version: split.version,
      ...this.#options.registry.count(entry),
      settled: this.#settled,
    };
    return `${JSON.stringify(value)}\n`;
  }

  #broadcast(text: string): void {
    const bytes = Buffer.from(text);
    for (const sink of this.#watchers) {
      // A controller that does not read starts over with a fresh stream instead of growing a queue here.
      if (sink.full) {
        this.#watchers.delete(sink);
        sink.end('the watcher reads too slowly');
      } else sink.write(bytes);
    }
  }
}
