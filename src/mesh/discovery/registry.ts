import { randomUUID } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { Catalog, CatalogEntry } from './catalog.ts';
import { frame } from './catalog.ts';
import type { AckRequest, SubscriptionRequest } from './model.ts';
import { type FrameSink, Session, type SessionOwner } from './session.ts';

/** More than any pod talks to; a bound on what one client can make the server hold. */
const MAX_SUBSCRIPTIONS = 2000;

export interface RegistryOptions {
  catalog: Catalog;
  leaseSeconds: number;
  clock: Clock;
  /** The trust bundle (PEM) that a new stream is told right after hello. */
  trust?: () => string;
}

/** All sessions of this replica, by id, by pod and by what they follow. */
export class SessionRegistry {
  readonly #catalog: Catalog;
  readonly #lease: number;
  readonly #clock: Clock;
  readonly #trust: (() => string) | undefined;
  readonly #sessions = new Map<string, Session>();
  readonly #byPod = new Map<string, Session>();
  readonly #byKey = new Map<string, Set<Session>>();
  readonly #listeners = new Set<(key: string) => void>();

  constructor(options: RegistryOptions) {
    this.#catalog = options.catalog;
    this.#lease = options.leaseSeconds * 1000;
    this.#clock = options.clock;
    this.#trust = options.trust;
    this.#catalog.onChange((entry) => {
      for (const session of this.#byKey.get(entry.key) ?? []) session.push(entry);
      this.#changed(entry.key);
    });
  }

  get size(): number {
    return this.#sessions.size;
  }

  get connected(): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (session.connected) count += 1;
    return count;
  }

  /** Calls back when the counts of a destination may have changed. */
  onChange(listener: (key: string) => void): void {
    this.#listeners.add(listener);
  }

  /** Opens a stream: continues the session `id` when it is known and the caller's own, else starts one. */
  open(sink: FrameSink, owner: SessionOwner, id: string | undefined): Session {
    const now = this.#clock.now();
    const known = id === undefined ? undefined : this.#sessions.get(id);
    // A session that never said what it follows has nothing to continue, and the proxy may have lost that request.
    const resumed = known !== undefined && known.owner.identity === owner.identity && known.introduced;
    const session = resumed ? known : new Session(randomUUID(), owner, this.#catalog, now);
    if (!resumed) {
      // One proxy per pod: what an earlier life of it followed is history.
      const previous = owner.pod === undefined ? undefined : this.#byPod.get(owner.pod);
      if (previous) this.#end(previous, 'the pod has a new session');
      this.#sessions.set(session.id, session);
      if (owner.pod !== undefined) this.#byPod.set(owner.pod, session);
    }
    sink.write(frame({ type: 'hello', session: session.id, leaseSeconds: this.#lease / 1000, resumed }));
    if (this.#trust) sink.write(this.#trustFrame(this.#trust()));
    session.connect(sink, now);
    return session;
  }

  closed(session: Session, sink: FrameSink): void {
    session.disconnect(sink, this.#clock.now());
  }

  subscriptions(owner: SessionOwner, request: SubscriptionRequest): void {
    const session = this.#find(request.session, owner);
    if (session.sizeWith(request.add) > MAX_SUBSCRIPTIONS)
      throw new AppError('Invalid', `A session may follow at most ${MAX_SUBSCRIPTIONS} destinations`);
    session.introduced = true;
    const wrong: string[] = [];
    for (const key of request.add) {
      if (!session.subscribe(key)) {
        wrong.push(key);
        continue;
      }
      const followers = this.#byKey.get(key);
      if (followers) followers.add(session);
      else this.#byKey.set(key, new Set([session]));
      this.#changed(key);
    }
    for (const key of request.remove) {
      if (!session.unsubscribe(key)) continue;
      this.#forget(key, session);
    }
    for (const key of wrong)
      session.write(
        frame({
          type: 'error',
          key,
          code: 'Invalid',
          message: `"${key}" is not a destination: write name.namespace:port or ip:port`,
        }),
      );
  }

  acks(owner: SessionOwner, request: AckRequest): void {
    const session = this.#find(request.session, owner);
    if (request.ping !== undefined) session.answersPings = true;
    for (const { key, version, split } of request.acks)
      if (session.ack(key, version, split)) this.#changed(key);
  }

  /** Everyone who follows the destination, and how many of them route by the split in force. */
  count(entry: CatalogEntry): { subscribed: number; acknowledged: number } {
    const followers = this.#byKey.get(entry.key);
    let acknowledged = 0;
    for (const session of followers ?? []) if (session.hasAcknowledged(entry)) acknowledged += 1;
    return { subscribed: followers?.size ?? 0, acknowledged };
  }

  /** Has the proxy of this pod said what it follows (or had time to)? */
  knows(pod: string, patienceMilliseconds: number): boolean {
    const session = this.#byPod.get(pod);
    if (!session) return false;
    return session.introduced || this.#clock.now() - session.connectedAt >= patienceMilliseconds;
  }

  podGone(pod: string): void {
    const session = this.#byPod.get(pod);
    if (session) this.#end(session, 'the pod is gone');
  }

  /** Ends what has been silent or away for a whole lease. */
  expire(): void {
    const oldest = this.#clock.now() - this.#lease;
    for (const session of this.#sessions.values()) {
      // The last ping that it can have heard came at most one interval after its last word.
      if (session.connected && session.answersPings && session.lastHeard < oldest)
        session.drop('no answer to pings for a whole lease', session.lastHeard + this.#lease / 3);
      if (session.disconnectedAt !== undefined && session.disconnectedAt < oldest)
        this.#end(session, 'its lease is over');
    }
  }

  ping(): void {
    const ping = frame({ type: 'ping', version: this.#catalog.version });
    for (const session of this.#sessions.values()) session.write(ping);
  }

  /** Tells every stream the bundle as it is now. */
  trustChanged(): void {
    if (!this.#trust) return;
    const bytes = this.#trustFrame(this.#trust());
    for (const session of this.#sessions.values()) session.write(bytes);
  }

  closeAll(reason: string): void {
    for (const session of this.#sessions.values()) session.drop(reason, this.#clock.now());
  }

  #trustFrame(bundle: string): Buffer {
    return frame({ type: 'trust', version: this.#catalog.version, bundle });
  }

  #find(id: string, owner: SessionOwner): Session {
    const session = this.#sessions.get(id);
    if (!session || session.owner.identity !== owner.identity)
      throw new AppError('NotFound', 'The session is unknown here: open a new stream and subscribe again');
    session.lastHeard = this.#clock.now();
    return session;
  }

  #end(session: Session, reason: string): void {
    this.#sessions.delete(session.id);
    const { pod } = session.owner;
    if (pod !== undefined && this.#byPod.get(pod) === session) this.#byPod.delete(pod);
    const keys = [...session.keys];
    session.close(reason);
    for (const key of keys) this.#forget(key, session);
  }

  #forget(key: string, session: Session): void {
    const followers = this.#byKey.get(key);
    followers?.delete(session);
    if (followers?.size === 0) this.#byKey.delete(key);
    this.#changed(key);
  }

  #changed(key: string): void {
    for (const listener of this.#listeners) listener(key);
  }
}
