import type { EndpointState } from '../endpoint.ts';
import type { TcpSeries } from '../metrics/series.ts';
import { Http2Connection } from '../protocol/http2/connection.ts';
import { ASSUMED_STREAMS } from '../protocol/http2/peer-settings.ts';
import type { Http2Stream } from '../protocol/http2/stream.ts';
import type { Runtime } from '../runtime.ts';
import type { Deadline } from '../timers.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';
import { Wire } from './wire.ts';

/** Who waits for a connection, or for what its server takes. */
export interface Waiter {
  connected(): void;
  /** `unprocessed`: it may be tried again elsewhere, the connection itself was made. */
  failed(reason: string | undefined, unprocessed: boolean): void;
}

/** Between two tries to cancel what could not all be cancelled at once. */
const CANCEL_EVERY = 1_000;

/** One HTTP/2 connection to an endpoint, shared by the requests of all clients. */
export class Http2Upstream implements ConnectionHandler {
  readonly endpoint: EndpointState;
  readonly runtime: Runtime;
  readonly connection: Connection;
  readonly http2: Http2Connection;
  /** Connected, and the peer proved who it is. */
  ready = false;
  readonly #pool: Http2Pool;
  /** Where it is counted, to the end, whatever its endpoint is called then. */
  readonly #tcp: TcpSeries;
  readonly #wire: Wire;
  readonly #deadline: Deadline;
  /** Until more streams may be cancelled, where some were too many. */
  #cancels: Deadline | undefined;
  #waiters: Waiter[] = [];
  /** Until the server's settings come. */
  #unsettled: Waiter[] = [];
  #closed = false;
  #finishing = false;
  #heard = false;
  #pinged = false;

  constructor(runtime: Runtime, endpoint: EndpointState, pool: Http2Pool) {
    this.runtime = runtime;
    this.endpoint = endpoint;
    this.#pool = pool;
    const { wheel, limits, flusher, transport } = runtime;
    this.#deadline = wheel.deadline(() => this.#expired());
    wheel.arm(this.#deadline, limits.connectTimeout);
    this.#tcp = endpoint.tcp;
    this.#tcp.opened += 1;
    this.connection = endpoint.dial(transport, this);
    this.#wire = new Wire({
      flusher,
      connection: this.connection,
      limit: limits.http2.output,
      counts: this.#tcp,
      now: () => runtime.moment(),
    });
    this.http2 = new Http2Connection(
      'client',
      {
        written: () => {
          if (this.ready) this.#wire.mark();
        },
        settings: () => {
          this.#pool.streams = this.http2.mostStreams;
          const unsettled = this.#unsettled;
          this.#unsettled = [];
          this.#admit(unsettled);
        },
        goaway: () => this.#leave(),
        idle: () => this.#idle(),
        failed: (_code, reason) => {
          runtime.log.debug({ reason, endpoint: endpoint.address }, 'upstream broke HTTP/2');
          this.#pool.remove(this);
          this.#finish();
        },
        threw: (error) => runtime.log.error({ error }, 'unexpected error; its stream was reset'),
      },
      limits.http2,
      // What an unmeshed server says in Weir's name is its own invention.
      endpoint.identity === undefined,
    );
    this.#wire.http2 = this.http2;
    // One that took none may take some by now.
    this.http2.mostStreams = Math.max(1, pool.streams);
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  wait(waiter: Waiter) {
    this.#waiters.push(waiter);
  }

  /** The same on a connection that is there, until the server has said what it takes. */
  waitForSettings(waiter: Waiter) {
    this.#unsettled.push(waiter);
  }

  forget(waiter: Waiter) {
    for (const waiters of [this.#waiters, this.#unsettled]) {
      const at = waiters.indexOf(waiter);
      if (at >= 0) waiters.splice(at, 1);
    }
  }

  #admit(waiters: readonly Waiter[]) {
    for (const waiter of waiters) {
      if (this.http2.canOpen) waiter.connected();
      else waiter.failed('the connection takes no more streams', true);
    }
  }

  open() {
    const { wheel, limits } = this.runtime;
    this.ready = true;
    this.endpoint.alive();
    this.endpoint.opened(this.connection);
    this.#wire.mark();
    wheel.arm(this.#deadline, limits.pingAfter);
    const waiters = this.#waiters;
    this.#waiters = [];
    this.#admit(waiters);
    if (this.http2.streamCount === 0) this.#idle();
  }

  /** A request is about to start on it. */
  begun() {
    if (this.http2.streamCount > 0) return;
    this.#pinged = false;
    this.#heard = true;
    this.runtime.wheel.arm(this.#deadline, this.runtime.limits.pingAfter);
  }

  /** Nobody wants the answer of a stream any more. */
  cancel(stream: Http2Stream) {
    this.http2.cancel(stream);
    this.#cancelMore();
  }

  /** Also on a connection of which nothing is heard any more: each of those streams holds what the server has sent on it. */
  #cancelMore() {
    if (!this.http2.cancelMore(this.runtime.moment()) || this.#closed) return;
    const { wheel } = this.runtime;
    this.#cancels ??= wheel.deadline(() => this.#cancelMore());
    wheel.arm(this.#cancels, CANCEL_EVERY);
  }

  data(chunk: Buffer) {
    this.#tcp.read += chunk.length;
    this.#heard = true;
    this.http2.receive(chunk, this.runtime.moment());
  }

  drain() {
    this.#wire.drained();
  }

  end() {
    this.#destroy();
  }

  /** `close` comes later: no request may take it meanwhile. */
  #destroy() {
    this.#pool.remove(this);
    this.connection.destroy();
  }

  close(error?: Error) {
    if (this.#closed) return;
    this.#closed = true;
    this.runtime.wheel.drop(this.#deadline);
    if (this.#cancels) this.runtime.wheel.drop(this.#cancels);
    this.#tcp.closed += 1;
    this.#pool.remove(this);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.failed(error?.message, false);
    const unsettled = this.#unsettled;
    this.#unsettled = [];
    for (const waiter of unsettled) waiter.failed(error?.message, true);
    this.http2.close();
  }

  /** No further requests; it closes after the last one. */
  retire() {
    this.http2.leaving = true;
    this.#leave();
  }

  #leave() {
    this.#pool.remove(this);
    for (const lane of this.endpoint.lanes.filter((each) => each.over(this))) lane.retire();
    if (this.ready && this.http2.streamCount === 0) this.#finish();
  }

  /** Closes behind what has been written, if the server reads it; one that does not is not waited for. */
  #finish() {
    this.#finishing = true;
    this.#wire.finish();
    if (!this.#closed) this.runtime.wheel.arm(this.#deadline, this.runtime.limits.windowStall);
  }

  #idle() {
    if (this.#closed) return;
    if (this.http2.leaving) return this.#finish();
    this.runtime.wheel.arm(this.#deadline, this.runtime.limits.http2Idle);
  }

  #expired() {
    if (!this.ready || this.#finishing) return this.#destroy();
    if (this.http2.streamCount === 0) return this.retire();
    const { wheel, limits } = this.runtime;
    this.http2.resetStalled(this.runtime.moment(), limits.bodyIdle || Number.POSITIVE_INFINITY);
    if (this.#heard) {
      this.#heard = false;
      this.#pinged = false;
      return wheel.arm(this.#deadline, limits.pingAfter);
    }
    if (this.#pinged) return this.#destroy();
    this.#pinged = true;
    this.http2.ping();
    wheel.arm(this.#deadline, limits.pongWithin);
  }
}

/** The HTTP/2 connections of one endpoint: as few as its limit on streams allows. */
export class Http2Pool {
  readonly #connections: Http2Upstream[] = [];
  /** That the server takes on one of them, as it said last. */
  streams = ASSUMED_STREAMS;

  /** One that is connected and takes another request. */
  live(): Http2Upstream | undefined {
    for (const upstream of this.#connections) {
      if (upstream.ready && upstream.http2.canOpen) return upstream;
    }
    return undefined;
  }

  /** One to wait for. */
  connecting(runtime: Runtime, endpoint: EndpointState): Http2Upstream {
    // More would be refused.
    const most = Math.min(ASSUMED_STREAMS, Math.max(1, this.streams));
    const known = this.#connections.find((upstream) => !upstream.ready && upstream.waiting < most);
    if (known) return known;
    const upstream = new Http2Upstream(runtime, endpoint, this);
    this.#connections.push(upstream);
    return upstream;
  }

  remove(upstream: Http2Upstream) {
    const at = this.#connections.indexOf(upstream);
    if (at >= 0) this.#connections.splice(at, 1);
  }

  retire() {
    for (const upstream of [...this.#connections]) upstream.retire();
  }
}
