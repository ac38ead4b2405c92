import { type Answer, answerBytes, type Cause } from '../answers.ts';
import { BodyReader } from '../protocol/http1/body.ts';
import { type Head, headError } from '../protocol/http1/head.ts';
import { parseRequestHead } from '../protocol/http1/parse.ts';
import type { Runtime } from '../runtime.ts';
import type { Caller, Stack } from '../stack.ts';
import type { Deadline } from '../timers.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';
import { Http1Exchange } from './exchange.ts';
import type { Upstream } from './upstream.ts';

/** The connection is a stream of another, where it is counted. */
export interface Within {
  /** Sends an answer of the proxy's own in other terms: true when it has. */
  answer?(what: Pick<Answer, 'status' | 'cause' | 'detail'>): boolean;
  /** A request was answered. */
  served?(): void;
}

/** Bytes of following requests that are read ahead of the current answer. */
const READ_AHEAD = 65_536;

/**
 * The client's side of HTTP/1.1: cuts the bytes of one connection into requests, gives them to its exchange one at a
 * time, and keeps what came early.
 */
export class HttpSession implements ConnectionHandler {
  readonly connection: Connection;
  readonly stack: Stack;
  readonly runtime: Runtime;
  /** Framing of the current request's body. */
  readonly requestBody = new BodyReader();
  readonly caller: Caller | undefined;
  /** After the current answer the connection closes. */
  closing = false;
  /** The client has half-closed. */
  ended = false;
  readonly #exchange: Http1Exchange;
  /** For the connection between requests and for a head that has begun. */
  readonly #deadline: Deadline;
  /** Bytes not consumed yet: a partial head, or requests that wait for their turn. */
  #input: Buffer | undefined;
  #headBegun = false;
  #pausedAhead = false;
  #processing = false;
  #closed = false;
  /** It closes as soon as the client has read what was written. */
  #finishing = false;
  /** … or, before that, once it has sent what gets no answer: the rest of a request that was answered early, further ones. */
  #lingering = false;
  /** Something that was written waits for the client. */
  #full = false;
  /** … so the next request has to wait, too. */
  #held = false;
  /** Instead of a connection of its own. */
  readonly within: Within | undefined;

  constructor(stack: Stack, connection: Connection, within?: Within) {
    this.stack = stack;
    this.within = within;
    this.runtime = stack.runtime;
    this.connection = connection;
    this.caller = stack.caller(connection);
    this.#exchange = new Http1Exchange(this);
    this.#deadline = this.runtime.wheel.deadline(() => this.#expired());
    this.runtime.wheel.arm(this.#deadline, this.runtime.limits.keepAliveIdle);
    if (!within) stack.sessions.add(this);
  }

  /**
   * Closes the connection if nothing is going on; called while draining. Not while an answer waits for its client: closing with
   * something unread would make the kernel reset the connection, and what has left us and not arrived would be lost.
   */
  closeIfIdle() {
    const { busy } = this.#exchange.core;
    if (!busy && this.#input === undefined && !this.#finishing && !this.#full) this.#finish();
  }

  // --- from the client ---

  data(chunk: Buffer) {
    if (!this.within) this.stack.accepted.read += chunk.length;
    if (this.#exchange.core.busy) {
      let at = 0;
      if (!this.requestBody.done) {
        at = this.requestBody.advance(chunk, 0, chunk.length);
        if (at < 0) return this.#exchange.core.abort('bad-request', 'malformed chunked body');
        if (at > 0) this.#exchange.forward(at === chunk.length ? chunk : chunk.subarray(0, at));
      }
      if (at < chunk.length) this.#ahead(at === 0 ? chunk : chunk.subarray(at));
      return;
    }
    if (this.#lingering) return this.#drop(chunk);
    // The last answer is on its way out: what comes now will get none and must not be acted on.
    if (this.closing || this.#finishing) return;
    if (this.#held) return this.#ahead(chunk);
    const input = this.#input ? Buffer.concat([this.#input, chunk]) : chunk;
    this.#input = undefined;
    this.#process(input);
  }

  /** More of a request that has had its answer, or others that will get none, whose end is that of the connection. */
  #drop(chunk: Buffer) {
    if (this.requestBody.done) return;
    if (this.requestBody.advance(chunk, 0, chunk.length) < 0 || this.requestBody.done) this.#finish();
  }

  /** Bytes of the request's body went on unseen. */
  moved(count: number, more: boolean) {
    if (!this.within) this.stack.accepted.read += count;
    this.requestBody.skip(count);
    this.#exchange.requestMoved(count, more);
  }

  #ahead(chunk: Buffer) {
    this.#input = this.#input ? Buffer.concat([this.#input, chunk]) : this.connection.keep(chunk);
    if (this.#input.length > READ_AHEAD && !this.#pausedAhead) {
      this.#pausedAhead = true;
      this.connection.pause();
    }
  }

  /** Reads again unless enough has come ahead: with each answer some more would be let in, without end. */
  #readOn() {
    this.#pausedAhead = this.#input !== undefined && this.#input.length > READ_AHEAD;
    if (this.#pausedAhead) this.connection.pause();
    else this.connection.resume();
  }

  /** Starts requests from `input` until one has to wait for its answer or the bytes run out. */
  #process(bytes: Buffer) {
    let input: Buffer | undefined = bytes;
    this.#processing = true;
    while (input && !this.#exchange.core.busy && !this.#closed && !this.#held) {
      const head = this.runtime.requestHead;
      const after = parseRequestHead(head, input, 0, input.length, this.stack.strip);
      if (after === 0) {
        if (input.length > 0) this.#awaitHead();
        this.#input = this.connection.keep(input);
        this.#processing = false;
        if (this.#pausedAhead) {
          this.#pausedAhead = false;
          this.connection.resume();
        }
        return;
      }
      if (after < 0) {
        const { status, reason } = headError(after);
        this.#processing = false;
        return this.reject({ status, cause: 'bad-request', detail: reason });
      }
      this.#headBegun = false;
      this.#begin(input, head);
      input = this.#input;
      if (!this.#exchange.core.busy && !this.#held) this.#input = undefined;
    }
    this.#processing = false;
  }

  /** From the first byte of a head on its deadline runs; more bytes do not move it. */
  #awaitHead() {
    if (this.#headBegun) return;
    this.#headBegun = true;
    this.runtime.wheel.arm(this.#deadline, this.runtime.limits.headDeadline);
  }

  #begin(input: Buffer, head: Head) {
    this.runtime.wheel.disarm(this.#deadline);
    this.closing = head.close || head.minor === 0;
    const { requestBody } = this;
    if (head.chunked) requestBody.start('chunked');
    else requestBody.start('length', Math.max(0, head.contentLength));
    const bodyEnd = requestBody.done ? head.end : requestBody.advance(input, head.end, input.length);
    if (bodyEnd < 0)
      return this.reject({ status: 400, cause: 'bad-request', detail: 'malformed chunked body' });
    this.#input = bodyEnd < input.length ? this.connection.keep(input.subarray(bodyEnd)) : undefined;
    if (this.#pausedAhead) this.#readOn();
    this.#exchange.begin(head, input, bodyEnd);
  }

  drain() {
    this.#full = false;
    this.#exchange.clientDrained();
    if (!this.#held || this.#finishing) return;
    this.#held = false;
    this.next();
  }

  end() {
    this.ended = true;
    // A request that is whole gets its answer; anything else can no longer become one.
    if (!this.#exchange.core.busy) this.#finish();
    else if (!this.requestBody.done) this.connection.destroy();
    else this.closing = true;
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.runtime.wheel.drop(this.#deadline);
    this.stack.sessions.delete(this);
    if (!this.within) this.stack.closed(this.connection);
    this.#input = undefined;
    this.#exchange.core.abandon();
  }

  #expired() {
    if (this.#closed || this.#exchange.core.busy) return;
    if (this.#lingering && !this.#full) this.#finish();
    else if (this.#finishing || this.#full) this.connection.breakOff();
    else if (this.#input === undefined) this.#finish();
    else
      this.reject({
        status: 408,
        cause: 'head-timeout',
        detail: 'the request head did not come in time',
      });
  }

  // --- to the client, for the exchange ---

  /** Sends bytes of an answer; `upstream` is stopped while the client does not keep up, which is when this is false. */
  write(first: Buffer, second?: Buffer, upstream?: Upstream): boolean {
    const more = second ? this.connection.writePair(first, second) : this.connection.write(first);
    return this.wrote(first.length + (second?.length ?? 0), more, upstream);
  }

  /** The same for what has gone; `more` is what writing it returned. */
  wrote(count: number, more: boolean, upstream?: Upstream): boolean {
    if (!this.within) this.stack.accepted.written += count;
    if (!more) this.#full = true;
    if (!more && upstream && !upstream.body.done) upstream.connection.pause();
    return more;
  }

  /** Sends an answer of the proxy's own. */
  answer(what: Pick<Answer, 'status' | 'cause' | 'detail'>, bodiless: boolean) {
    if (this.within?.answer?.(what)) return;
    const explain = this.stack.explains(this.connection);
    this.write(answerBytes({ ...what, close: this.closing, explain, bodiless }));
  }

  /** What came is not a request: says so and closes. */
  reject(what: { status: number; cause: Cause; detail: string }, bodiless = false) {
    this.runtime.metrics.failed(what.cause);
    this.#input = undefined;
    this.closing = true;
    this.answer(what, bodiless);
    this.#finish();
  }

  /** Closes behind what has been written, if the client reads it; a client that does not is not waited for. */
  #finish() {
    this.#finishing = true;
    this.#lingering = false;
    const { wheel, limits } = this.runtime;
    this.connection.finish();
    if (!this.#closed) wheel.arm(this.#deadline, limits.bodyIdle || limits.keepAliveIdle);
  }

  /**
   * Closes our half, and the other one when the client has sent what it was about to (RFC 9112 9.6): closing at once would make the
   * kernel reset the connection, which takes the answer from a client that looks for it later.
   */
  #linger() {
    this.#finishing = true;
    this.#lingering = true;
    this.connection.end();
    this.connection.resume();
    const { linger, bodyIdle, keepAliveIdle } = this.runtime.limits;
    // What is written behind an end is not told of: whether the client reads shows when it closes.
    if (!this.#closed)
      this.runtime.wheel.arm(this.#deadline, this.#full ? bodyIdle || keepAliveIdle : linger);
  }

  /** More of the request's body may come. */
  resume() {
    if (!this.#pausedAhead) this.connection.resume();
  }

  /** The exchange has ended: on to the next request, or the end of the connection. */
  next() {
    this.within?.served?.();
    if (this.closing) {
      const more = this.#input !== undefined || !this.requestBody.done;
      this.#input = undefined;
      if (more && !this.ended && !this.within) this.#linger();
      else this.#finish();
      return;
    }
    const { keepAliveIdle, bodyIdle } = this.runtime.limits;
    if (this.#full) {
      // It asks for more than it reads: on with the next request once it has read this answer.
      this.#held = true;
      this.#pausedAhead = true;
      this.connection.pause();
      return this.runtime.wheel.arm(this.#deadline, bodyIdle || keepAliveIdle);
    }
    // Whatever the exchange has held it for is over. A lane brings what was on its way while it is held, and counts it.
    this.#readOn();
    this.runtime.wheel.arm(this.#deadline, keepAliveIdle);
    if (this.#processing || this.#input === undefined) return;
    const input = this.#input;
    this.#input = undefined;
    this.#process(input);
  }

  /** Gives the connection away to a tunnel; returns what the client has sent ahead. */
  release(): Buffer | undefined {
    const early = this.#input;
    this.#input = undefined;
    this.#closed = true;
    this.stack.sessions.delete(this);
    this.runtime.wheel.drop(this.#deadline);
    return early;
  }
}
