import { type Answer, answerBytes, CAUSES, type Cause } from './answers.ts';
import { pickTwo } from './balance/ewma.ts';
import type { EndpointState } from './endpoint.ts';
import type { HttpSeries } from './metrics/series.ts';
import { BodyReader } from './protocol/http1/body.ts';
import { type Head, headError, parseRequestHead } from './protocol/http1/head.ts';
import { forwardHead } from './protocol/http1/rewrite.ts';
import type { Runtime } from './runtime.ts';
import type { Stack } from './stack.ts';
import type { BackendState, RoutingTable } from './table.ts';
import type { Deadline } from './timers.ts';
import type { Connection, ConnectionHandler } from './transport/types.ts';
import { Tunnel } from './tunnel.ts';
import { Upstream } from './upstream.ts';

const CLOSE = Buffer.from('connection: close\r\n');
const UPGRADE = Buffer.from('connection: upgrade\r\n');
/** Endpoints tried for one request when connecting fails: nothing was sent, so each try is free of risk. */
const MAX_CONNECTS = 5;
/** Bytes of following requests that are read ahead of the current answer. */
const READ_AHEAD = 65_536;

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE', 'QUERY']);
const HEAD_METHOD = 'HEAD';

/** One client connection speaking HTTP/1.1: a request at a time, each routed on its own. */
export class HttpSession implements ConnectionHandler {
  readonly connection: Connection;
  readonly #stack: Stack;
  readonly #runtime: Runtime;
  readonly #deadline: Deadline;
  readonly #requestBody = new BodyReader();
  readonly #insert: Buffer | undefined;
  /** Bytes not consumed yet: a partial head, or requests that wait for their turn. */
  #input: Buffer | undefined;
  #pausedAhead = false;
  #processing = false;
  #ended = false;
  #closed = false;

  /* The current request. */
  #busy = false;
  #method = '';
  #upgrade = false;
  #close = false;
  #http10 = false;
  #started = 0;
  #table!: RoutingTable;
  #backend: BackendState | undefined;
  #endpoint: EndpointState | undefined;
  #upstream: Upstream | undefined;
  #series!: HttpSeries;
  #sent = false;
  #responding = false;
  #status = 0;
  #retries = 0;
  #connects = 0;
  #replayable = false;
  /** Head and the part of the body that came with it; kept while it may have to be sent (again). */
  #message: Buffer | undefined;
  #queued: Buffer[] = [];
  #tried: Set<EndpointState> | undefined;

  constructor(stack: Stack, connection: Connection) {
    this.#stack = stack;
    this.#runtime = stack.runtime;
    this.connection = connection;
    this.#insert = stack.requestHeader(connection);
    this.#deadline = this.#runtime.wheel.deadline(() => this.#expired());
    this.#runtime.wheel.arm(this.#deadline, this.#runtime.limits.keepAliveIdle);
    stack.sessions.add(this);
  }

  /** Whether response headers of the weir-* family are the upstream's own invention. */
  get stripResponse(): boolean {
    return this.#endpoint?.identity === undefined;
  }

  get idle(): boolean {
    return !this.#busy && this.#input === undefined;
  }

  // --- client side ---

  data(chunk: Buffer) {
    this.#stack.accepted.read += chunk.length;
    if (this.#busy) {
      let at = 0;
      if (!this.#requestBody.done) {
        at = this.#requestBody.advance(chunk, 0, chunk.length);
        if (at < 0) return this.#abort('bad-request', 'malformed chunked body');
        if (at > 0) this.#forward(at === chunk.length ? chunk : chunk.subarray(0, at));
      }
      if (at < chunk.length) this.#ahead(at === 0 ? chunk : chunk.subarray(at));
      return;
    }
    const input = this.#input ? Buffer.concat([this.#input, chunk]) : chunk;
    this.#input = undefined;
    this.#process(input);
  }

  #ahead(chunk: Buffer) {
    this.#input = this.#input ? Buffer.concat([this.#input, chunk]) : this.connection.keep(chunk);
    if (this.#input.length > READ_AHEAD && !this.#pausedAhead) {
      this.#pausedAhead = true;
      this.connection.pause();
    }
  }

  /** Starts requests from `input` until one has to wait for its answer or the bytes run out. */
  #process(bytes: Buffer) {
    let input: Buffer | undefined = bytes;
    this.#processing = true;
    while (input && !this.#busy && !this.#closed) {
      const head = this.#runtime.requestHead;
      const after = parseRequestHead(head, input, 0, input.length, this.#stack.strip);
      if (after === 0) {
        // From the first byte of a head on its deadline runs; more bytes do not move it.
        if (this.#input === undefined && input.length > 0) this.#headStarted();
        this.#input = this.connection.keep(input);
        this.#processing = false;
        return;
      }
      if (after < 0) {
        const { status, reason } = headError(after);
        this.#processing = false;
        return this.#reject(status, 'bad-request', reason);
      }
      this.#waiting = false;
      this.#begin(input, head);
      input = this.#input;
      if (!this.#busy) this.#input = undefined;
    }
    this.#processing = false;
  }

  #waiting = false;

  #headStarted() {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#runtime.wheel.arm(this.#deadline, this.#runtime.limits.headDeadline);
  }

  #begin(input: Buffer, head: Head) {
    const runtime = this.#runtime;
    const now = runtime.now();
    runtime.wheel.disarm(this.#deadline);
    runtime.lastActivity = now;
    this.#busy = true;
    this.#started = now;
    this.#sent = false;
    this.#responding = false;
    this.#retries = 0;
    this.#connects = 0;
    this.#tried = undefined;
    this.#backend = undefined;
    this.#endpoint = undefined;
    this.#upgrade = head.upgrade;
    this.#http10 = head.minor === 0;
    this.#close = head.close || this.#http10;
    const method = head.method(input);
    this.#method = method;
    if (head.chunked) this.#requestBody.start('chunked');
    else this.#requestBody.start('length', Math.max(0, head.contentLength));
    const bodyEnd = this.#requestBody.done
      ? head.end
      : this.#requestBody.advance(input, head.end, input.length);
    this.#input =
      bodyEnd >= 0 && bodyEnd < input.length ? this.connection.keep(input.subarray(bodyEnd)) : undefined;
    const table = this.#stack.table;
    this.#table = table;
    this.#series = this.#stack.series(this.connection) ?? table.orphan;
    if (bodyEnd < 0) return this.#reject(400, 'bad-request', 'malformed chunked body');
    const insert = this.#upgrade
      ? this.#insert
        ? Buffer.concat([UPGRADE, this.#insert])
        : UPGRADE
      : this.#insert;
    const [message, rest] = forwardHead(head, input, bodyEnd, insert);
    this.#message = this.connection.keep(rest ? Buffer.concat([message, rest]) : message);
    this.#replayable =
      this.#requestBody.done &&
      IDEMPOTENT.has(method) &&
      message.length <= runtime.limits.replay &&
      !this.#upgrade;
    runtime.inFlight += 1;
    if (runtime.inFlight > runtime.limits.inFlight) {
      return this.#fail('overload', 'too many requests in flight; scale out or raise limits.inFlight');
    }
    table.budget.deposit();
    if (table.policy.fault !== undefined) return this.#fault(table.policy.fault);
    this.#route();
  }

  #fault({ abort, delay }: NonNullable<RoutingTable['policy']['fault']>) {
    const { random } = this.#runtime;
    const then = () => {
      if (this.#closed || !this.#busy) return;
      if (abort && random() * 100 < abort.percent) this.#fail('fault', 'injected by policy', abort.status);
      else this.#route();
    };
    if (delay && random() * 100 < delay.percent) setTimeout(then, delay.for);
    else then();
  }

  #route() {
    const { timeout } = this.#table.policy;
    if (timeout) this.#runtime.wheel.arm(this.#deadline, timeout);
    this.#backend = this.#table.pick(this.#runtime.now(), this.#runtime.random);
    if (!this.#backend) return this.#fail('no-endpoint', 'no backend with a weight has a ready endpoint');
    this.#dispatch(false);
  }

  /** Chooses an endpoint and a connection. `fresh`: the last pooled one turned out to be closed. */
  #dispatch(fresh: boolean) {
    const runtime = this.#runtime;
    const endpoint = fresh
      ? this.#endpoint
      : pickTwo(this.#backend!.endpoints, runtime.now(), runtime.random, undefined, this.#tried);
    if (!endpoint) {
      const tried = this.#connects > 0;
      return this.#fail(
        tried ? 'connect' : 'no-endpoint',
        tried ? 'no endpoint could be connected to' : `${this.#backend!.name} has no ready endpoint`,
      );
    }
    this.#endpoint = endpoint;
    const series = this.#stack.series(this.connection) ?? endpoint.http;
    if (this.#retries + this.#connects === 0) series.requests += 1;
    this.#series = series;
    endpoint.pending += 1;
    const pooled = fresh ? undefined : Upstream.pooled(endpoint, this);
    if (pooled) {
      this.#upstream = pooled;
      this.#send(pooled);
      return;
    }
    if (!this.#requestBody.done) this.connection.pause();
    this.#upstream = new Upstream(runtime, endpoint, this);
  }

  upstreamReady(upstream: Upstream) {
    if (upstream !== this.#upstream) return;
    this.#send(upstream);
    if (!this.#requestBody.done && !this.#pausedAhead) this.connection.resume();
  }

  #send(upstream: Upstream) {
    this.#sent = true;
    const message = this.#message!;
    if (!this.#replayable) this.#message = undefined;
    upstream.endpoint.tcp.written += message.length;
    let more = upstream.connection.write(message);
    for (const chunk of this.#queued.splice(0)) more = upstream.connection.write(chunk);
    if (!more && !this.#requestBody.done) this.connection.pause();
  }

  #forward(chunk: Buffer) {
    const upstream = this.#upstream;
    if (!upstream || !this.#sent) {
      this.#queued.push(this.connection.keep(chunk));
      this.connection.pause();
      return;
    }
    upstream.endpoint.tcp.written += chunk.length;
    if (!upstream.connection.write(chunk) && !this.#requestBody.done) this.connection.pause();
  }

  upstreamDrained() {
    if (!this.#pausedAhead) this.connection.resume();
  }

  drain() {
    this.#upstream?.connection.resume();
  }

  end() {
    this.#ended = true;
    // A request that is whole gets its answer; anything else can no longer become one.
    if (!this.#busy) this.connection.finish();
    else if (!this.#requestBody.done) this.connection.destroy();
    else this.#close = true;
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#runtime.wheel.drop(this.#deadline);
    this.#stack.closed(this);
    this.#input = undefined;
    if (!this.#busy) return;
    this.#busy = false;
    this.#runtime.inFlight -= 1;
    const upstream = this.#upstream;
    if (!upstream) return;
    this.#detach(upstream);
    upstream.discard();
  }

  /** Called while draining: closes the connection if nothing is going on. */
  closeIfIdle() {
    if (this.idle) this.connection.finish();
  }

  // --- upstream side ---

  interim(buffer: Buffer, head: Head) {
    if (this.#http10) return;
    const [bytes] = forwardHead(head, buffer, head.end, undefined);
    // A copy: what follows in this buffer is parsed and moved after this call.
    this.#write(Buffer.from(bytes));
  }

  /**
   * The head of the final response and what came with it. Starts `upstream.body`; returns the offset up to which the
   * buffer was used, or -1 when the upstream is no longer this session's.
   */
  response(upstream: Upstream, buffer: Buffer, head: Head): number {
    const { status } = head;
    const runtime = this.#runtime;
    if (status >= 500 && this.#mayRetry('5xx')) {
      this.#retry(upstream);
      return -1;
    }
    runtime.wheel.disarm(this.#deadline);
    this.#message = undefined;
    this.#responding = true;
    this.#status = status;
    const { body } = upstream;
    if (status === 101 || (this.#method === 'CONNECT' && status < 300)) {
      if (status === 101 && !(this.#upgrade && head.upgrade)) {
        this.upstreamFailed(upstream, 'bad-response');
        return -1;
      }
      this.#tunnel(upstream, buffer, head);
      return -1;
    }
    if (this.#method === HEAD_METHOD || status === 204 || status === 304) body.start('none');
    else if (head.chunked) {
      if (this.#http10) {
        this.upstreamFailed(upstream, 'bad-response');
        return -1;
      }
      body.start('chunked');
    } else if (head.contentLength >= 0) body.start('length', head.contentLength);
    else body.start('eof');
    // Reusable only if the server says so and the message has an end of its own.
    upstream.reusable = !head.close && (head.minor === 1 || head.keepAlive) && body.kind !== 'eof';
    if (head.minor === 0) buffer[head.start + 7] = 49;
    if (body.kind === 'eof' || runtime.draining || !this.#requestBody.done) this.#close = true;
    const end = body.done ? head.end : body.advance(buffer, head.end, buffer.length);
    if (end < 0) {
      this.#responding = false;
      this.upstreamFailed(upstream, 'bad-response');
      return -1;
    }
    const [first, second] = forwardHead(head, buffer, end, this.#close ? CLOSE : undefined);
    this.#write(first, second, upstream);
    return end;
  }

  responseData(upstream: Upstream, chunk: Buffer) {
    this.#write(chunk, undefined, upstream);
  }

  #write(first: Buffer, second?: Buffer, upstream?: Upstream) {
    const { accepted } = this.#stack;
    accepted.written += first.length + (second?.length ?? 0);
    const more = second ? this.connection.writePair(first, second) : this.connection.write(first);
    if (!more && upstream && !upstream.body.done) upstream.connection.pause();
  }

  /** The response is complete. `extra`: the server sent more than it announced. */
  responseDone(upstream: Upstream, extra: boolean) {
    const now = this.#runtime.now();
    const elapsed = now - this.#started;
    this.#endpoint!.latency.observe(now, elapsed);
    this.#series.response(this.#status, false, elapsed);
    this.#detach(upstream);
    // A server that answered before the request was whole may still read it: neither side can be used again.
    if (upstream.reusable && !extra && this.#requestBody.done) upstream.release();
    else upstream.discard();
    this.#next();
  }

  upstreamFailed(upstream: Upstream, cause: Cause) {
    this.#detach(upstream);
    upstream.discard();
    this.#fail(cause, 'the upstream broke HTTP/1.1');
  }

  upstreamClosed(upstream: Upstream, error: Error | undefined) {
    if (upstream !== this.#upstream) return;
    const endpoint = upstream.endpoint;
    this.#detach(upstream);
    if (this.#responding) return this.#fail('reset', 'the upstream closed in the middle of its response');
    if (!upstream.ready) {
      endpoint.evict(this.#runtime.now());
      this.#connects += 1;
      this.#tried ??= new Set();
      this.#tried.add(endpoint);
      if (this.#connects < MAX_CONNECTS && pickableLeft(this.#backend!, this.#tried))
        return this.#dispatch(false);
      return this.#fail('connect', error?.message ?? 'connection timed out');
    }
    const unanswered = !upstream.answered && this.#replayable && this.#message !== undefined;
    // The server closed an idle connection just as it was chosen: the request was not seen.
    if (unanswered && upstream.used && this.#retries === 0) {
      this.#retries += 1;
      return this.#dispatch(true);
    }
    if (unanswered && this.#mayRetry('connect')) return this.#retry(undefined);
    this.#fail('reset', error?.message ?? 'the upstream closed without a response');
  }

  #mayRetry(on: 'connect' | '5xx'): boolean {
    const { retries } = this.#table.policy;
    return (
      retries !== undefined &&
      this.#replayable &&
      this.#message !== undefined &&
      this.#retries < retries.max &&
      retries.on.includes(on) &&
      this.#table.budget.withdraw(this.#runtime.now())
    );
  }

  #retry(upstream: Upstream | undefined) {
    this.#retries += 1;
    this.#series.retries += 1;
    if (upstream) {
      this.#detach(upstream);
      upstream.discard();
    }
    this.#dispatch(false);
  }

  #detach(upstream: Upstream) {
    if (this.#upstream === upstream) this.#upstream = undefined;
    upstream.session = undefined;
    upstream.endpoint.pending -= 1;
  }

  #tunnel(upstream: Upstream, buffer: Buffer, head: Head) {
    const [bytes] = forwardHead(head, buffer, buffer.length, head.status === 101 ? UPGRADE : undefined);
    const whole = Buffer.concat([
      bytes,
      buffer.length - head.end > 16_384 ? buffer.subarray(head.end) : Buffer.alloc(0),
    ]);
    this.#series.response(head.status, false, this.#runtime.now() - this.#started);
    this.#detach(upstream);
    upstream.detach();
    this.#runtime.wheel.drop(this.#deadline);
    this.#runtime.inFlight -= 1;
    this.#busy = false;
    const early = this.#input;
    this.#input = undefined;
    this.#closed = true;
    this.#write(whole);
    if (early) upstream.connection.write(early);
    const { accepted } = this.#stack;
    new Tunnel(
      this.#runtime,
      this.connection,
      upstream.connection,
      { client: accepted, server: upstream.endpoint.tcp },
      () => this.#stack.closed(this, true),
    );
    if (this.#ended) upstream.connection.end();
  }

  // --- endings ---

  /** The request gets an answer of the proxy's own, or, when a response has begun, a visible break. */
  #fail(cause: Cause, detail: string, status: number = CAUSES[cause]) {
    if (!this.#busy) return;
    this.#runtime.metrics.failed(cause);
    if (this.#series === this.#table.orphan) this.#series.requests += 1;
    this.#series.response(status, true, this.#runtime.now() - this.#started);
    if (this.#responding) {
      this.connection.destroy();
      return;
    }
    this.#runtime.wheel.disarm(this.#deadline);
    if (!this.#requestBody.done || this.#runtime.draining) this.#close = true;
    this.#answer({ status, cause, detail });
    this.#next();
  }

  #answer({ status, cause, detail }: Pick<Answer, 'status' | 'cause' | 'detail'>) {
    const explain = this.#stack.explains(this.connection);
    const bodiless = this.#method === HEAD_METHOD;
    this.#write(answerBytes({ status, cause, detail, close: this.#close, explain, bodiless }));
  }

  /** What came is not a request: say so and close. */
  #reject(status: number, cause: Cause, detail: string) {
    this.#runtime.metrics.failed(cause);
    this.#runtime.wheel.disarm(this.#deadline);
    this.#busy = false;
    this.#input = undefined;
    this.#close = true;
    this.#answer({ status, cause, detail });
    this.connection.finish();
  }

  /** The request's body turned out malformed while it was being forwarded. */
  #abort(cause: Cause, detail: string) {
    const upstream = this.#upstream;
    if (upstream) {
      this.#detach(upstream);
      upstream.discard();
    }
    this.#close = true;
    if (this.#responding) return this.connection.destroy();
    this.#runtime.inFlight -= 1;
    this.#reject(CAUSES[cause], cause, detail);
  }

  #next() {
    this.#runtime.inFlight -= 1;
    this.#busy = false;
    this.#message = undefined;
    if (this.#queued.length > 0) this.#queued = [];
    if (this.#close) {
      this.#input = undefined;
      this.connection.finish();
      return;
    }
    if (this.#pausedAhead) {
      this.#pausedAhead = false;
      this.connection.resume();
    }
    this.#runtime.wheel.arm(this.#deadline, this.#runtime.limits.keepAliveIdle);
    if (this.#processing || this.#input === undefined) return;
    const input = this.#input;
    this.#input = undefined;
    this.#process(input);
  }

  #expired() {
    if (this.#closed) return;
    if (!this.#busy) {
      if (this.#input === undefined) this.connection.finish();
      else this.#reject(408, 'head-timeout', 'the request head did not come in time');
      return;
    }
    const upstream = this.#upstream;
    if (upstream) {
      this.#detach(upstream);
      upstream.discard();
    }
    this.#fail('timeout', `no response within ${this.#table.policy.timeout} ms`);
  }
}

function pickableLeft(backend: BackendState, tried: ReadonlySet<EndpointState>): boolean {
  return backend.endpoints.some((endpoint) => !tried.has(endpoint));
}
