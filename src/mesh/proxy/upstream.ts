import type { EndpointState } from './endpoint.ts';
import { BodyReader } from './protocol/http1/body.ts';
import { parseResponseHead } from './protocol/http1/head.ts';
import type { Runtime } from './runtime.ts';
import type { HttpSession } from './session.ts';
import type { Deadline } from './timers.ts';
import type { Connection, ConnectionHandler } from './transport/types.ts';

/** One HTTP/1.1 connection to an endpoint: serves one session at a time, then waits in the endpoint's pool. */
export class Upstream implements ConnectionHandler {
  readonly endpoint: EndpointState;
  readonly connection: Connection;
  readonly body = new BodyReader();
  session: HttpSession | undefined;
  /** Connected, and the peer proved who it is. */
  ready = false;
  /** Has served a request: the server may have closed it while it lay in the pool. */
  used = false;
  /** A byte of the current response has come. */
  answered = false;
  /** After the current response the connection may serve another request. */
  reusable = false;
  #head: Buffer | undefined;
  #inBody = false;
  #closed = false;
  readonly #runtime: Runtime;
  readonly #deadline: Deadline;

  constructor(runtime: Runtime, endpoint: EndpointState, session: HttpSession | undefined) {
    this.#runtime = runtime;
    this.endpoint = endpoint;
    this.session = session;
    this.#deadline = runtime.wheel.deadline(() => this.discard());
    runtime.wheel.arm(this.#deadline, runtime.limits.connectTimeout);
    const { host, port, identity } = endpoint;
    this.connection = runtime.transport.connect({ host, port, identity }, this);
    endpoint.tcp.opened += 1;
  }

  /** An idle connection of the endpoint, or none. */
  static pooled(endpoint: EndpointState, session: HttpSession): Upstream | undefined {
    const upstream = endpoint.idle.pop();
    if (upstream) {
      upstream.session = session;
      upstream.#runtime.wheel.disarm(upstream.#deadline);
    }
    return upstream;
  }

  open() {
    this.ready = true;
    this.#runtime.wheel.disarm(this.#deadline);
    this.endpoint.alive();
    if (this.session) this.session.upstreamReady(this);
    else this.release();
  }

  data(chunk: Buffer) {
    this.endpoint.tcp.read += chunk.length;
    const { session } = this;
    // Nobody asked: whatever this is, it must not become the answer to the next request.
    if (!session) return this.discard();
    this.answered = true;
    let buffer = chunk;
    let at = 0;
    if (this.#head) {
      buffer = Buffer.concat([this.#head, chunk]);
      this.#head = undefined;
    }
    while (!this.#inBody) {
      const head = this.#runtime.responseHead;
      const after = parseResponseHead(head, buffer, at, buffer.length, session.stripResponse);
      if (after === 0) {
        this.#head = this.connection.keep(at === 0 ? buffer : buffer.subarray(at));
        return;
      }
      if (after < 0) return session.upstreamFailed(this, 'bad-response');
      if (head.status < 200 && head.status !== 101) {
        session.interim(buffer, head);
        at = after;
        if (at === buffer.length) return;
        continue;
      }
      // The session starts `body`, sends the head with the part of the body that is here, and says how far it got.
      at = session.response(this, buffer, head);
      if (at < 0 || this.session !== session) return;
      this.#inBody = true;
      if (this.body.done) return this.#finish(session, buffer, at);
      return;
    }
    const end = this.body.advance(buffer, at, buffer.length);
    if (end < 0) return session.upstreamFailed(this, 'bad-response');
    session.responseData(this, end === buffer.length ? buffer : buffer.subarray(0, end));
    if (this.body.done && this.session === session) this.#finish(session, buffer, end);
  }

  #finish(session: HttpSession, buffer: Buffer, end: number) {
    this.#inBody = false;
    session.responseDone(this, end < buffer.length);
  }

  drain() {
    this.session?.upstreamDrained();
  }

  end() {
    if (!this.session) return this.discard();
    if (this.#inBody && this.body.kind === 'eof' && this.body.finish()) {
      this.#finish(this.session, Buffer.alloc(0), 0);
      return;
    }
    this.connection.destroy();
  }

  close(error?: Error) {
    if (this.#closed) return;
    this.#closed = true;
    this.#runtime.wheel.drop(this.#deadline);
    this.endpoint.tcp.closed += 1;
    const at = this.endpoint.idle.indexOf(this);
    if (at >= 0) this.endpoint.idle.splice(at, 1);
    const { session } = this;
    this.session = undefined;
    session?.upstreamClosed(this, error);
  }

  /** Back to the pool, until the idle deadline. */
  release() {
    this.session = undefined;
    this.used = true;
    this.answered = false;
    if (this.endpoint.retired || this.#closed) return this.discard();
    this.connection.resume();
    this.endpoint.idle.push(this);
    this.#runtime.wheel.arm(this.#deadline, this.#runtime.limits.pooledIdle);
  }

  /** Hands the connection to a tunnel. */
  detach() {
    this.#closed = true;
    this.session = undefined;
    this.#runtime.wheel.drop(this.#deadline);
  }

  /** Closes it; a session that still waits for it is told by `close`. */
  discard() {
    this.connection.destroy();
  }
}
