import { createHash, randomBytes } from 'node:crypto';
import type { Answer } from '../answers.ts';
import { HttpSession } from '../http1/session.ts';
import { grpcAnswerFields, grpcStatus, sizeOf } from '../http2/answers.ts';
import type { Http2Session } from '../http2/session.ts';
import { BodyReader, type BodySink } from '../protocol/http1/body.ts';
import { Head } from '../protocol/http1/head.ts';
import { parseResponseHead } from '../protocol/http1/parse.ts';
import { startResponseBody } from '../protocol/http1/response.ts';
import { ERROR } from '../protocol/http2/frames.ts';
import type { FieldList } from '../protocol/http2/list.ts';
import type { Http2Stream, StreamHandler } from '../protocol/http2/stream.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';
import { StreamConnection } from './stream-connection.ts';
import { agreedFields, lines, requestText, responseFields, trailerFields, upgradeText } from './text.ts';

/** The proxy adds lines of its own to a head that was within the limits. */
const head = new Head({ bytes: 1_048_576, count: 2_048, startLine: 65_536 });
const NOTHING = Buffer.alloc(0);

/** What a server makes of a key (RFC 6455 4.2.2). */
const acceptOf = (key: string) =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/**
 * A stream of an HTTP/2 client as the connection of an HTTP/1.1 client: for servers that speak HTTP/1.1 alone. Requests
 * are written out in full and parsed again, so that nothing reaches the server that the strict parser would refuse.
 */
export class ClientLine implements Connection, StreamHandler, BodySink {
  handler: ConnectionHandler;
  readonly peerIdentity: string | undefined;
  readonly secure: boolean;
  readonly alpn = undefined;
  readonly #session: Http2Session;
  readonly #body = new BodyReader();
  #stream!: Http2Stream;
  #method = '';
  #grpc = false;
  #chunkedRequest = false;
  /** Bytes of a response head that is not whole. */
  #partial: Buffer | undefined;
  #headed = false;
  #trailer = '';
  /** Payload that is sent with what follows, so that the last of it can carry the end. */
  #held: { buffer: Buffer; from: number; to: number } | undefined;
  #more = true;
  #paused = false;
  #owed = 0;
  #closed = false;
  /** The request asks for a tunnel (RFC 8441). */
  #upgrade = false;
  /** Of WebSocket, the one that was made for the server. */
  #key = '';
  /** The server has agreed: bytes both ways from then on. */
  #through: StreamConnection | undefined;

  constructor(session: Http2Session) {
    this.#session = session;
    this.peerIdentity = session.connection.peerIdentity;
    this.secure = session.connection.secure;
    this.handler = new HttpSession(session.stack, this, { answer: (what) => this.#answer(what) });
  }

  // --- the request: from the stream to the session ---

  begin(stream: Http2Stream, list: FieldList, end: boolean) {
    this.#stream = stream;
    this.#method = list.method!.value;
    this.#grpc = list.grpc;
    this.#headed = false;
    this.#trailer = '';
    this.#owed = 0;
    this.#upgrade = list.protocol !== undefined;
    if (this.#upgrade) {
      this.#chunkedRequest = false;
      // RFC 8441 5: HTTP/2 has no use for a key, RFC 6455 4.2.1 does.
      const keyed = list.items.slice(0, list.count).some(({ name }) => name === 'sec-websocket-key');
      const websocket = list.protocol!.value.toLowerCase() === 'websocket';
      this.#key = websocket && !keyed ? randomBytes(16).toString('base64') : '';
      this.handler.data(Buffer.from(upgradeText(list, this.#key), 'latin1'));
      if (end) this.handler.end();
      return;
    }
    this.#chunkedRequest = !end && list.contentLength < 0;
    this.handler.data(Buffer.from(requestText(list, this.#chunkedRequest), 'latin1'));
  }

  headers() {}

  data(bytes: Buffer, from: number, to: number, end: boolean) {
    const size = to - from;
    if (this.#paused) this.#owed += size;
    else this.#session.http2.consume(this.#stream, size);
    if (!this.#chunkedRequest) {
      if (size > 0) this.handler.data(bytes.subarray(from, to));
      // Of a tunnel that is not agreed on yet.
      if (end && this.#upgrade) this.handler.end();
      return;
    }
    if (size > 0) {
      this.handler.data(
        Buffer.concat([
          Buffer.from(`${size.toString(16)}\r\n`, 'latin1'),
          bytes.subarray(from, to),
          Buffer.from(end ? '\r\n0\r\n\r\n' : '\r\n', 'latin1'),
        ]),
      );
    } else if (end) this.handler.data(Buffer.from('0\r\n\r\n', 'latin1'));
  }

  trailers(list: FieldList) {
    if (this.#upgrade) return this.handler.end();
    // With a content-length the message has ended, and has no place for them.
    if (this.#chunkedRequest)
      this.handler.data(Buffer.from(`0\r\n${lines(list.items, list.count)}\r\n`, 'latin1'));
  }

  flushed() {
    if (this.#stream.queued === 0) this.handler.drain();
    this.#settle();
  }

  reset() {
    this.#close();
  }

  #close(error?: Error) {
    if (this.#closed) return;
    this.#closed = true;
    this.handler.close(error);
  }

  // --- the response: from the session to the stream ---

  write(chunk: Buffer): boolean {
    if (this.#through) return this.#through.write(chunk);
    if (this.#closed || this.#stream.closed || this.#stream.localDone) return true;
    let buffer = chunk;
    let at = 0;
    if (this.#partial) {
      buffer = Buffer.concat([this.#partial, chunk]);
      this.#partial = undefined;
    }
    this.#more = true;
    while (!this.#headed) {
      const after = parseResponseHead(head, buffer, at, buffer.length, false);
      if (after <= 0) {
        if (after < 0) this.destroy();
        else this.#partial = Buffer.from(buffer.subarray(at));
        return true;
      }
      at = after;
      if (this.#upgrade && head.status === 101) return this.#switch(buffer, at);
      // To a client of HTTP/2 this would be the tunnel.
      if (this.#upgrade && head.status >= 200 && head.status < 300)
        return this.#notSwitched(`the server answered ${head.status} to the upgrade`);
      const { fields, size } = responseFields(head, buffer);
      const { sender } = this.#session.http2;
      if (head.status < 200) {
        if (head.status !== 101) sender.headers(this.#stream, fields, fields.length, size, false);
        continue;
      }
      this.#headed = true;
      startResponseBody(this.#body, head, this.#method === 'HEAD');
      sender.headers(this.#stream, fields, fields.length, size, this.#body.done);
    }
    if (!this.#body.done) {
      this.#body.unframe(buffer, at, buffer.length, this);
      this.#send(this.#body.done);
    }
    this.#settle();
    return this.#more;
  }

  /** The server has agreed to what was asked for. */
  #switch(buffer: Buffer, at: number): boolean {
    const { fields, size, accept } = agreedFields(head, buffer);
    if (this.#key !== '' && accept !== acceptOf(this.#key))
      return this.#notSwitched('the server answered the WebSocket key with another one');
    const stream = this.#stream;
    this.#session.http2.sender.headers(stream, fields, fields.length, size, false);
    const through = new StreamConnection('server', this.#session, {
      data: (chunk) => this.handler.data(chunk),
      drain: () => this.handler.drain(),
      end: () => this.handler.end(),
      close: (error) => this.#close(error),
    });
    this.#through = through;
    through.begin(stream);
    if (this.#paused) through.pause();
    return at < buffer.length ? through.write(buffer.subarray(at)) : true;
  }

  #notSwitched(detail: string): true {
    const stream = this.#stream;
    this.#session.answer(stream, { status: 502, cause: 'bad-response', detail });
    stream.handler = undefined;
    this.#session.runtime.transport.afterTurn(() => this.#close(new Error(detail)));
    return true;
  }

  payload(buffer: Buffer, from: number, to: number) {
    this.#send(false);
    this.#held = { buffer, from, to };
  }

  trailer(byte: number) {
    this.#trailer += String.fromCharCode(byte);
  }

  /** Sends what was held; `end`: it is the last. */
  #send(end: boolean) {
    const { http2, runtime } = this.#session;
    const { buffer, from, to } = this.#held ?? { buffer: NOTHING, from: 0, to: 0 };
    this.#held = undefined;
    const trailers = end && this.#trailer !== '' ? trailerFields(this.#trailer) : undefined;
    if (to > from || (end && !trailers)) {
      const direct = http2.sender.data(this.#stream, buffer, from, to, end && !trailers, runtime.moment());
      if (direct < to - from) this.#more = false;
    }
    if (trailers) {
      const { fields, size } = trailers;
      http2.sender.trailers(this.#stream, { items: fields, count: fields.length, size });
    }
  }

  writePair(first: Buffer, second: Buffer): boolean {
    const more = this.write(first);
    return this.write(second) && more;
  }

  writeCopy(bytes: Buffer, end: number): boolean {
    return this.write(bytes.subarray(0, end));
  }

  /** An answer of the proxy's own; a gRPC client gets it in its own terms. */
  #answer({ status, cause, detail }: Pick<Answer, 'status' | 'cause' | 'detail'>): boolean {
    if (!this.#grpc) return false;
    const { stack, connection, http2 } = this.#session;
    const fields = grpcAnswerFields(grpcStatus(status, cause), cause, detail, stack.explains(connection));
    http2.sender.headers(this.#stream, fields, fields.length, sizeOf(fields), true);
    this.#settle();
    return true;
  }

  // --- its end ---

  /** The response has gone out: on to another stream, unless this one's request still comes. */
  #settle() {
    const stream = this.#stream;
    if (!stream.localDone) return;
    const whole = stream.remoteDone;
    if (!whole) this.#session.http2.reset(stream, ERROR.none);
    stream.handler = undefined;
    if (whole && !this.#closed) this.#session.shelve(this);
    else this.#session.runtime.transport.afterTurn(() => this.#close());
  }

  end() {
    if (this.#through) this.#through.end();
    else this.finish();
  }

  finish() {
    if (this.#through) return this.#through.finish();
    const stream = this.#stream;
    if (!stream.localDone && !stream.closed && this.#headed && !stream.waiting) {
      // A body that ends with its connection ends here.
      if (this.#body.kind === 'eof' && this.#body.finish()) this.#send(true);
    } else if (!stream.localDone && this.#headed && this.#body.kind === 'eof') stream.endQueued = true;
    this.#session.unshelve(this);
    this.#session.runtime.transport.afterTurn(() => this.#close());
  }

  destroy() {
    if (this.#through) return this.#through.destroy();
    const stream = this.#stream;
    stream.handler = undefined;
    if (!stream.closed) this.#session.http2.reset(stream, ERROR.internal);
    this.#session.unshelve(this);
    this.#session.runtime.transport.afterTurn(() => this.#close());
  }

  breakOff() {
    if (this.#through) this.#through.breakOff();
    else this.destroy();
  }

  pause() {
    this.#paused = true;
    this.#through?.pause();
  }

  resume() {
    this.#paused = false;
    this.#through?.resume();
    if (this.#owed === 0) return;
    this.#session.http2.consume(this.#stream, this.#owed);
    this.#owed = 0;
  }

  keep(chunk: Buffer): Buffer {
    return this.#session.connection.keep(chunk);
  }
}
