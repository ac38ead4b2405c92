import type { EndpointState } from '../endpoint.ts';
import { type CallOwner, Http2Call } from '../http2/call.ts';
import type { Http2Upstream, Waiter } from '../http2/upstream.ts';
import { BodyReader, type BodySink } from '../protocol/http1/body.ts';
import { Head } from '../protocol/http1/head.ts';
import { parseRequestHead } from '../protocol/http1/parse.ts';
import type { FieldList } from '../protocol/http2/list.ts';
import type { Runtime } from '../runtime.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';
import { lines, requestFields, trailerFields } from './text.ts';

/** The proxy adds lines of its own to a head that was within the limits. */
const head = new Head({ bytes: 1_048_576, count: 2_048, startLine: 65_536 });
const NOTHING = Buffer.alloc(0);

/**
 * An HTTP/2 connection to an endpoint, one stream at a time, as the connection to an HTTP/1.1 server: for clients that
 * speak HTTP/1.1 to servers that do not.
 */
export class UpstreamLine implements Connection, CallOwner, BodySink, Waiter {
  handler: ConnectionHandler;
  readonly peerIdentity: string | undefined;
  readonly secure: boolean;
  readonly alpn = undefined;
  readonly #runtime: Runtime;
  /** While it serves a request, or waits for its connection. */
  #http2: Http2Upstream | undefined;
  #used: boolean;
  #call: Http2Call | undefined;
  readonly #body = new BodyReader();
  #requestBegun = false;
  #trailer = '';
  #held: { buffer: Buffer; from: number; to: number } | undefined;
  #more = true;
  #method = '';
  #http10 = false;
  #chunked = false;
  /** The head of the response, which waits a moment for the body so that both leave together. */
  #head: Buffer | undefined;
  #paused = false;
  #owed = 0;
  #closed = false;
  /** The stream ended, and the peer says that it has not seen the request. */
  unprocessed = false;

  constructor(http2: Http2Upstream, handler: ConnectionHandler) {
    this.#http2 = http2;
    this.#runtime = http2.runtime;
    this.handler = handler;
    const { identity }: EndpointState = http2.endpoint;
    this.peerIdentity = identity;
    this.secure = identity !== undefined;
    this.#used = http2.ready;
    if (!http2.ready) http2.wait(this);
  }

  /** Serves a further request, over this connection. */
  revive(http2: Http2Upstream) {
    this.#http2 = http2;
    this.#used = true;
    this.#requestBegun = false;
    this.#paused = false;
    this.#owed = 0;
  }

  // --- the connection below ---

  connected() {
    if (!this.#closed) this.handler.open?.();
  }

  failed(reason: string | undefined, unprocessed: boolean) {
    this.unprocessed = unprocessed;
    this.#close(reason);
  }

  #close(reason?: string) {
    if (this.#closed) return;
    this.#closed = true;
    this.handler.close(reason === undefined ? undefined : new Error(reason));
  }

  // --- the request ---

  write(chunk: Buffer): boolean {
    if (this.#closed) return true;
    this.#more = true;
    let at = 0;
    if (!this.#requestBegun) {
      at = parseRequestHead(head, chunk, 0, chunk.length, false);
      if (at <= 0) throw new Error('a request head of our own cannot be read');
      this.#begin(chunk);
    }
    if (this.#body.done && at === 0) return true;
    if (at < chunk.length) this.#body.unframe(chunk, at, chunk.length, this);
    this.#send(this.#body.done);
    return this.#more;
  }

  #begin(chunk: Buffer) {
    this.#requestBegun = true;
    this.#trailer = '';
    this.#method = head.method(chunk);
    this.#http10 = head.minor === 0;
    if (head.chunked) this.#body.start('chunked');
    else this.#body.start('length', Math.max(0, head.contentLength));
    const { fields, size } = requestFields(head, chunk);
    const call = new Http2Call(this.#http2!, this, this.#used);
    this.#call = call;
    call.sendHeaders(fields, fields.length, size, this.#body.done, this.#method === 'HEAD');
  }

  payload(buffer: Buffer, from: number, to: number) {
    this.#send(false);
    this.#held = { buffer, from, to };
  }

  trailer(byte: number) {
    this.#trailer += String.fromCharCode(byte);
  }

  #send(end: boolean) {
    const held = this.#held ?? { buffer: NOTHING, from: 0, to: 0 };
    this.#held = undefined;
    const call = this.#call;
    if (!call) return;
    const trailers = end && this.#trailer !== '' ? trailerFields(this.#trailer) : undefined;
    const size = held.to - held.from;
    if (size > 0 || (end && !trailers)) {
      if (call.sendData(held.buffer, held.from, held.to, end && !trailers) < size) this.#more = false;
    }
    if (trailers) call.sendTrailers(trailers.fields, trailers.fields.length, trailers.size);
  }

  writePair(first: Buffer, second: Buffer): boolean {
    const more = this.write(first);
    return this.write(second) && more;
  }

  writeCopy(bytes: Buffer, end: number): boolean {
    return this.write(bytes.subarray(0, end));
  }

  requestFlushed(_bytes: number, full: boolean) {
    if (!full) this.handler.drain();
  }

  // --- the response ---

  carrierReady() {}

  carrierClosed(_call: Http2Call, reason: string | undefined, unprocessed: boolean) {
    this.#call = undefined;
    this.unprocessed = unprocessed;
    this.#close(reason);
  }

  response(_call: Http2Call, list: FieldList, end: boolean) {
    const { status } = list;
    let text = `HTTP/1.1 ${status} \r\n${lines(list.items, list.count)}`;
    const interim = status < 200;
    const bodiless = interim || this.#method === 'HEAD' || status === 204 || status === 304;
    this.#chunked = false;
    if (!bodiless && list.contentLength < 0) {
      if (end) text += 'content-length: 0\r\n';
      else if (this.#http10) text += 'connection: close\r\n';
      else {
        this.#chunked = true;
        text += 'transfer-encoding: chunked\r\n';
      }
    }
    const bytes = Buffer.from(`${text}\r\n`, 'latin1');
    if (interim || end || bodiless) this.handler.data(bytes);
    else {
      this.#head = bytes;
      this.#runtime.flusher.add(this);
    }
    if (end) this.#ended();
  }

  /** The body did not come at once: the head goes alone. */
  flush() {
    const bytes = this.#head;
    this.#head = undefined;
    if (bytes && !this.#closed) this.handler.data(bytes);
  }

  responseData(call: Http2Call, bytes: Buffer, from: number, to: number, end: boolean) {
    const size = to - from;
    if (this.#paused) this.#owed += size;
    else call.consume(size);
    const parts: Buffer[] = [];
    if (this.#head) parts.push(this.#head);
    this.#head = undefined;
    if (this.#chunked && size > 0) parts.push(Buffer.from(`${size.toString(16)}\r\n`, 'latin1'));
    if (size > 0) parts.push(bytes.subarray(from, to));
    if (this.#chunked && size > 0) parts.push(Buffer.from('\r\n', 'latin1'));
    if (end && this.#chunked) parts.push(Buffer.from('0\r\n\r\n', 'latin1'));
    // The handler may change what it gets, and what comes straight from the transport is not alone in its buffer.
    if (parts.length > 0) this.handler.data(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
    if (end) this.#ended();
  }

  responseTrailers(_call: Http2Call, list: FieldList) {
    const text = this.#chunked ? `0\r\n${lines(list.items, list.count)}\r\n` : '';
    const bytes = Buffer.from(text, 'latin1');
    const head = this.#head;
    this.#head = undefined;
    if (head || bytes.length > 0) this.handler.data(head ? Buffer.concat([head, bytes]) : bytes);
    this.#ended();
  }

  /** For an HTTP/1.0 client the end of the connection is the end of the body. */
  #ended() {
    if (this.#http10 && !this.#closed && this.#call) this.handler.end();
  }

  // --- its end ---

  /** The response is complete, as HTTP/1.1 sees it. The next request may come after the connection is gone. */
  settle() {
    const call = this.#call;
    this.#call = undefined;
    this.#http2 = undefined;
    call?.part();
    call?.release();
  }

  end() {}

  finish() {
    this.destroy();
  }

  breakOff() {
    this.destroy();
  }

  destroy() {
    const call = this.#call;
    this.#call = undefined;
    call?.part();
    call?.discard();
    this.#http2?.forget(this);
    this.#runtime.transport.afterTurn(() => this.#close());
  }

  pause() {
    this.#paused = true;
  }

  resume() {
    this.#paused = false;
    if (this.#owed === 0) return;
    this.#call?.consume(this.#owed);
    this.#owed = 0;
  }

  keep(chunk: Buffer): Buffer {
    return this.#http2!.connection.keep(chunk);
  }
}
