import { CAUSES, type Cause } from '../answers.ts';
import { StreamConnection } from '../bridge/stream-connection.ts';
import type { EndpointState } from '../endpoint.ts';
import { Exchange } from '../exchange.ts';
import { UNCOUNTED } from '../http1/upstream.ts';
import { append } from '../protocol/http2/chunks.ts';
import type { Field } from '../protocol/http2/field.ts';
import { ERROR } from '../protocol/http2/frames.ts';
import type { FieldList } from '../protocol/http2/list.ts';
import type { Http2Stream, StreamHandler } from '../protocol/http2/stream.ts';
import type { Requester } from '../requester.ts';
import type { Caller, Stack } from '../stack.ts';
import { NOBODY } from '../transport/nobody.ts';
import { Tunnel } from '../tunnel.ts';
import { answerFields, grpcAnswerFields, grpcStatus, grpcStatusOf, sizeOf } from './answers.ts';
import { type CallOwner, Http2Call } from './call.ts';
import type { Http2Session } from './session.ts';

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE', 'QUERY']);
/** Body bytes kept in case the upstream refuses the request unseen; with retries allowed, `limits.replay` counts. */
const KEEP = 16_384;

/** HTTP/2 for one stream of a client at a time: header sections and data go on as they are. */
export class Http2Exchange implements Requester<Http2Call>, StreamHandler, CallOwner {
  readonly core: Exchange<Http2Call>;
  readonly stack: Stack;
  readonly caller: Caller | undefined;
  requestDone = false;
  requestFull = false;
  readonly #session: Http2Session;
  #stream!: Http2Stream;
  #method = '';
  /** An extended CONNECT (RFC 8441): what follows its answer is a tunnel. */
  #extended = false;
  #grpc = false;
  /** What an answer without a gRPC status is to a gRPC client; -1: it is none. */
  #unsaid = -1;
  /** The head while it can be read from the connection; afterwards the kept copy. */
  #live: FieldList | undefined;
  #fields: Field[] = [];
  #size = 0;
  /** All that came of the body since the beginning, as long as `whole`. */
  #body: Buffer[] = [];
  #bodySize = 0;
  #trailers: Field[] | undefined;
  #kept = false;
  #sent = false;
  /** What a client is told whose answer breaks off: what the upstream said, if it did. */
  #breakCode: number = ERROR.internal;

  constructor(session: Http2Session) {
    this.#session = session;
    this.stack = session.stack;
    this.caller = session.caller;
    this.core = new Exchange(session.runtime, this);
  }

  // --- the request ---

  begin(stream: Http2Stream, list: FieldList, end: boolean) {
    this.#stream = stream;
    this.#method = list.method!.value;
    this.#extended = list.protocol !== undefined;
    this.#grpc = list.grpc;
    this.requestDone = end;
    this.requestFull = false;
    this.#sent = false;
    this.#kept = true;
    const { connection, runtime } = this.#session;
    this.core.seen = runtime.observers?.http2(this.stack, connection, list);
    this.#size = list.size;
    this.#live = list;
    this.core.begin();
    this.#live = undefined;
    if (this.#kept) this.#fields = list.keep();
  }

  header(name: string): string | undefined {
    const { items, count } = this.#live!;
    const values = items.slice(0, count).filter((field) => field.name === name);
    return values.length === 0 ? undefined : values.map(({ value }) => value).join(', ');
  }

  get version(): 2 {
    return 2;
  }

  get whole(): boolean {
    return this.#kept && (this.requestDone || !this.#sent);
  }

  get replayable(): boolean {
    return this.#kept && this.requestDone && IDEMPOTENT.has(this.#method);
  }

  pooled(endpoint: EndpointState): Http2Call | undefined {
    const upstream = endpoint.http2.live();
    return upstream && new Http2Call(upstream, this, true);
  }

  connect(endpoint: EndpointState): Http2Call {
    const { runtime } = this.#session;
    const upstream = endpoint.http2.connecting(runtime, endpoint);
    const call = new Http2Call(upstream, this, false);
    upstream.wait(call);
    return call;
  }

  send(call: Http2Call) {
    if (this.#extended && !call.takesConnect) return this.#unasked(call);
    this.#sent = true;
    const { requestDone } = this;
    const last = requestDone && this.#body.length === 0 && this.#trailers === undefined;
    const bodiless = this.#method === 'HEAD';
    if (this.#live) call.sendHeaders(this.#live.items, this.#live.count, this.#size, last, bodiless);
    else call.sendHeaders(this.#fields, this.#fields.length, this.#size, last, bodiless);
    if (last) return;
    for (let n = 0; n < this.#body.length; n += 1) {
      const chunk = this.#body[n]!;
      const end = requestDone && this.#trailers === undefined && n === this.#body.length - 1;
      this.#give(call, chunk, 0, chunk.length, end);
    }
    if (this.#trailers) call.sendTrailers(this.#trailers, this.#trailers.length, sizeOf(this.#trailers));
    if (!this.#mayKeep(0)) this.#drop();
  }

  /** RFC 8441 3: not before the server has said that it takes extended CONNECT. */
  #unasked(call: Http2Call) {
    if (call.takesConnect === false)
      return this.core.unsupported('the server takes no extended CONNECT (RFC 8441)');
    call.waitForSettings();
  }

  /** Windows hold the body back: what comes meanwhile is kept within them. */
  hold(): void {}

  #mayKeep(more: number): boolean {
    if (!this.#kept) return false;
    const { limits } = this.#session.runtime;
    return this.#bodySize + more <= (this.core.table.policy.retries ? limits.replay : KEEP);
  }

  #drop() {
    this.#kept = false;
    if (this.#body.length > 0) this.#body = [];
    this.#bodySize = 0;
    this.#trailers = undefined;
  }

  #give(call: Http2Call, bytes: Buffer, from: number, to: number, end: boolean) {
    const direct = call.sendData(bytes, from, to, end);
    this.requestFull = direct < to - from;
    this.#session.http2.consume(this.#stream, direct);
  }

  forget() {
    this.#drop();
    if (this.#fields.length > 0) this.#fields = [];
  }

  /** From the client, like all of StreamHandler here. */
  headers(): void {}

  data(bytes: Buffer, from: number, to: number, end: boolean) {
    this.requestDone = end;
    const { core } = this;
    if (core.seen) core.seen.requestBytes += to - from;
    if (!core.busy) {
      // Answered already: it goes nowhere, but the connection's other streams must go on.
      this.#session.http2.consume(this.#stream, to - from);
      return this.#settle();
    }
    const waiting = !this.#sent;
    if (waiting || this.#mayKeep(to - from)) {
      if (to > from || end) append(this.#body, bytes, from, to);
      this.#bodySize += to - from;
    } else this.#drop();
    const call = core.carrier;
    if (!waiting && call) this.#give(call, bytes, from, to, end);
    core.progress();
  }

  trailers(list: FieldList) {
    this.requestDone = true;
    const { core } = this;
    if (!core.busy) return this.#settle();
    if (this.#kept) this.#trailers = list.keep();
    if (this.#sent) core.carrier?.sendTrailers(list.items, list.count, list.size);
    core.progress();
  }

  /** So much of the response that had to wait has gone to the client. */
  flushed(bytes: number) {
    const { core } = this;
    const call = core.carrier;
    if (!core.busy || !call) return this.#settle();
    core.clientFull = this.#stream.queued > 0;
    call.consume(bytes);
    core.progress();
  }

  /** The client's stream is gone. */
  reset() {
    this.core.abandon();
    this.#session.recycle(this);
  }

  // --- the upstream ---

  carrierReady(call: Http2Call) {
    this.core.carrierReady(call);
  }

  carrierClosed(call: Http2Call, reason: string | undefined, unprocessed: boolean, code: number) {
    this.#breakCode = code;
    this.core.carrierClosed(call, reason, unprocessed);
    this.#breakCode = ERROR.internal;
  }

  requestFlushed(bytes: number, full: boolean) {
    this.requestFull = full;
    this.#session.http2.consume(this.#stream, bytes);
    this.core.progress();
  }

  response(call: Http2Call, list: FieldList, end: boolean) {
    const { core } = this;
    const { sender } = this.#session.http2;
    if (list.status < 200) return sender.headers(this.#stream, list.items, list.count, list.size, false);
    this.#unsaid = this.#grpc ? grpcStatusOf(list.status) : -1;
    const grpc = this.#grpc && end ? list.grpcStatus : -1;
    if (!core.answered(list.status, grpc)) return;
    if (this.#extended && list.status < 300 && !end) return this.#tunnel(call, list);
    core.responding = true;
    sender.headers(this.#stream, list.items, list.count, list.size, end);
    if (end) this.#finish(call, grpc < 0 ? this.#unsaid : grpc);
    else core.progress();
  }

  /** Both streams go on as connections of bytes: half-close, and the limit on time of a tunnel. */
  #tunnel(call: Http2Call, { items, count, size, status }: FieldList) {
    const session = this.#session;
    const stream = this.#stream;
    session.http2.sender.headers(stream, items, count, size, false);
    const { connection: far, queued } = call.tunnel();
    this.core.tunnelled(call, status);
    const near = new StreamConnection('server', session, NOBODY);
    near.begin(stream);
    // What the server has not taken yet is its stream's to send; the client may go on as far as that lets it.
    session.http2.consume(stream, queued);
    new Tunnel(session.runtime, near, far, { client: UNCOUNTED, server: UNCOUNTED });
    session.recycle(this);
  }

  responseData(call: Http2Call, bytes: Buffer, from: number, to: number, end: boolean) {
    const { http2, runtime } = this.#session;
    const { core } = this;
    if (core.seen) core.seen.responseBytes += to - from;
    const direct = http2.sender.data(this.#stream, bytes, from, to, end, runtime.moment());
    if (end) return this.#finish(call, this.#unsaid);
    core.clientFull = direct < to - from;
    call.consume(direct);
    core.progress();
  }

  responseTrailers(call: Http2Call, list: FieldList) {
    this.#session.http2.sender.trailers(this.#stream, list);
    this.#finish(call, this.#grpc && list.grpcStatus >= 0 ? list.grpcStatus : this.#unsaid);
  }

  #finish(call: Http2Call, grpc: number) {
    this.core.finish(call, grpc);
    call.release();
    this.#settle();
  }

  // --- endings ---

  /** The response has been written. Ready for another stream once this one is over, which must not outlast it. */
  #settle() {
    const stream = this.#stream;
    if (this.core.busy || !stream.localDone) return;
    if (!stream.remoteDone) this.#session.http2.reset(stream, ERROR.none);
    stream.handler = undefined;
    this.#session.recycle(this);
  }

  answer(status: number, cause: Cause, detail: string): number {
    const { stack, connection, http2, runtime } = this.#session;
    const stream = this.#stream;
    const explain = stack.explains(connection);
    const { sender } = http2;
    if (this.#grpc) {
      const code = grpcStatus(status, cause);
      const fields = grpcAnswerFields(code, cause, detail, explain);
      sender.headers(stream, fields, fields.length, sizeOf(fields), true);
      return code;
    }
    const text = Buffer.from(explain ? `${cause}: ${detail}\n` : '', 'latin1');
    const fields = answerFields(status, cause, text.length, explain);
    const whole = text.length === 0 || this.#method === 'HEAD';
    sender.headers(stream, fields, fields.length, sizeOf(fields), whole);
    if (!whole) sender.data(stream, text, 0, text.length, true, runtime.moment());
    return -1;
  }

  break() {
    const { http2 } = this.#session;
    const stream = this.#stream;
    const { core } = this;
    http2.reset(stream, this.#breakCode);
    core.abandon();
    this.#session.recycle(this);
  }

  reject(cause: Cause, detail: string) {
    this.#session.runtime.metrics.failed(cause);
    this.answer(CAUSES[cause], cause, detail);
    this.#settle();
  }

  next() {
    this.#settle();
  }
}
