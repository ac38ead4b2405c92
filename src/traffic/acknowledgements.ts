import type { ClientRequest } from 'node:http';
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import type { AcknowledgementFrame } from '../api/acknowledgement.ts';
import { Backoff } from '../lib/backoff.ts';
import type { Logger } from '../lib/log.ts';
import { Frames } from './frames.ts';
import { type Acknowledged, tally } from './tally.ts';

export type { Acknowledged } from './tally.ts';

export interface TlsMaterial {
  key: string;
  cert: string;
  trust: string;
}

export interface AcknowledgementsOptions {
  /** `host:port` of every replica of `weir mesh` that proxies may be connected to, ready or not; undefined while that is not known yet. */
  replicas: () => string[] | undefined;
  /** Name in the replicas' certificate. */
  servername: string;
  /** Undefined while there is no certificate yet. */
  tls: () => TlsMaterial | undefined;
  log: Logger;
}

/** Pings come every lease / 3 = 5 s; a stream that says nothing for a lease is dead. */
const SILENCE = 15_000;
/** The first frames arrive with the response; after this a replica that sent none knows no split. */
const GREETING = 250;
/** A proxy that lost its control plane is back with another replica, or sends to stable alone, after this. */
const LEASE = 15_000;
/** A replica whose ports disagree about the version for this long is asked anew: a port may have gone. */
const DOUBT = 2000;

/** Proxies of a replica that has gone: `of` were counted in all, until `until` they may be with nobody. */
interface Lost {
  of: number;
  until: number;
}

/** One stream to every replica. A replica without a live stream is unknown, and unknown is not acknowledged. */
export class Acknowledgements {
  readonly #options: AcknowledgementsOptions;
  readonly #streams = new Map<string, Stream>();
  readonly #lost = new Map<string, Lost>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #listeners = new Set<(split: string) => void>();
  #stopped = false;

  constructor(options: AcknowledgementsOptions) {
    this.#options = options;
  }

  /** Follows the replicas as they are now; call it again whenever they or the certificate change. */
  refresh(): void {
    if (this.#stopped) return;
    const wanted = new Set(this.#options.replicas() ?? []);
    for (const [address, stream] of this.#streams) {
      if (wanted.has(address)) continue;
      this.#gone(stream);
      stream.stop();
      this.#streams.delete(address);
      this.#tell('');
    }
    for (const address of wanted) {
      if (this.#streams.has(address)) continue;
      this.#streams.set(address, new Stream(address, this.#options, (split) => this.#tell(split)));
    }
  }

  /** Whether every proxy routes by exactly this version of the split `namespace/name`. */
  of(split: string, version: string): Acknowledged {
    const reports = this.#options.replicas()?.map((address) => {
      const stream = this.#streams.get(address);
      return { address, live: stream?.live === true, frames: stream?.framesOf(split) ?? [] };
    });
    const lost = this.#lost.get(split);
    if (lost && Date.now() >= lost.until) this.#lost.delete(split);
    return tally(split, version, reports, this.#lost.get(split)?.of);
  }

  /** Its proxies are with no other replica yet, and route by what they last heard until their lease is over. */
  #gone(stream: Stream): void {
    const until = (stream.lostAt ?? Date.now()) + LEASE;
    for (const split of stream.known()) {
      const of = [...this.#streams.values()].reduce((sum, each) => sum + each.lastCount(split), 0);
      const before = this.#lost.get(split);
      this.#lost.set(split, {
        of: Math.max(of, before?.of ?? 0),
        until: Math.max(until, before?.until ?? 0),
      });
    }
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        this.#tell('');
      },
      Math.max(0, until - Date.now()) + 1,
    );
    this.#timers.add(timer);
  }

  onChange(listener: (split: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const stream of this.#streams.values()) stream.stop();
    this.#streams.clear();
  }

  #tell(split: string): void {
    for (const listener of this.#listeners) listener(split);
  }
}

class Stream {
  readonly #address: string;
  readonly #options: AcknowledgementsOptions;
  readonly #tell: (split: string) => void;
  readonly #frames = new Frames();
  readonly #backoff = new Backoff({ initial: 50, max: 2000 });
  #request: ClientRequest | undefined;
  #retry: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #stopped = false;
  #live = false;
  #doubt: NodeJS.Timeout | undefined;
  /** Proxies of each split when it was last heard. */
  #counts = new Map<string, number>();
  lostAt: number | undefined;

  constructor(address: string, options: AcknowledgementsOptions, tell: (split: string) => void) {
    this.#address = address;
    this.#options = options;
    this.#tell = tell;
    this.#connect();
  }

  get live(): boolean {
    return this.#live;
  }

  framesOf(split: string): readonly AcknowledgementFrame[] {
    return this.#frames.of(split);
  }

  known(): Iterable<string> {
    return this.#counts.keys();
  }

  lastCount(split: string): number {
    return this.#counts.get(split) ?? 0;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    clearTimeout(this.#doubt);
    this.#request?.destroy();
    this.#live = false;
  }

  #connect() {
    const tls = this.#options.tls();
    if (!tls) return this.#later();
    const colon = this.#address.lastIndexOf(':');
    const outgoing = request({
      host: this.#address.slice(0, colon),
      port: Number(this.#address.slice(colon + 1)),
      path: '/v1/acknowledgements',
      servername: this.#options.servername,
      key: tls.key,
      cert: tls.cert,
      ca: tls.trust,
      minVersion: 'TLSv1.3',
      agent: false,
    });
    this.#request = outgoing;
    this.#heard();
    outgoing.once('response', (response) => {
      if (response.statusCode !== 200) {
        this.#options.log.warn(
          { address: this.#address, status: response.statusCode },
          'the mesh refused the acknowledgement stream',
        );
        response.resume();
        outgoing.destroy();
        return;
      }
      this.#frames.clear();
      const greeting = setTimeout(() => this.#greeted(), GREETING);
      response.once('close', () => {
        clearTimeout(greeting);
        this.#lost(outgoing);
      });
      // A peer that dies mid-stream is an error of the lines too, and one that nobody hears ends the process.
      createInterface({ input: response })
        .on('line', (line) => this.#line(line))
        .on('error', () => this.#lost(outgoing));
    });
    outgoing.on('error', (error) => {
      this.#options.log.debug({ address: this.#address, error }, 'acknowledgement stream broke');
      this.#lost(outgoing);
    });
    outgoing.once('close', () => this.#lost(outgoing));
    outgoing.end();
  }

  #greeted(): void {
    if (this.#live || this.#stopped) return;
    this.#live = true;
    this.lostAt = undefined;
    this.#counts = new Map(this.#frames.splits().map((split) => [split, this.#count(split)]));
    this.#backoff.reset();
    this.#tell('');
  }

  #line(line: string) {
    this.#heard();
    let frame: AcknowledgementFrame;
    try {
      frame = JSON.parse(line) as AcknowledgementFrame;
    } catch {
      this.#request?.destroy();
      return;
    }
    if (frame.type !== 'acknowledgement') return this.#greeted();
    const before = this.#frames.set(frame);
    if (this.#live) this.#counts.set(frame.split, this.#count(frame.split));
    this.#agree(frame.split);
    if (before && before.split !== frame.split) this.#tell(before.split);
    this.#tell(frame.split);
  }

  #count(split: string): number {
    return this.framesOf(split).reduce((sum, { subscribed }) => sum + subscribed, 0);
  }

  /** Nothing is sent about a port that was removed: a fresh stream does not speak of it. */
  #agree(split: string): void {
    const versions = () => new Set(this.framesOf(split).map(({ version }) => version)).size;
    if (versions() < 2 || this.#doubt) return;
    this.#doubt = setTimeout(() => {
      this.#doubt = undefined;
      if (versions() > 1) this.#request?.destroy();
    }, DOUBT);
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#request?.destroy(), SILENCE);
  }

  #lost(outgoing: ClientRequest): void {
    if (this.#request !== outgoing) return;
    this.#request = undefined;
    clearTimeout(this.#silence);
    outgoing.destroy();
    const splits = this.#frames.splits();
    this.#frames.clear();
    if (this.#live) this.lostAt = Date.now();
    this.#live = false;
    for (const split of splits) this.#tell(split);
    this.#later();
  }

  #later(): void {
    if (this.#stopped) return;
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.next());
  }
}
