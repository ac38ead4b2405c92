import type { ClientRequest } from 'node:http';
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import { Backoff } from '../lib/backoff.ts';
import type { Logger } from '../lib/log.ts';

/** A line of GET /v1/acknowledgements of `weir mesh`; see the ADR on the discovery stream. */
interface Frame {
  type: 'acknowledgement' | 'ping';
  key: string;
  split: string;
  version: string;
  subscribed: number;
  acknowledged: number;
  settled?: boolean;
}

export interface TlsMaterial {
  key: string;
  cert: string;
  trust: string;
}

export interface AcknowledgementsOptions {
  /** `host:port` of every ready replica of `weir mesh`; undefined while that is not known yet. */
  replicas: () => string[] | undefined;
  /** Name in the replicas' certificate. */
  servername: string;
  /** Undefined while there is no certificate yet. */
  tls: () => TlsMaterial | undefined;
  log: Logger;
}

export interface Acknowledged {
  done: boolean;
  proxies: number;
  of: number;
}

const UNKNOWN: Acknowledged = { done: false, proxies: 0, of: 0 };
/** Pings come every lease / 3 = 5 s; a stream that says nothing for a lease is dead. */
const SILENCE = 15_000;
/** The first frames arrive with the response; after this a replica that sent none has none. */
const GREETING = 250;

/** One stream to every replica. A replica without a live stream is unknown, and unknown is not acknowledged. */
export class Acknowledgements {
  readonly #options: AcknowledgementsOptions;
  readonly #streams = new Map<string, Stream>();
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
      stream.stop();
      this.#streams.delete(address);
      for (const split of stream.splits()) this.#tell(split);
    }
    for (const address of wanted) {
      if (this.#streams.has(address)) continue;
      this.#streams.set(address, new Stream(address, this.#options, (split) => this.#tell(split)));
    }
  }

  /** Whether every proxy routes by exactly this version of the split `namespace/name`. */
  of(split: string, version: string): Acknowledged {
    const replicas = this.#options.replicas();
    if (replicas === undefined || replicas.length === 0) return UNKNOWN;
    let done = true;
    let proxies = 0;
    let of = 0;
    for (const address of replicas) {
      const stream = this.#streams.get(address);
      if (!stream?.live) {
        done = false;
        continue;
      }
      for (const frame of stream.framesOf(split)) {
        of += frame.subscribed;
        const current = frame.version === version;
        if (current) proxies += frame.acknowledged;
        if (!current || frame.settled === false || frame.acknowledged < frame.subscribed) done = false;
      }
    }
    return { done, proxies, of };
  }

  onChange(listener: (split: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#stopped = true;
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
  readonly #frames = new Map<string, Frame>();
  readonly #backoff = new Backoff({ initial: 50, max: 2000 });
  #request: ClientRequest | undefined;
  #retry: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #stopped = false;
  #live = false;

  constructor(address: string, options: AcknowledgementsOptions, tell: (split: string) => void) {
    this.#address = address;
    this.#options = options;
    this.#tell = tell;
    this.#connect();
  }

  get live(): boolean {
    return this.#live;
  }

  framesOf(split: string): Frame[] {
    return [...this.#frames.values()].filter((frame) => frame.split === split);
  }

  splits(): Set<string> {
    return new Set([...this.#frames.values()].map(({ split }) => split));
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
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
      createInterface({ input: response }).on('line', (line) => this.#line(line));
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
    this.#backoff.reset();
    this.#tell('');
  }

  #line(line: string) {
    this.#heard();
    let frame: Frame;
    try {
      frame = JSON.parse(line) as Frame;
    } catch {
      this.#request?.destroy();
      return;
    }
    if (frame.type !== 'acknowledgement') return this.#greeted();
    const before = this.#frames.get(frame.key);
    this.#frames.set(frame.key, frame);
    if (before && before.split !== frame.split) this.#tell(before.split);
    this.#tell(frame.split);
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
    const splits = this.splits();
    this.#frames.clear();
    this.#live = false;
    for (const split of splits) this.#tell(split);
    this.#later();
  }

  #later(): void {
    if (this.#stopped) return;
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.next());
  }
}
