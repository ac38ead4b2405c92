import { StreamConnection } from '../bridge/stream-connection.ts';
import type { EndpointState } from '../endpoint.ts';
import type { Field } from '../protocol/http2/field.ts';
import { ERROR, errorName } from '../protocol/http2/frames.ts';
import type { FieldList } from '../protocol/http2/list.ts';
import type { Http2Stream, ResetBy, StreamHandler } from '../protocol/http2/stream.ts';
import type { Carrier } from '../requester.ts';
import { NOBODY } from '../transport/nobody.ts';
import type { Http2Upstream, Waiter } from './upstream.ts';

/** Who has a request carried: told of what comes back. */
export interface CallOwner {
  carrierReady(call: Http2Call): void;
  carrierClosed(call: Http2Call, reason: string | undefined, unprocessed: boolean, code: number): void;
  response(call: Http2Call, list: FieldList, end: boolean): void;
  responseData(call: Http2Call, bytes: Buffer, from: number, to: number, end: boolean): void;
  responseTrailers(call: Http2Call, list: FieldList): void;
  /** `bytes` of the request that had waited have gone out; `full`: more waits. */
  requestFlushed(bytes: number, full: boolean): void;
}

/** One request on an HTTP/2 connection to an endpoint. */
export class Http2Call implements Carrier, StreamHandler, Waiter {
  readonly endpoint: EndpointState;
  readonly used: boolean;
  answered = false;
  readonly #upstream: Http2Upstream;
  #owner: CallOwner | undefined;
  #stream: Http2Stream | undefined;

  /** `used`: the connection was there already. */
  constructor(upstream: Http2Upstream, owner: CallOwner, used: boolean) {
    this.#upstream = upstream;
    this.endpoint = upstream.endpoint;
    this.#owner = owner;
    this.used = used;
  }

  get ready(): boolean {
    return this.#upstream.ready;
  }

  /** Whether the server takes extended CONNECT; undefined until it has said so. */
  get takesConnect(): boolean | undefined {
    return this.#upstream.http2.takesConnect;
  }

  /** Waits for that as for a connection. */
  waitForSettings() {
    this.#upstream.waitForSettings(this);
  }

  // --- the request ---

  sendHeaders(fields: readonly Field[], count: number, size: number, end: boolean, bodiless: boolean) {
    const { http2 } = this.#upstream;
    this.#upstream.begun();
    this.#stream = http2.open(this, bodiless);
    http2.sender.headers(this.#stream, fields, count, size, end);
  }

  /** Bytes that have gone out at once; the rest is told by `requestFlushed`. */
  sendData(bytes: Buffer, from: number, to: number, end: boolean): number {
    const stream = this.#stream;
    if (!stream || stream.closed || stream.localDone) return to - from;
    const { http2, runtime } = this.#upstream;
    return http2.sender.data(stream, bytes, from, to, end, runtime.moment());
  }

  sendTrailers(items: readonly Field[], count: number, size: number) {
    const stream = this.#stream;
    if (stream && !stream.closed) this.#upstream.http2.sender.trailers(stream, { items, count, size });
  }

  /** So much of the response has been passed on. */
  consume(bytes: number) {
    if (this.#stream) this.#upstream.http2.consume(this.#stream, bytes);
  }

  // --- the connection it waits for ---

  connected() {
    this.#owner?.carrierReady(this);
  }

  failed(reason: string | undefined, unprocessed: boolean) {
    this.#owner?.carrierClosed(this, reason, unprocessed, ERROR.refusedStream);
  }

  // --- what comes back ---

  headers(list: FieldList, end: boolean) {
    this.answered = true;
    this.#owner?.response(this, list, end);
  }

  data(bytes: Buffer, from: number, to: number, end: boolean) {
    this.#owner?.responseData(this, bytes, from, to, end);
  }

  trailers(list: FieldList) {
    this.#owner?.responseTrailers(this, list);
  }

  flushed(bytes: number) {
    this.#owner?.requestFlushed(bytes, this.#stream!.queued > 0);
  }

  reset(code: number, by: ResetBy, unprocessed: boolean) {
    const reason = by === 'connection' ? undefined : `the upstream ended the stream with ${errorName(code)}`;
    this.#owner?.carrierClosed(this, reason, unprocessed, code);
  }

  // --- its end ---

  /** From now on the stream is a connection of bytes, and no call any more; `queued`: what of the request still waits. */
  tunnel(): { connection: StreamConnection; queued: number } {
    const connection = new StreamConnection('client', this.#upstream, NOBODY);
    const stream = this.#stream!;
    connection.begin(stream);
    return { connection, queued: stream.queued };
  }

  part() {
    this.#owner = undefined;
  }

  /** The response is complete: a request that is not will not be read to its end. */
  release() {
    const stream = this.#stream;
    if (stream) this.#upstream.cancel(stream);
  }

  discard() {
    this.#upstream.forget(this);
    this.release();
  }
}
