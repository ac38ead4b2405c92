import { Lane } from '../bridge/lane.ts';
import { UpstreamLine } from '../bridge/upstream-line.ts';
import type { EndpointState } from '../endpoint.ts';
import type { Http2Upstream } from '../http2/upstream.ts';
import { BodyReader } from '../protocol/http1/body.ts';
import { parseResponseHead } from '../protocol/http1/parse.ts';
import type { Carrier } from '../requester.ts';
import type { Runtime } from '../runtime.ts';

import type { Deadline } from '../timers.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';
import type { Http1Exchange } from './exchange.ts';

/** A shared connection: bytes pass in a lane of it, or each request is translated for a server of HTTP/2. */
interface Over {
  http2: Http2Upstream;
  translated: boolean;
}

const NOTHING = Buffer.alloc(0);
/** Bytes of streams are counted with their connection. */
export const UNCOUNTED = { read: 0, written: 0, closed: 0 };
/** Carried ones that wait for a request. */
const CARRIED = 256;

/** One HTTP/1.1 connection to an endpoint: serves one exchange at a time, then waits in the endpoint's pool. */
export class Upstream implements Carrier, ConnectionHandler {
  readonly endpoint: EndpointState;
  readonly connection: Connection;
  /** Where its bytes are counted, to the end, whatever its endpoint is called then; those of a shared connection are counted there. */
  readonly tcp: { read: number; written: number; closed: number };
  readonly body = new BodyReader();
  exchange: Http1Exchange | undefined;
  /** Connected, and the peer proved who it is. */
  ready = false;
  /** Has served a request: the server may have closed it while it lay in the pool. */
  used = false;
  /** A byte of the current response has come. */
  answered = false;
  /** After the current response the connection may serve another request. */
  reusable = false;
  #idle = false;
  #head: Buffer | undefined;
  #inBody = false;
  #closed = false;
  /** Nobody has asked for it yet. */
  #prepares = false;
  /** Instead of a connection of its own. */
  readonly #line: UpstreamLine | undefined;
  readonly #lane: Lane | undefined;
  /** Where it waits for requests. */
  readonly #pool: Upstream[];
  readonly #runtime: Runtime;
  readonly #deadline: Deadline;

  /** `over`: instead of a connection of its own, streams of this one. */
  constructor(runtime: Runtime, endpoint: EndpointState, exchange?: Http1Exchange, over?: Over) {
    this.#runtime = runtime;
    this.endpoint = endpoint;
    this.exchange = exchange;
    this.#deadline = runtime.wheel.deadline(() => this.#expired());
    if (over) {
      const { http2, translated } = over;
      if (translated) this.#line = new UpstreamLine(http2, this);
      else this.#lane = new Lane(http2, this);
      this.connection = (this.#line ?? this.#lane)!;
      this.#pool = translated ? endpoint.carried : endpoint.lanes;
      this.tcp = UNCOUNTED;
      this.ready = http2.ready;
      this.used = this.ready;
      return;
    }
    this.#pool = endpoint.idle;
    runtime.wheel.arm(this.#deadline, runtime.limits.connectTimeout);
    this.tcp = endpoint.tcp;
    endpoint.tcp.opened += 1;
    this.connection = endpoint.dial(runtime.transport, this);
  }

  /** Connects, for whoever asks next. */
  static prepare(runtime: Runtime, endpoint: EndpointState): void {
    if (endpoint.preparing) return;
    endpoint.preparing = true;
    new Upstream(runtime, endpoint).#prepares = true;
  }

  #prepared() {
    if (!this.#prepares) return;
    this.#prepares = false;
    this.endpoint.preparing = false;
  }

  /** One that translates, over a connection that is there. */
  static translating(http2: Http2Upstream, exchange: Http1Exchange): Upstream {
    const upstream = http2.endpoint.carried.pop();
    if (!upstream) return new Upstream(http2.runtime, http2.endpoint, exchange, { http2, translated: true });
    upstream.exchange = exchange;
    upstream.#line!.revive(http2);
    return upstream;
  }

  /** One that waits in the pool, or none. */
  static pooled(pool: Upstream[], exchange: Http1Exchange): Upstream | undefined {
    const upstream = pool.pop();
    if (upstream) {
      upstream.exchange = exchange;
      upstream.#idle = false;
      upstream.#runtime.wheel.disarm(upstream.#deadline);
    }
    return upstream;
  }

  open() {
    this.ready = true;
    this.#prepared();
    this.#runtime.wheel.disarm(this.#deadline);
    this.endpoint.alive();
    if (this.#pool === this.endpoint.idle) this.endpoint.opened(this.connection);
    if (this.exchange) this.exchange.core.carrierReady(this);
    else this.release();
  }

  data(chunk: Buffer) {
    this.tcp.read += chunk.length;
    const { exchange } = this;
    // Nobody asked: whatever this is, it must not become the answer to the next request.
    if (!exchange) return this.discard();
    this.answered = true;
    let buffer = chunk;
    let at = 0;
    if (this.#head) {
      buffer = Buffer.concat([this.#head, chunk]);
      this.#head = undefined;
    }
    while (!this.#inBody) {
      const head = this.#runtime.responseHead;
      const after = parseResponseHead(head, buffer, at, buffer.length, exchange.core.stripResponse);
      if (after === 0) {
        this.#head = this.connection.keep(at === 0 ? buffer : buffer.subarray(at));
        return;
      }
      if (after < 0) return void exchange.upstreamFailed();
      if (head.status < 200 && head.status !== 101) {
        exchange.interim(this, buffer, head);
        at = after;
        if (at === buffer.length) return;
        continue;
      }
      // The exchange starts `body`, sends the head with the part of the body that is here, and says how far it got.
      at = exchange.response(this, buffer, head);
      if (at < 0 || this.exchange !== exchange) return;
      this.#inBody = true;
      if (this.body.done) return this.#finish(exchange, buffer, at);
      return;
    }
    const end = this.body.advance(buffer, at, buffer.length);
    if (end < 0) return void exchange.upstreamFailed();
    exchange.responseData(this, end === buffer.length ? buffer : buffer.subarray(0, end));
    if (this.body.done && this.exchange === exchange) this.#finish(exchange, buffer, end);
  }

  /** Bytes of the body went on to the client unseen. */
  moved(count: number, more: boolean) {
    this.tcp.read += count;
    const { exchange } = this;
    if (!exchange) return this.discard();
    this.body.skip(count);
    exchange.responseMoved(this, count, more);
    if (this.body.done && this.exchange === exchange) this.#finish(exchange, NOTHING, 0);
  }

  #finish(exchange: Http1Exchange, buffer: Buffer, end: number) {
    this.#inBody = false;
    exchange.responseDone(this, end < buffer.length);
  }

  drain() {
    this.exchange?.upstreamDrained();
  }

  end() {
    if (!this.exchange) return this.discard();
    if (this.#inBody && this.body.kind === 'eof' && this.body.finish()) {
      this.#finish(this.exchange, NOTHING, 0);
      return;
    }
    this.connection.destroy();
  }

  close(error?: Error) {
    if (this.#closed) return;
    this.#closed = true;
    this.#prepared();
    this.#runtime.wheel.drop(this.#deadline);
    this.tcp.closed += 1;
    this.#unpool();
    const { exchange } = this;
    this.exchange = undefined;
    exchange?.core.carrierClosed(this, error?.message, (this.#line ?? this.#lane)?.unprocessed);
  }

  #unpool() {
    const at = this.#pool.indexOf(this);
    if (at >= 0) this.#pool.splice(at, 1);
  }

  /** Back to the pool, until the idle deadline. */
  release() {
    this.exchange = undefined;
    this.used = true;
    this.answered = false;
    if (this.#closed) return;
    if (this.endpoint.retired || this.#lane?.leaving) return this.retire();
    if (this.#line) {
      this.#line.settle();
      if (this.endpoint.carried.length < CARRIED) this.endpoint.carried.push(this);
      return;
    }
    this.#lane?.served();
    this.connection.resume();
    this.#idle = true;
    this.#pool.push(this);
    this.#runtime.wheel.arm(this.#deadline, this.#runtime.limits.pooledIdle);
  }

  /** It has waited in the pool for too long, or its connection is to close: the end of a lane is an orderly one. */
  retire() {
    if (!this.#lane) return this.dismiss();
    this.#unpool();
    this.#lane.end();
    this.#runtime.wheel.arm(this.#deadline, this.#runtime.limits.connectTimeout);
  }

  /** … or is connecting, or did not end for all that. */
  #expired() {
    if (this.#pool.includes(this)) this.retire();
    else this.discard();
  }

  /** Runs over this connection, where its requests are shared. */
  over(http2: Http2Upstream): boolean {
    return this.#lane?.http2 === http2;
  }

  part() {
    this.exchange = undefined;
  }

  /** Hands the connection to a tunnel. */
  detach() {
    this.#closed = true;
    this.exchange = undefined;
    this.#runtime.wheel.drop(this.#deadline);
  }

  /** Closes it, its exchange being over: the server sees an orderly end. */
  dismiss() {
    // `close` comes later, and a request might take it meanwhile.
    this.#unpool();
    this.connection.destroy();
  }

  /**
   * Closes it; an exchange that still waits for it is told by `close`. In the middle of one it is a reset: an orderly end
   * would be that of a client that still waits for the answer.
   */
  discard() {
    if (this.#idle) return this.dismiss();
    this.#unpool();
    this.connection.breakOff();
  }
}
