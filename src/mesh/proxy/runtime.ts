import type { Logger } from '../../lib/log.ts';
import { Flusher } from './http2/wire.ts';
import { Loops } from './loops.ts';
import type { ProxyMetrics } from './metrics/registry.ts';
import type { Observers } from './observers.ts';
import { Head, type HeadLimits } from './protocol/http1/head.ts';
import { Backlog } from './protocol/http2/backlog.ts';
import { BACKLOG, DEFAULT_HTTP2_LIMITS, type Http2Limits } from './protocol/http2/limits.ts';
import { Refusals } from './refusals.ts';
import { TimerWheel } from './timers.ts';
import type { Listener, ListenOptions, Transport } from './transport/types.ts';

type Http2Only = 'continuations' | 'resets' | 'control' | 'unread' | 'output';

/** Every limit, in bytes, counts and milliseconds. All on by default. */
export interface Limits extends HeadLimits, Pick<Http2Limits, Http2Only> {
  /** From the first byte of a head to its end. */
  headDeadline: number;
  /** A client connection between two requests. */
  keepAliveIdle: number;
  /** A body that has begun, without a byte passing; 0 = no limit. */
  bodyIdle: number;
  /** A client that has had its answer early and goes on sending its request. */
  linger: number;
  /** A tunnel or TCP connection without a byte. */
  tcpIdle: number;
  /** A pooled upstream connection; below what servers close at themselves. */
  pooledIdle: number;
  connectTimeout: number;
  detectTimeout: number;
  handshakeTimeout: number;
  /** Requests in flight; more get 503. */
  inFlight: number;
  /** Client connections; more are closed at once. */
  connections: number;
  /** Body bytes a request may have to be sent again. */
  replay: number;
  /** Requests on one HTTP/2 connection of a client at a time. */
  streams: number;
  /** An HTTP/2 stream whose peer takes no byte of what waits for it. */
  windowStall: number;
  /** An HTTP/2 connection to an endpoint without a request. */
  http2Idle: number;
  /** Silence of one with requests after which it is asked for a sign of life … */
  pingAfter: number;
  /** … and how long for one. */
  pongWithin: number;
  /** What waits for HTTP/2 peers to take it, in bytes of all connections together. */
  backlog: number;
}

export const DEFAULT_LIMITS: Limits = {
  bytes: 65_536,
  count: 200,
  startLine: 8_192,
  headDeadline: 10_000,
  keepAliveIdle: 300_000,
  bodyIdle: 300_000,
  linger: 5_000,
  tcpIdle: 3_600_000,
  pooledIdle: 3_000,
  connectTimeout: 5_000,
  detectTimeout: 1_000,
  handshakeTimeout: 10_000,
  inFlight: 10_000,
  connections: 20_000,
  replay: 65_536,
  streams: DEFAULT_HTTP2_LIMITS.streams,
  windowStall: 30_000,
  http2Idle: 60_000,
  pingAfter: 30_000,
  pongWithin: 10_000,
  continuations: DEFAULT_HTTP2_LIMITS.continuations,
  resets: DEFAULT_HTTP2_LIMITS.resets,
  control: DEFAULT_HTTP2_LIMITS.control,
  unread: DEFAULT_HTTP2_LIMITS.unread,
  output: DEFAULT_HTTP2_LIMITS.output,
  backlog: BACKLOG,
};

/** What the stacks of one proxy share. */
export class Runtime {
  readonly transport: Transport;
  readonly metrics: ProxyMetrics;
  readonly limits: Limits & { http2: Http2Limits };
  readonly flusher: Flusher;
  readonly log: Logger;
  readonly random: () => number;
  /** Where this proxy runs. */
  readonly zone: string | undefined;
  readonly wheel: TimerWheel;
  readonly loops = new Loops(() => this.now());
  readonly #refusals: Refusals;
  readonly requestHead: Head;
  readonly responseHead: Head;
  /** Answers carry `Connection: close` from now on. */
  draining = false;
  inFlight = 0;
  /** That have begun. */
  requests = 0;
  connections = 0;
  /** While somebody watches requests. */
  observers: Observers | undefined;
  /** When the last request or connection began. */
  lastActivity = 0;
  #relieving = false;

  constructor(options: {
    transport: Transport;
    metrics: ProxyMetrics;
    limits?: Partial<Limits>;
    log: Logger;
    random?: () => number;
    zone?: string | undefined;
  }) {
    this.transport = options.transport;
    this.metrics = options.metrics;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const { bytes, count, streams, continuations, resets, control, unread, output } = limits;
    const backlog = new Backlog(limits.backlog, () => this.#relieve());
    const http2 = {
      ...DEFAULT_HTTP2_LIMITS,
      ...{ continuations, resets, control, unread, output },
      backlog,
      headerList: bytes,
      headerBlock: bytes,
      headerCount: count,
      streams,
    };
    this.limits = { ...limits, http2 };
    this.wheel = new TimerWheel(
      20,
      () => this.now(),
      () => this.moment(),
    );
    this.flusher = new Flusher(options.transport);
    this.log = options.log;
    this.#refusals = new Refusals(this.metrics, this.log, () => this.now());
    this.random = options.random ?? Math.random;
    this.zone = options.zone;
    this.requestHead = new Head(this.limits);
    this.responseHead = new Head(this.limits);
  }

  /** Listens; clients whose handshake fails are counted and told of. */
  listen(options: ListenOptions, accept: Parameters<Transport['listen']>[1]): Promise<Listener> {
    return this.transport.listen({ ...options, refused: this.#refusals.refused }, accept);
  }

  /** Later: streams end by it, perhaps the one that is being served. */
  #relieve() {
    if (this.#relieving) return;
    this.#relieving = true;
    this.transport.afterTurn(() => {
      this.#relieving = false;
      this.limits.http2.backlog.relieve();
    });
  }

  now(): number {
    return performance.now();
  }

  /** The time when the events at hand came: what a request asks for several times, for its deadlines and for what is measured. */
  moment(): number {
    return this.transport.moment();
  }
}
