import { Backoff } from '../../lib/backoff.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { AppError, isCode, toAppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { type Caller, type ControlPlane, HttpsCaller, postJson } from '../identity/client/request.ts';
import type { IdentityMaterial } from '../identity/client.ts';
import { applyChanges } from './client/apply.ts';
import { LineReader } from './client/lines.ts';
import type { AckRequest, Destination, DownFrame, SubscriptionRequest } from './model.ts';

export interface DiscoveryClientOptions extends ControlPlane {
  credentials: { current(): IdentityMaterial | undefined };
  /** Names this proxy in the control plane's books. */
  pod?: string;
  /** Destination keys to follow from the start. */
  keys: string[];
  /**
   * Must have switched routing when it returns: the acknowledgement follows. undefined: no such destination. `alias`: the
   * key is an address that stands for this destination.
   */
  apply: (key: string, destination: Destination | undefined, alias?: string) => void;
  /** Any word from the control plane renews the leases for this many seconds. */
  heard: (leaseSeconds: number) => void;
  trust: (bundle: string) => void;
  /** How requests are made, unless by node:https. */
  caller?: Caller;
  log: Logger;
  clock?: Clock;
  random?: () => number;
}

/**
 * Milliseconds after which the loss of a stream is a first one, and the next is tried at once. One that ends sooner may end again: two
 * proxies that give the same pod's name take its session from each other.
 */
const LASTED = 2_000;

interface Known {
  destination: Destination | undefined;
  /** In this session; undefined: a snapshot has been asked for. */
  version: number | undefined;
}

/** Follows the destinations this proxy talks to; keeps the last known good state while the control plane is away. */
export class DiscoveryClient {
  readonly #options: DiscoveryClientOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #keys: Set<string>;
  readonly #known = new Map<string, Known>();
  /** Keys without a version at the last ping. */
  #overdue = new Set<string>();
  /** Keys the control plane does not take: asking again in this session changes nothing. */
  readonly #refused = new Set<string>();
  readonly #waiting: Set<string>;
  readonly #synced = Promise.withResolvers<void>();
  readonly #caller: Caller;
  readonly #backoff: Backoff;
  readonly #greeted = Promise.withResolvers<void>();
  /** Keys added (true) and removed (false) that the control plane has not been told of. */
  readonly #changes = new Map<string, boolean>();
  /** This stream has said hello: what changes from now on is told by itself. */
  #greeting = false;
  #session: string | undefined;
  #leaseSeconds = 15;
  #acks = new Map<string, AckRequest['acks'][number]>();
  #ping: number | undefined;
  #posting = false;
  #running: Promise<void> | undefined;
  #connected = false;
  /** When the last stream opened. */
  #opened = 0;
  #breakStream: ((error: Error) => void) | undefined;

  constructor(options: DiscoveryClientOptions) {
    this.#options = options;
    this.#caller = options.caller ?? new HttpsCaller(options);
    this.#clock = options.clock ?? systemClock;
    this.#keys = new Set(options.keys);
    this.#waiting = new Set(options.keys);
    this.#backoff = new Backoff({ initial: 50, max: 5_000, random: options.random ?? Math.random });
    if (this.#waiting.size === 0) this.#synced.resolve();
  }

  /** Whether a stream is open. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Resolves when every destination has had its first answer. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** Resolves when a stream has opened for the first time. */
  get greeted(): Promise<void> {
    return this.#greeted.promise;
  }

  /** Follows one more destination, from now on and in every session. */
  follow(key: string) {
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    this.#change(key, true);
  }

  /** Follows it no longer: what was known of it is forgotten. */
  unfollow(key: string) {
    if (!this.#keys.delete(key)) return;
    this.#known.delete(key);
    this.#acks.delete(key);
    this.#overdue.delete(key);
    this.#refused.delete(key);
    this.#change(key, false);
  }

  /** Tells the control plane, together with whatever else changes in this turn of the event loop. */
  #change(key: string, follow: boolean) {
    const { size } = this.#changes;
    this.#changes.set(key, follow);
    if (size > 0) return;
    setImmediate(() => {
      const changes = [...this.#changes];
      this.#changes.clear();
      // Without a stream there is nobody to tell; the next session begins with all of them.
      if (!this.#greeting) return;
      const of = (added: boolean) => changes.filter(([, each]) => each === added).map(([each]) => each);
      this.#subscribe(of(true), of(false));
    });
  }

  start() {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#caller.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#stream();
      } catch (thrown) {
        if (signal.aborted) return;
        const error = toAppError(thrown);
        // The session is unknown to a control plane that was restarted: the next stream opens a new one.
        if (isCode(error, 'NotFound')) this.#session = undefined;
        log.warn({ error: error.message }, 'discovery stream ended; routing by what is known');
      }
      if (this.#connected && this.#clock.now() - this.#opened >= LASTED) this.#backoff.reset();
      this.#connected = false;
      this.#greeting = false;
      await this.#clock.sleep(this.#backoff.next(), signal).catch(() => {});
    }
  }

  /** One stream, until it ends. */
  #stream(): Promise<void> {
    const { credentials, pod, heard } = this.#options;
    const material = credentials.current();
    if (!material) throw new AppError('Unavailable', 'waiting for a certificate');
    const query = new URLSearchParams();
    if (this.#session) query.set('session', this.#session);
    if (pod) query.set('pod', pod);
    const { signal } = this.#stop;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const lines = new LineReader((text) => this.#frame(JSON.parse(text) as DownFrame));
    // A peer that is gone without a word: pings come three times per lease.
    const silence = setTimeout(
      () => fail(new AppError('Timeout', 'nothing heard from the control plane for a whole lease')),
      this.#leaseSeconds * 1000,
    );
    const stream = this.#caller.call(
      { method: 'GET', path: `/v1/discover?${query}`, credentials: material, signal },
      {
        status: (code) => {
          if (code === 200) {
            this.#connected = true;
            this.#opened = this.#clock.now();
            return;
          }
          const reason = code === 404 ? 'NotFound' : 'Unavailable';
          fail(new AppError(reason, `the control plane answered ${code} to /v1/discover`));
        },
        data: (chunk) => {
          silence.refresh();
          try {
            lines.push(chunk);
            heard(this.#leaseSeconds);
          } catch (thrown) {
            fail(toAppError(thrown));
          }
        },
        error: reject,
        end: resolve,
      },
    );
    const fail = (error: Error) => {
      reject(error);
      stream.destroy();
    };
    this.#breakStream = fail;
    return promise.finally(() => clearTimeout(silence));
  }

  #frame(frame: DownFrame) {
    const { log, trust } = this.#options;
    switch (frame.type) {
      case 'hello': {
        this.#session = frame.session;
        this.#greeting = true;
        this.#greeted.resolve();
        this.#leaseSeconds = frame.leaseSeconds;
        if (!frame.resumed) {
          // Versions mean nothing beyond their session; what they described goes on being used meanwhile.
          this.#acks.clear();
          this.#refused.clear();
          for (const known of this.#known.values()) known.version = undefined;
        }
        // A resumed session too may lack some: the request for them was lost with the stream before.
        this.#overdue.clear();
        this.#subscribe(this.#missing());
        this.#flush();
        return;
      }
      case 'snapshot':
        return this.#accept(frame.key, frame.destination ?? undefined, frame.version, frame.alias);
      case 'delta': {
        if (!this.#keys.has(frame.key)) return this.#stray(frame.key);
        const known = this.#known.get(frame.key);
        if (known?.version === frame.base && known.destination) {
          return this.#accept(frame.key, applyChanges(known.destination, frame.changes), frame.version);
        }
        // Asked for already: deltas that come before the snapshot are part of it.
        if (known?.version === undefined) return;
        known.version = undefined;
        return this.#subscribe([frame.key]);
      }
      case 'trust':
        return trust(frame.bundle);
      case 'ping':
        this.#ping = frame.version;
        this.#askAgain();
        return this.#flush();
      case 'error':
        if (frame.key !== undefined) this.#refused.add(frame.key);
        log.warn({ key: frame.key, code: frame.code, message: frame.message }, 'the control plane reports');
        return;
      default:
        // A frame of a later version: nothing that is understood depends on it.
        return;
    }
  }

  #accept(key: string, destination: Destination | undefined, version: number, alias?: string) {
    if (!this.#keys.has(key)) return this.#stray(key);
    this.#options.apply(key, destination, alias);
    this.#known.set(key, { destination, version });
    this.#acks.set(key, { key, version, split: destination?.split?.version });
    if (this.#waiting.delete(key) && this.#waiting.size === 0) this.#synced.resolve();
    this.#flush();
  }

  /**
   * The control plane has not heard that this key is followed no longer. It must: it would wait for acknowledgements.
   */
  #stray(key: string) {
    this.#change(key, false);
  }

  /** Keys that this session has given no state for, or none that can be built on. */
  #missing(): string[] {
    return [...this.#keys].filter(
      (key) => this.#known.get(key)?.version === undefined && !this.#refused.has(key),
    );
  }

  /** What was missing for a whole interval between pings is asked for again, whatever became of the request. */
  #askAgain() {
    const missing = this.#missing();
    this.#subscribe(missing.filter((key) => this.#overdue.has(key)));
    this.#overdue = new Set(missing);
  }

  #subscribe(add: string[], remove: string[] = []) {
    if (add.length === 0 && remove.length === 0) return;
    const { log } = this.#options;
    const body: SubscriptionRequest = { session: this.#session!, add, remove };
    const breakStream = this.#breakStream;
    this.#post('/v1/subscriptions', body).catch((thrown) => {
      log.warn({ error: toAppError(thrown).message }, 'could not subscribe');
      // A stream without its subscriptions is of no use: the next one asks for them again.
      breakStream?.(toAppError(thrown));
    });
  }

  /** Sends what is to be acknowledged, one request at a time; what comes meanwhile goes with the next. */
  #flush() {
    if (this.#posting || this.#session === undefined || this.#stop.signal.aborted) return;
    if (this.#acks.size === 0 && this.#ping === undefined) return;
    const acks = this.#acks;
    const ping = this.#ping;
    this.#acks = new Map();
    this.#ping = undefined;
    this.#posting = true;
    const session = this.#session;
    const breakStream = this.#breakStream;
    const body: AckRequest = { session, acks: [...acks.values()], ...(ping === undefined ? {} : { ping }) };
    this.#post('/v1/acks', body).then(
      () => {
        this.#posting = false;
        this.#flush();
      },
      (thrown) => {
        this.#posting = false;
        this.#options.log.warn({ error: toAppError(thrown).message }, 'could not acknowledge');
        // Newer versions win; a new session asks again for everything anyway.
        if (session === this.#session) {
          for (const [key, ack] of acks) if (!this.#acks.has(key)) this.#acks.set(key, ack);
        }
        breakStream?.(toAppError(thrown));
      },
    );
  }

  async #post(path: string, body: unknown): Promise<void> {
    const { credentials } = this.#options;
    const material = credentials.current();
    if (!material) throw new AppError('Unavailable', 'waiting for a certificate');
    const { signal } = this.#stop;
    await postJson(this.#caller, { path, body, credentials: material, keep: true, signal });
  }
}
