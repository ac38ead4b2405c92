import { CAUSES, type Cause } from './answers.ts';
import { Attempts } from './attempts.ts';
import type { HttpSeries } from './metrics/series.ts';
import { OutgoingRequest } from './outgoing.ts';
import type { Head } from './protocol/http1/head.ts';
import { startResponseBody } from './protocol/http1/response.ts';
import { forwardHead } from './protocol/http1/rewrite.ts';
import type { Runtime } from './runtime.ts';
import type { HttpSession } from './session.ts';
import type { RoutingTable } from './table.ts';
import type { Deadline } from './timers.ts';
import { Tunnel } from './tunnel.ts';
import { Upstream } from './upstream.ts';

const CLOSE = Buffer.from('connection: close\r\n');
const UPGRADE = Buffer.from('connection: upgrade\r\n');
const HEAD_METHOD = 'HEAD';

/**
 * One request and its answer: routed, sent to an endpoint (to another one where that is safe), answered. A session has
 * one, which serves its requests in turn.
 */
export class Exchange {
  /** A request is being served. */
  busy = false;
  readonly #session: HttpSession;
  readonly #runtime: Runtime;
  /** The policy's until the head of the response; without one, and then, that of a body that has stalled. */
  readonly #deadline: Deadline;

  readonly #request: OutgoingRequest;
  readonly #attempts: Attempts;
  #upstream: Upstream | undefined;
  #series!: HttpSeries;
  #started = 0;
  /** The head of the response has been sent. */
  #responding = false;
  #status = 0;
  /** The client does not keep up with the response. */
  #clientFull = false;

  constructor(session: HttpSession) {
    this.#session = session;
    this.#runtime = session.runtime;
    this.#request = new OutgoingRequest(session);
    this.#attempts = new Attempts(session.runtime);
    this.#deadline = this.#runtime.wheel.deadline(() => this.#expired());
  }

  // --- the request ---

  /** A request whose head is in `input`, and of its body the part up to `bodyEnd`. */
  begin(head: Head, input: Buffer, bodyEnd: number) {
    const session = this.#session;
    const runtime = this.#runtime;
    this.busy = true;
    this.#started = runtime.now();
    runtime.lastActivity = this.#started;
    this.#responding = false;
    this.#clientFull = false;
    const { table } = session.stack;
    this.#attempts.begin(table);
    this.#series = session.caller?.series ?? table.orphan;
    this.#request.begin(head, input, bodyEnd);
    runtime.inFlight += 1;
    if (runtime.inFlight > runtime.limits.inFlight) {
      return this.#fail('overload', 'too many requests in flight; scale out or raise limits.inFlight');
    }
    table.budget.deposit();
    if (table.policy.fault !== undefined) return this.#fault(table.policy.fault);
    this.#route();
  }

  /** More of the request's body. */
  forward(chunk: Buffer) {
    this.#request.forward(chunk, this.#upstream);
    this.#progress();
  }

  /** The client broke off: its body is malformed, or it stands still. Counts against no endpoint. */
  abort(cause: Cause, detail: string) {
    this.#discard();
    if (this.#responding) {
      this.#runtime.metrics.failed(cause);
      return this.#session.connection.destroy();
    }
    this.#end();
    this.#session.reject({ status: CAUSES[cause], cause, detail }, this.#request.method === HEAD_METHOD);
  }

  /** The client is gone. */
  abandon() {
    this.#runtime.wheel.drop(this.#deadline);
    if (!this.busy) return;
    this.#end();
    this.#discard();
  }

  // --- where it goes ---

  #fault({ abort, delay }: NonNullable<RoutingTable['policy']['fault']>) {
    const { random } = this.#runtime;
    const then = () => {
      if (this.#session.closed || !this.busy) return;
      if (abort && random() * 100 < abort.percent) this.#fail('fault', 'injected by policy', abort.status);
      else this.#route();
    };
    if (delay && random() * 100 < delay.percent) setTimeout(then, delay.for);
    else then();
  }

  #route() {
    const { timeout } = this.#attempts.table.policy;
    if (timeout) this.#runtime.wheel.arm(this.#deadline, timeout);
    else this.#progress();
    if (!this.#attempts.pickBackend())
      return this.#fail('no-endpoint', 'no backend with a weight has a ready endpoint');
    this.#dispatch(false);
  }

  /** Chooses an endpoint and a connection. `fresh`: the last pooled one turned out to be closed. */
  #dispatch(fresh: boolean) {
    const runtime = this.#runtime;
    const attempts = this.#attempts;
    const endpoint = fresh ? attempts.endpoint : attempts.pickEndpoint();
    if (!endpoint) {
      return attempts.connectFailed
        ? this.#fail('connect', 'no endpoint could be connected to')
        : this.#fail('no-endpoint', `${attempts.backend!.name} has no ready endpoint`);
    }
    const { caller, connection, requestBody } = this.#session;
    this.#series = caller?.series ?? endpoint.http;
    if (attempts.first) this.#series.requests += 1;
    endpoint.pending += 1;
    const pooled = fresh ? undefined : Upstream.pooled(endpoint, this);
    if (pooled) {
      this.#upstream = pooled;
      this.#request.send(pooled);
      return;
    }
    if (!requestBody.done) connection.pause();
    this.#upstream = new Upstream(runtime, endpoint, this);
  }

  upstreamReady(upstream: Upstream) {
    if (upstream !== this.#upstream) return;
    this.#request.send(upstream);
    if (!this.#session.requestBody.done) this.#session.resume();
  }

  upstreamDrained() {
    this.#request.full = false;
    this.#progress();
    this.#session.resume();
  }

  upstreamClosed(upstream: Upstream, error: Error | undefined) {
    if (upstream !== this.#upstream) return;
    this.#detach(upstream);
    if (this.#responding) return this.#fail('reset', 'the upstream closed in the middle of its response');
    const attempts = this.#attempts;
    if (!upstream.ready) {
      if (attempts.evict(upstream.endpoint)) return this.#dispatch(false);
      return this.#fail('connect', error?.message ?? 'connection timed out');
    }
    const unanswered = !upstream.answered && this.#request.replayable;
    // The server closed an idle connection just as it was chosen: the request was not seen.
    if (unanswered && upstream.used && attempts.retries === 0) {
      attempts.retries += 1;
      return this.#dispatch(true);
    }
    if (unanswered && attempts.mayRetry('connect')) return this.#retry();
    this.#fail('reset', error?.message ?? 'the upstream closed without a response');
  }

  #retry() {
    this.#attempts.retries += 1;
    this.#series.retries += 1;
    this.#discard();
    this.#dispatch(false);
  }

  #detach(upstream: Upstream) {
    if (this.#upstream === upstream) this.#upstream = undefined;
    upstream.exchange = undefined;
    upstream.endpoint.pending -= 1;
  }

  /** Lets go of the upstream, if there is one, in the middle of whatever it does. */
  #discard() {
    const upstream = this.#upstream;
    if (!upstream) return;
    this.#detach(upstream);
    upstream.discard();
  }

  // --- the response ---

  /** Whether response headers of the weir-* family are the upstream's own invention. */
  get stripResponse(): boolean {
    return this.#attempts.endpoint?.identity === undefined;
  }

  interim(buffer: Buffer, head: Head) {
    if (this.#request.http10) return;
    const [bytes] = forwardHead(head, buffer, head.end, undefined);
    // A copy: what follows in this buffer is parsed and moved after this call.
    this.#session.write(Buffer.from(bytes));
  }

  /**
   * The head of the final response and what came with it. Starts `upstream.body`; returns the offset up to which the
   * buffer was used, or -1 when the upstream is no longer this exchange's.
   */
  response(upstream: Upstream, buffer: Buffer, head: Head): number {
    const { status } = head;
    if (status >= 500 && this.#request.replayable && this.#attempts.mayRetry('5xx')) {
      this.#retry();
      return -1;
    }
    const session = this.#session;
    this.#runtime.wheel.disarm(this.#deadline);
    this.#request.forget();
    this.#status = status;
    const { body } = upstream;
    const switched = status === 101;
    if (switched && !(this.#request.upgrade && head.upgrade)) return this.upstreamFailed();
    if (switched || (this.#request.method === 'CONNECT' && status < 300)) {
      this.#tunnel(upstream, buffer, head);
      return -1;
    }
    startResponseBody(body, head, this.#request.method === HEAD_METHOD);
    if (body.kind === 'chunked' && this.#request.http10) return this.upstreamFailed();
    // Reusable only if the server says so and the message has an end of its own.
    upstream.reusable = !head.close && (head.minor === 1 || head.keepAlive) && body.kind !== 'eof';
    if (head.minor === 0) buffer[head.start + 7] = 49;
    if (body.kind === 'eof' || this.#runtime.draining || !session.requestBody.done) session.closing = true;
    const end = body.done ? head.end : body.advance(buffer, head.end, buffer.length);
    if (end < 0) return this.upstreamFailed();
    this.#responding = true;
    const [first, second] = forwardHead(head, buffer, end, session.closing ? CLOSE : undefined);
    this.#clientFull = !session.write(first, second, upstream);
    this.#progress();
    return end;
  }

  responseData(upstream: Upstream, chunk: Buffer) {
    this.#clientFull = !this.#session.write(chunk, undefined, upstream);
    this.#progress();
  }

  /** The client takes more again. */
  clientDrained() {
    this.#clientFull = false;
    this.#progress();
    this.#upstream?.connection.resume();
  }

  /** The response is complete. `extra`: the server sent more than it announced. */
  responseDone(upstream: Upstream, extra: boolean) {
    const now = this.#runtime.now();
    const elapsed = now - this.#started;
    upstream.endpoint.latency.observe(now, elapsed);
    this.#series.response(this.#status, false, elapsed);
    this.#detach(upstream);
    // A server that answered before the request was whole may still read it: neither side can be used again.
    if (upstream.reusable && !extra && this.#session.requestBody.done) upstream.release();
    else upstream.discard();
    this.#end();
    this.#session.next();
  }

  #tunnel(upstream: Upstream, buffer: Buffer, head: Head) {
    const [bytes, rest] = forwardHead(head, buffer, buffer.length, head.status === 101 ? UPGRADE : undefined);
    const { stack, connection, ended } = this.#session;
    this.#series.response(head.status, false, this.#runtime.now() - this.#started);
    this.#detach(upstream);
    upstream.detach();
    this.#end();
    this.#runtime.wheel.drop(this.#deadline);
    const early = this.#session.release();
    this.#session.write(bytes, rest);
    if (early) upstream.connection.write(early);
    new Tunnel(
      this.#runtime,
      connection,
      upstream.connection,
      { client: stack.accepted, server: upstream.endpoint.tcp },
      () => stack.closed(connection, true),
    );
    if (ended) upstream.connection.end();
  }

  // --- endings ---

  upstreamFailed(): -1 {
    this.#discard();
    this.#fail('bad-response', 'the upstream broke HTTP/1.1');
    return -1;
  }

  /** The request gets an answer of the proxy's own, or, when a response has begun, a visible break. */
  #fail(cause: Cause, detail: string, status: number = CAUSES[cause]) {
    if (!this.busy) return;
    const session = this.#session;
    this.#runtime.metrics.failed(cause);
    if (this.#series === this.#attempts.table.orphan) this.#series.requests += 1;
    this.#series.response(status, true, this.#runtime.now() - this.#started);
    if (this.#responding) return session.connection.destroy();
    if (!session.requestBody.done || this.#runtime.draining) session.closing = true;
    session.answer({ status, cause, detail }, this.#request.method === HEAD_METHOD);
    this.#end();
    session.next();
  }

  /** A byte of a body has passed, or can again: the limit on its standing still starts anew. */
  #progress() {
    if (!this.busy) return;
    const { limits, wheel } = this.#runtime;
    if (limits.bodyIdle === 0) return;
    if (this.#responding) return wheel.arm(this.#deadline, limits.bodyIdle);
    // Until the response begins the policy's own limit counts, if there is one; waiting for an answer has no other.
    if (this.#attempts.table.policy.timeout) return;
    if (this.#session.requestBody.done && !this.#request.full) wheel.disarm(this.#deadline);
    else wheel.arm(this.#deadline, limits.bodyIdle);
  }

  #expired() {
    if (!this.busy) return;
    const { timeout } = this.#attempts.table.policy;
    const stalled = `no byte of the body within ${this.#runtime.limits.bodyIdle} ms`;
    if (this.#responding) {
      // Which side stands still decides whom the failure counts against.
      if (this.#clientFull) return this.abort('body-timeout', stalled);
      this.#discard();
      return this.#fail('timeout', stalled, 504);
    }
    if (timeout === undefined && !this.#request.full) return this.abort('body-timeout', stalled);
    this.#discard();
    this.#fail('timeout', timeout ? `no response within ${timeout} ms` : `the upstream took ${stalled}`);
  }

  #end() {
    this.#runtime.wheel.disarm(this.#deadline);
    this.#runtime.inFlight -= 1;
    this.busy = false;
    this.#request.forget();
  }
}
