import type { Catalog, CatalogEntry } from './catalog.ts';

/** Where a session's frames go: an HTTP response, or anything else that can be full. */
export interface FrameSink {
  write(frame: Buffer): void;
  /** True while so much is unsent that deltas would only pile up. */
  readonly full: boolean;
  /** Ends the stream; `reason` is for the log. */
  end(reason: string): void;
}

export interface SessionOwner {
  /** SPIFFE id of the client certificate. */
  identity: string;
  /** `namespace/name` of the proxy's pod, when it said so. */
  pod?: string;
}

interface Subscription {
  entry: CatalogEntry;
  /** Version last written to the stream; 0 = none. */
  sent: number;
  acked: number;
  ackedSplit: string | undefined;
}

/** One proxy: what it follows, what it was sent, what it routes by. */
export class Session {
  readonly id: string;
  readonly owner: SessionOwner;
  readonly #catalog: Catalog;
  readonly #subscriptions = new Map<string, Subscription>();
  /** Keys that changed while the stream was full. */
  readonly #behind = new Set<string>();
  #sink: FrameSink | undefined;
  /** Milliseconds; when the stream was lost. */
  disconnectedAt: number | undefined;
  lastHeard: number;
  connectedAt: number;
  /** It has answered a ping, so it will answer them all (ADR 0002). */
  answersPings = false;
  /** It has said what it follows, after (re)connecting. */
  introduced = false;

  constructor(id: string, owner: SessionOwner, catalog: Catalog, now: number) {
    this.id = id;
    this.owner = owner;
    this.#catalog = catalog;
    this.lastHeard = now;
    this.connectedAt = now;
  }

  get connected(): boolean {
    return this.#sink !== undefined;
  }

  get keys(): IterableIterator<string> {
    return this.#subscriptions.keys();
  }

  /** How many it would follow with these as well. */
  sizeWith(keys: readonly string[]): number {
    return new Set([...this.#subscriptions.keys(), ...keys]).size;
  }

  /** Gives the session a (new) stream and sends what the proxy has not acknowledged. The old stream ends. */
  connect(sink: FrameSink, now: number): void {
    this.#sink?.end('replaced by a newer stream of the same proxy');
    this.#sink = sink;
    this.disconnectedAt = undefined;
    this.lastHeard = now;
    this.connectedAt = now;
    this.#behind.clear();
    for (const subscription of this.#subscriptions.values())
      if (subscription.acked !== subscription.entry.version) this.#sendSnapshot(subscription);
  }

  /** Only the stream that is still the session's own counts. */
  disconnect(sink: FrameSink, now: number): boolean {
    if (this.#sink !== sink) return false;
    this.#sink = undefined;
    this.disconnectedAt = now;
    return true;
  }

  /** Ends the stream from this side. */
  drop(reason: string, now: number): void {
    const sink = this.#sink;
    if (!sink) return;
    this.#sink = undefined;
    this.disconnectedAt = now;
    sink.end(reason);
  }

  /** Follows a key, or sends its snapshot again; false when the text is no key. */
  subscribe(key: string): boolean {
    let subscription = this.#subscriptions.get(key);
    if (!subscription) {
      const entry = this.#catalog.follow(key);
      if (!entry) return false;
      subscription = { entry, sent: 0, acked: 0, ackedSplit: undefined };
      this.#subscriptions.set(key, subscription);
    }
    this.#sendSnapshot(subscription);
    return true;
  }

  unsubscribe(key: string): boolean {
    if (!this.#subscriptions.delete(key)) return false;
    this.#behind.delete(key);
    this.#catalog.unfollow(key);
    return true;
  }

  /** Gives up all subscriptions, at the end of the session. */
  close(reason: string): void {
    this.#sink?.end(reason);
    this.#sink = undefined;
    for (const key of [...this.#subscriptions.keys()]) this.unsubscribe(key);
  }

  /** The entry has a new version: the smallest frame that brings this proxy there. */
  push(entry: CatalogEntry): void {
    const subscription = this.#subscriptions.get(entry.key);
    const sink = this.#sink;
    if (!subscription || !sink) return;
    if (sink.full) this.#behind.add(entry.key);
    else if (entry.delta && subscription.sent === entry.delta.base) {
      sink.write(entry.delta.frame);
      subscription.sent = entry.version;
    } else this.#sendSnapshot(subscription);
  }

  /** The stream has drained: one snapshot for everything that changed meanwhile. */
  catchUp(): void {
    for (const key of [...this.#behind]) {
      if (!this.#sink || this.#sink.full) return;
      this.#behind.delete(key);
      const subscription = this.#subscriptions.get(key);
      if (subscription && subscription.sent !== subscription.entry.version) this.#sendSnapshot(subscription);
    }
  }

  write(bytes: Buffer): void {
    if (this.#sink && !this.#sink.full) this.#sink.write(bytes);
  }

  /** True when the ack said something new. */
  ack(key: string, version: number, split: string | undefined): boolean {
    const subscription = this.#subscriptions.get(key);
    // An ack for what was never sent in this session belongs to another one.
    if (!subscription || version > subscription.sent || version < subscription.acked) return false;
    const news = version !== subscription.acked || split !== subscription.ackedSplit;
    subscription.acked = version;
    subscription.ackedSplit = split;
    return news;
  }

  /** Does this proxy route by the split version in force? */
  hasAcknowledged(entry: CatalogEntry): boolean {
    const subscription = this.#subscriptions.get(entry.key);
    if (!subscription || subscription.acked === 0 || subscription.acked < entry.splitSince) return false;
    return (
      subscription.ackedSplit === undefined || subscription.ackedSplit === entry.destination?.split?.version
    );
  }

  #sendSnapshot(subscription: Subscription): void {
    const sink = this.#sink;
    if (!sink) return;
    if (sink.full) {
      this.#behind.add(subscription.entry.key);
      return;
    }
    sink.write(subscription.entry.snapshot);
    subscription.sent = subscription.entry.version;
    this.#behind.delete(subscription.entry.key);
  }
}
