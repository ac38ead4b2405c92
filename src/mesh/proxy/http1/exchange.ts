import { CAUSES, type Cause } from '../answers.ts';
import type { EndpointState } from '../endpoint.ts';
import { Exchange } from '../exchange.ts';
import { traceLines } from '../observers.ts';
import type { Head } from '../protocol/http1/head.ts';
import { startResponseBody } from '../protocol/http1/response.ts';
import { forwardHead } from '../protocol/http1/rewrite.ts';
import type { Requester } from '../requester.ts';
import type { Caller, Stack } from '../stack.ts';
import { Tunnel } from '../tunnel.ts';
import { LONG, OutgoingRequest } from './outgoing.ts';
import type { HttpSession } from './session.ts';
import { UNCOUNTED, Upstream } from './upstream.ts';

const CLOSE = Buffer.from('connection: close\r\n');
const UPGRADE = Buffer.from('connection: upgrade\r\n');
const HEAD_METHOD = 'HEAD';

/** HTTP/1.1 for the exchanges of one session, which come in turn: bytes are passed on as they are. */
export class Http1Exchange implements Requester<Upstream> {
  readonly core: Exchange<Upstream>;
  readonly stack: Stack;
  readonly caller: Caller | undefined;
  readonly #session: HttpSession;
  readonly #request: OutgoingRequest;
  /** The request's, while it begins. */
  #head: Head | undefined;
  #input: Buffer | undefined;

  constructor(session: HttpSession) {
    this.#session = session;
    this.stack = session.stack;
    this.caller = session.caller;
    this.#request = new OutgoingRequest(session);
    this.core = new Exchange(session.runtime, this);
  }

  // --- the request ---

  /** A request whose head is in `input`, and of its body the part up to `bodyEnd`. */
  begin(head: Head, input: Buffer, bodyEnd: number) {
    const { connection, runtime } = this.#session;
    const seen = runtime.observers?.http1(this.stack, connection, head, input);
    if (seen) seen.requestBytes = bodyEnd - head.end;
    this.#request.begin(head, input, bodyEnd, traceLines(seen?.span));
    this.core.seen = seen;
    this.#head = head;
    this.#input = input;
    this.core.begin();
    this.#head = undefined;
    this.#input = undefined;
    this.#request.keep();
  }

  header(name: string): string | undefined {
    let found: string | undefined;
    for (let index = 0; index < (this.#head?.count ?? 0); index += 1) {
      const [each, value] = this.#head!.field(this.#input!, index);
      if (each === name) found = found === undefined ? value : `${found}, ${value}`;
    }
    return found;
  }

  /** More of the request's body. */
  forward(chunk: Buffer) {
    if (this.core.seen) this.core.seen.requestBytes += chunk.length;
    this.#request.forward(chunk, this.core.carrier);
    this.core.progress();
  }

  /** More of it went on unseen. */
  requestMoved(count: number, more: boolean) {
    const { carrier, seen } = this.core;
    if (seen) seen.requestBytes += count;
    if (carrier) this.#request.wrote(count, more, carrier);
    this.core.progress();
  }

  get version(): 1 {
    return 1;
  }

  get requestDone(): boolean {
    return this.#session.requestBody.done;
  }

  get requestFull(): boolean {
    return this.#request.full;
  }

  get whole(): boolean {
    return this.#request.replayable || this.#request.unsent;
  }

  get replayable(): boolean {
    return this.#request.replayable;
  }

  pooled(endpoint: EndpointState): Upstream | undefined {
    const share = this.#share(endpoint);
    if (share === 'none') return Upstream.pooled(endpoint.idle, this);
    const lane = share === 'lane' ? Upstream.pooled(endpoint.lanes, this) : undefined;
    if (lane) return lane;
    const http2 = endpoint.http2.live();
    if (!http2) return undefined;
    if (share === 'translated') return Upstream.translating(http2, this);
    return new Upstream(http2.runtime, endpoint, this, { http2, translated: false });
  }

  connect(endpoint: EndpointState): Upstream {
    const { runtime } = this.#session;
    const share = this.#share(endpoint);
    if (share === 'none') return new Upstream(runtime, endpoint, this);
    const http2 = endpoint.http2.connecting(runtime, endpoint);
    return new Upstream(runtime, endpoint, this, { http2, translated: share === 'translated' });
  }

  /** Whether the request shares a connection of HTTP/2, and how. Tunnels do not. */
  #share(endpoint: EndpointState): 'none' | 'translated' | 'lane' {
    if (this.#request.tunnel) return 'none';
    if (this.core.table.protocol === 'http2') return 'translated';
    if (!endpoint.multiplexes) return 'none';
    if (endpoint.crowded(this.#session.runtime.moment())) return 'lane';
    // Nobody waits for a handshake where there is another way; those who come later find a connection of their own.
    if (endpoint.idle.length > 0 || !endpoint.http2.live()) return 'none';
    Upstream.prepare(this.#session.runtime, endpoint);
    return 'lane';
  }

  send(upstream: Upstream): void {
    this.#request.send(upstream);
    if (!this.#request.full) this.#session.resume();
  }

  hold(): void {
    if (!this.#session.requestBody.done) this.#session.connection.pause();
  }

  forget(): void {
    this.#request.forget();
  }

  upstreamDrained() {
    this.#request.full = false;
    this.core.progress();
    this.#session.resume();
  }

  // --- the response ---

  interim(upstream: Upstream, buffer: Buffer, head: Head) {
    if (this.#request.http10) return;
    const [bytes] = forwardHead(head, buffer, head.end, undefined);
    // A copy: what follows in this buffer is parsed and moved after this call.
    if (!this.#session.write(Buffer.from(bytes))) upstream.connection.pause();
  }

  /**
   * The head of the final response and what came with it. Starts `upstream.body`; returns the offset up to which the
   * buffer was used, or -1 when the upstream is no longer this exchange's.
   */
  response(upstream: Upstream, buffer: Buffer, head: Head): number {
    const { core } = this;
    const { status } = head;
    if (!core.answered(status)) return -1;
    const session = this.#session;
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
    if (body.kind === 'eof' || session.runtime.draining || !session.requestBody.done) session.closing = true;
    const end = body.done ? head.end : body.advance(buffer, head.end, buffer.length);
    if (end < 0) return this.upstreamFailed();
    core.responding = true;
    if (core.seen) core.seen.responseBytes = end - head.end;
    const [first, second] = forwardHead(head, buffer, end, session.closing ? CLOSE : undefined);
    core.clientFull = !session.write(first, second, upstream);
    core.progress();
    if (body.rest >= LONG) upstream.connection.passOn?.(session.connection, body.rest);
    return end;
  }

  responseMoved(upstream: Upstream, count: number, more: boolean) {
    if (this.core.seen) this.core.seen.responseBytes += count;
    this.core.clientFull = !this.#session.wrote(count, more, upstream);
    this.core.progress();
  }

  responseData(upstream: Upstream, chunk: Buffer) {
    if (this.core.seen) this.core.seen.responseBytes += chunk.length;
    this.core.clientFull = !this.#session.write(chunk, undefined, upstream);
    this.core.progress();
  }

  /** The client takes more again. */
  clientDrained() {
    const { core } = this;
    core.clientFull = false;
    core.progress();
    core.carrier?.connection.resume();
  }

  /** The response is complete. `extra`: the server sent more than it announced. */
  responseDone(upstream: Upstream, extra: boolean) {
    this.core.finish(upstream);
    // A server that answered before the request was whole may still read it: neither side can be used again.
    if (upstream.reusable && !extra && this.#session.requestBody.done) upstream.release();
    else upstream.dismiss();
    this.#session.next();
  }

  #tunnel(upstream: Upstream, buffer: Buffer, head: Head) {
    const [bytes, rest] = forwardHead(head, buffer, buffer.length, head.status === 101 ? UPGRADE : undefined);
    const { stack, connection, ended, runtime } = this.#session;
    this.core.tunnelled(upstream, head.status);
    upstream.detach();
    const early = this.#session.release();
    this.#session.write(bytes, rest);
    if (early) upstream.connection.write(early);
    const { within } = this.#session;
    new Tunnel(
      runtime,
      connection,
      upstream.connection,
      { client: within ? UNCOUNTED : stack.accepted, server: upstream.tcp },
      () => {
        if (!within) stack.closed(connection, true);
      },
    );
    if (ended) upstream.connection.end();
  }

  // --- endings ---

  upstreamFailed(): -1 {
    this.core.badResponse('the upstream broke HTTP/1.1');
    return -1;
  }

  answer(status: number, cause: Cause, detail: string): number {
    const session = this.#session;
    if (!session.requestBody.done || session.runtime.draining) session.closing = true;
    session.answer({ status, cause, detail }, this.#request.method === HEAD_METHOD);
    return -1;
  }

  break(): void {
    this.#session.connection.breakOff();
  }

  reject(cause: Cause, detail: string): void {
    this.#session.reject({ status: CAUSES[cause], cause, detail }, this.#request.method === HEAD_METHOD);
  }

  next(): void {
    this.#session.next();
  }
}
