import type { Answer } from '../answers.ts';
import { ClientLine } from '../bridge/client-line.ts';
import { LANE } from '../bridge/lane.ts';
import { StreamConnection } from '../bridge/stream-connection.ts';
import { HttpSession } from '../http1/session.ts';
import { Http2Connection } from '../protocol/http2/connection.ts';
import { ERROR } from '../protocol/http2/frames.ts';
import type { FieldList } from '../protocol/http2/list.ts';
import type { Http2Stream } from '../protocol/http2/stream.ts';
import type { Runtime } from '../runtime.ts';
import type { Caller, ClientSession, Stack } from '../stack.ts';
import type { Deadline } from '../timers.ts';
import { NOBODY } from '../transport/nobody.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';
import { answerFields, sizeOf, statusField } from './answers.ts';
import { Http2Exchange } from './exchange.ts';
import { Wire } from './wire.ts';

/** How often streams that wait for their client are looked at. */
const STALL_CHECK = 1_000;

const AGREED = [statusField(200)] as const;

/** The client's side of HTTP/2: one connection, an exchange for each of its streams. */
export class Http2Session implements ConnectionHandler, ClientSession {
  readonly connection: Connection;
  readonly stack: Stack;
  readonly runtime: Runtime;
  readonly caller: Caller | undefined;
  readonly http2: Http2Connection;
  closed = false;
  readonly #wire: Wire;
  /** While no stream is open: how long the connection may lie idle; else: the next look at stalled ones. */
  readonly #deadline: Deadline;
  /** Exchanges that have served their stream, for the next ones. */
  readonly #spare: Http2Exchange[] = [];
  /** The same for servers that speak HTTP/1.1. */
  readonly #lines: ClientLine[] = [];
  /** The header block that is not whole yet, and since when. */
  #block = 0;
  #blockSince = 0;
  #finishing = false;
  /** It is not read from until it reads. */
  #deaf = false;
  /** GOAWAY was sent: its first step, its second. */
  #leaving: 'no' | 'announced' | 'final' = 'no';

  constructor(stack: Stack, connection: Connection) {
    this.stack = stack;
    this.runtime = stack.runtime;
    this.connection = connection;
    this.caller = stack.caller(connection);
    const { flusher, limits, wheel } = this.runtime;
    this.#deadline = wheel.deadline(() => this.#expired());
    this.#wire = new Wire({
      flusher,
      connection,
      limit: limits.http2.output,
      counts: stack.accepted,
      now: () => this.runtime.moment(),
    });
    this.http2 = new Http2Connection(
      'server',
      {
        written: () => this.#wire.mark(),
        request: (stream, list, end) => this.#request(stream, list, end),
        pong: () => this.#pong(),
        idle: () => this.#idle(),
        failed: (_code, reason) => {
          this.runtime.metrics.failed('http2-protocol');
          this.runtime.log.debug({ reason }, 'client broke HTTP/2');
          this.#finish();
        },
        threw: (error) => this.runtime.log.error({ error }, 'unexpected error; its stream was reset'),
      },
      limits.http2,
      stack.strip,
    );
    this.#wire.http2 = this.http2;
    wheel.arm(this.#deadline, limits.keepAliveIdle);
    stack.sessions.add(this);
  }

  // --- from the client ---

  data(chunk: Buffer) {
    this.stack.accepted.read += chunk.length;
    if (this.#finishing) return;
    const now = this.runtime.moment();
    this.http2.receive(chunk, now);
    const { sender } = this.http2;
    // It asks for more than it reads: it may ask for more once it has read (CVE-2019-9511, 9517).
    if (sender.blocked && sender.queued > this.runtime.limits.http2.unread && !this.#deaf) {
      this.#deaf = true;
      this.connection.pause();
    }
    const block = this.http2.openBlock;
    if (block === this.#block) return;
    this.#block = block;
    this.#blockSince = now;
    if (block > 0) this.runtime.wheel.arm(this.#deadline, STALL_CHECK);
  }

  drain() {
    if (this.#deaf) {
      this.#deaf = false;
      this.connection.resume();
    }
    this.#wire.drained();
  }

  /** Without the client's half there are no windows, and nobody is left to cancel: its requests are over. */
  end() {
    this.#finish();
  }

  /** Closes behind what has been written, if the client reads it; a client that does not is not waited for. */
  #finish() {
    this.#wire.finish();
    this.#finishes();
  }

  /**
   * Closes our half, and the other one when the client has: it still says what it reads of the last answers, and to a socket that is
   * closed that would be a reason to reset the connection, with all of them that has not arrived.
   */
  #linger() {
    this.#wire.end();
    this.connection.resume();
    this.#finishes();
  }

  #finishes() {
    this.#finishing = true;
    this.runtime.wheel.arm(this.#deadline, this.runtime.limits.windowStall);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    this.runtime.wheel.drop(this.#deadline);
    this.stack.sessions.delete(this);
    this.stack.closed(this.connection);
    this.http2.close();
    for (const exchange of this.#spare.splice(0)) exchange.core.abandon();
    for (const line of this.#lines.splice(0)) line.handler.close();
  }

  #request(stream: Http2Stream, list: FieldList, end: boolean) {
    const { runtime, caller } = this;
    if (this.http2.streamCount === 1) runtime.wheel.arm(this.#deadline, STALL_CHECK);
    if (runtime.draining) this.#announce();
    if (list.overflow) return this.#refuse(stream, 431, 'headers larger or more than the limits allow', list);
    if (list.protocol?.value === LANE && this.connection.peerIdentity && !end) return this.#lane(stream);
    const { table } = this.stack;
    const asked = list.protocol?.value;
    if (list.method!.value === 'CONNECT' && (asked === undefined || asked === LANE))
      return this.#refuse(stream, 501, 'CONNECT over HTTP/2 is not supported', list);
    // A tunnel goes on as HTTP/1.1 where that is what the servers are known to speak.
    if (
      table.protocol === 'http1' ||
      (asked !== undefined && table.protocol === 'detect' && table.http === 1)
    ) {
      const line = this.#lines.pop() ?? new ClientLine(this);
      // Before it begins: an answer may come at once.
      stream.handler = line;
      line.begin(stream, list, end);
      return;
    }
    if (caller?.field) list.append(caller.field);
    const exchange = this.#spare.pop() ?? new Http2Exchange(this);
    stream.handler = exchange;
    exchange.begin(stream, list, end);
  }

  /** The far end of a lane: HTTP/1.1 as on a connection of its own. */
  #lane(stream: Http2Stream) {
    const { http2 } = this;
    const lane = new StreamConnection('server', this, NOBODY);
    lane.begin(stream);
    // An upload that stands still, one for each of many clients, must not use up the window that heads need, too.
    stream.apart = true;
    http2.sender.headers(stream, AGREED, 1, AGREED[0].size, false);
    lane.handler = new HttpSession(this.stack, lane, { served: () => http2.earn() });
  }

  #refuse(stream: Http2Stream, status: number, detail: string, { method }: FieldList) {
    this.answer(stream, { status, cause: 'bad-request', detail }, method?.value === 'HEAD');
  }

  /** An answer without an exchange. */
  answer(
    stream: Http2Stream,
    { status, cause, detail }: Pick<Answer, 'status' | 'cause' | 'detail'>,
    bodiless = false,
  ) {
    this.runtime.metrics.failed(cause);
    const explain = this.stack.explains(this.connection);
    const text = Buffer.from(explain && !bodiless ? `${cause}: ${detail}\n` : '', 'latin1');
    const fields = answerFields(status, cause, text.length, explain);
    const { sender } = this.http2;
    sender.headers(stream, fields, fields.length, sizeOf(fields), text.length === 0);
    if (text.length > 0) sender.data(stream, text, 0, text.length, true, this.runtime.moment());
    if (!stream.closed) this.http2.reset(stream, ERROR.none);
  }

  // --- its end ---

  /** Takes an exchange back. One that is not kept leaves no deadline behind, which would hold it and this for minutes. */
  recycle(exchange: Http2Exchange) {
    if (!this.closed && this.#spare.length < 64) this.#spare.push(exchange);
    else exchange.core.abandon();
  }

  shelve(line: ClientLine) {
    this.#lines.push(line);
  }

  unshelve(line: ClientLine) {
    const at = this.#lines.indexOf(line);
    if (at >= 0) this.#lines.splice(at, 1);
  }

  #announce() {
    if (this.#leaving !== 'no') return;
    this.#leaving = 'announced';
    this.http2.leave();
  }

  /** The client has read that we leave: whatever it sent before has come. */
  #pong() {
    if (this.#leaving !== 'announced') return;
    this.#leaving = 'final';
    this.http2.refuseFurther();
    if (this.http2.streamCount === 0) this.#linger();
  }

  /** Says GOAWAY, and closes once nothing is going on; called while draining. */
  closeIfIdle() {
    this.#announce();
  }

  #idle() {
    if (this.closed) return;
    if (this.#finishing) return;
    if (this.#leaving === 'final') return this.#linger();
    this.runtime.wheel.arm(this.#deadline, this.runtime.limits.keepAliveIdle);
  }

  #expired() {
    if (this.closed) return;
    if (this.#finishing) return this.connection.destroy();
    const { wheel, limits } = this.runtime;
    const inBlock = this.#block > 0;
    if (inBlock && this.runtime.moment() - this.#blockSince >= limits.headDeadline)
      return this.http2.broken(ERROR.enhanceYourCalm, 'a header block was not whole in time');
    if (this.http2.streamCount > 0 || inBlock) {
      this.http2.resetStalled(this.runtime.moment(), limits.windowStall);
      wheel.arm(this.#deadline, STALL_CHECK);
      return;
    }
    // Idle for long, or a client that does not answer our PING.
    if (this.#leaving === 'announced') return this.#linger();
    this.#announce();
    wheel.arm(this.#deadline, limits.headDeadline);
  }
}
