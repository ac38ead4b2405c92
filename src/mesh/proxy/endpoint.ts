import { sameJson } from '../../lib/same-json.ts';
import { Breaker, type BreakerPolicy } from './balance/breaker.ts';
import { PeakEwma } from './balance/ewma.ts';
import type { Upstream } from './http1/upstream.ts';
import { Http2Pool } from './http2/upstream.ts';
import type { HttpSeries, TcpSeries } from './metrics/series.ts';
import { MULTIPLEXED } from './protocol/detect.ts';
import type { Runtime } from './runtime.ts';
import type { Connection, ConnectionHandler, Transport } from './transport/types.ts';

/** Requests in flight to one endpoint from which sharing a connection costs less than connections of their own. */
const SHARE_FROM = 6;
/** … and for how many milliseconds it goes on when there are fewer. */
const SHARE_ON = 1_000;
const EVICT_FIRST = 200;
const EVICT_MAX = 10_000;

/** One address that requests can go to, with what is known of it and its idle connections. */
export class EndpointState {
  readonly id: string;
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly identity: string | undefined;
  readonly latency: PeakEwma;
  /** HTTP/1.1 connections that wait for a request. */
  readonly idle: Upstream[] = [];
  readonly http2 = new Http2Pool();
  /** HTTP/1.1 translated for streams of those, waiting for a request. */
  readonly carried: Upstream[] = [];
  /** Lanes, waiting for a request. */
  readonly lanes: Upstream[] = [];
  /** Replaced when revision labels change. */
  http: HttpSeries;
  tcp: TcpSeries;
  /** Of the pods behind it, where known. */
  revision: string | undefined;
  zone: string | undefined;
  pending = 0;
  evictedUntil = 0;
  /** No longer in any table: connections are closed instead of pooled. */
  retired = false;
  /** The proxy there takes HTTP/1.1 in lanes of an HTTP/2 connection. */
  multiplexes = false;
  /** A connection of HTTP/1.1 is being made for requests to come. */
  preparing = false;
  #sharedUntil = 0;
  /** Of the destination's policy, if it has one. */
  breaker: Breaker | undefined;
  #failures = 0;
  /** What was dialled at the same time and refused with it is one refusal. */
  #refusedUntil = 0;
  readonly #random: () => number;

  constructor(
    runtime: Runtime,
    id: string,
    address: string,
    identity: string | undefined,
    http: HttpSeries,
    tcp: TcpSeries,
  ) {
    this.id = id;
    this.address = address;
    const colon = address.lastIndexOf(':');
    this.host = address.slice(0, colon).replace(/^\[|\]$/g, '');
    this.port = Number(address.slice(colon + 1));
    this.identity = identity;
    this.http = http;
    this.tcp = tcp;
    this.latency = new PeakEwma(runtime.now());
    this.#random = runtime.random;
  }

  /** A connect failed: nobody is sent here for a while, longer each time; then one try decides. */
  evict(now: number): void {
    this.http.connectFailures += 1;
    if (now < this.#refusedUntil) return;
    const whole = Math.min(EVICT_MAX, EVICT_FIRST * 2 ** this.#failures);
    this.#failures += 1;
    this.#refusedUntil = now + whole * (0.5 + this.#random() / 2);
    this.evictedUntil = Math.max(this.#refusedUntil, this.breaker?.openUntil ?? 0);
  }

  /** How a request went that was sent here. */
  judged(success: boolean, now: number): void {
    const { breaker } = this;
    if (!breaker) return;
    const opened = breaker.open;
    if (breaker.observe(success, now)) this.evictedUntil = breaker.openUntil;
    else if (opened) this.evictedUntil = 0;
  }

  /** It was chosen. False: its breaker is open. Where that was long enough, this request is the one that is tried. */
  admits(now: number): boolean {
    const { breaker } = this;
    if (!breaker?.open) return true;
    if (breaker.openUntil > now) return false;
    breaker.probe(now);
    this.evictedUntil = breaker.openUntil;
    return true;
  }

  /** A policy begins to rule it, changes or ends. */
  rule(policy: BreakerPolicy | undefined, now: number): void {
    if (sameJson(policy, this.breaker?.policy)) return;
    if (this.breaker?.open) this.evictedUntil = 0;
    this.breaker = policy && new Breaker(policy, now, this.#random);
  }

  /** A connection to it, with mutual TLS where it has an identity. */
  dial(transport: Transport, handler: ConnectionHandler): Connection {
    const { host, port, identity } = this;
    return transport.connect({ host, port, identity, alpn: identity ? [MULTIPLEXED] : undefined }, handler);
  }

  opened({ alpn }: Connection): void {
    this.multiplexes = alpn === MULTIPLEXED;
  }

  /**
   * So many requests are in flight, or were just now, that they share a connection. Load that goes up and down around a number
   * would have connections made, by handshakes that everybody waits for, each time that it is down.
   */
  crowded(now: number): boolean {
    if (this.pending >= SHARE_FROM) this.#sharedUntil = now + SHARE_ON;
    return now < this.#sharedUntil;
  }

  alive(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#refusedUntil = 0;
    this.evictedUntil = this.breaker?.openUntil ?? 0;
  }

  retire(): void {
    this.retired = true;
    for (const upstream of [...this.lanes]) upstream.retire();
    this.http2.retire();
    for (const upstream of this.idle.splice(0)) upstream.discard();
  }
}
