import type { Head } from '../protocol/http1/head.ts';
import { forwardHead } from '../protocol/http1/rewrite.ts';
import type { HttpSession } from './session.ts';
import type { Upstream } from './upstream.ts';

const UPGRADE = Buffer.from('connection: upgrade\r\n');

/** Bytes of a body from which on it may go unseen. */
export const LONG = 65_536;

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE', 'QUERY']);

/** The bytes of one request on their way out. They wait for the upstream, and stay while they may be sent again. */
export class OutgoingRequest {
  readonly #session: HttpSession;
  method = '';
  upgrade = false;
  http10 = false;
  /** The upstream does not keep up with it. */
  full = false;
  #replayable = false;
  #sent = false;
  /** Head and the part of the body that came with it. */
  #message: Buffer | undefined;
  /** More of the body. */
  #queued: Buffer[] = [];

  constructor(session: HttpSession) {
    this.#session = session;
  }

  /**
   * A head in `input`, and of its body the part up to `bodyEnd`. `more`: header lines to add. The bytes are those of
   * `input` until `keep` is called.
   */
  begin(head: Head, input: Buffer, bodyEnd: number, more?: Buffer) {
    const { requestBody, runtime } = this.#session;
    this.#sent = false;
    this.full = false;
    this.upgrade = head.upgrade;
    this.http10 = head.minor === 0;
    const method = head.method(input);
    this.method = method;
    const [message, rest] = forwardHead(head, input, bodyEnd, this.#insert(head.authority(input), more));
    const whole = rest ? Buffer.concat([message, rest]) : message;
    this.#message = whole;
    this.#replayable =
      requestBody.done && IDEMPOTENT.has(method) && whole.length <= runtime.limits.replay && !this.upgrade;
  }

  /** What has not left, or may be sent again, has to outlive the call that it came in; a copy of all else would be in vain. */
  keep() {
    if (this.#message) this.#message = this.#session.connection.keep(this.#message);
  }

  /** Header lines to add; `host` in the place of one that was left out. */
  #insert(host: string | undefined, more: Buffer | undefined): Buffer | undefined {
    const header = this.#session.caller?.header;
    if (!this.upgrade && host === undefined && (header === undefined || more === undefined))
      return header ?? more;
    const lines = [
      header,
      more,
      this.upgrade ? UPGRADE : undefined,
      host === undefined ? undefined : Buffer.from(`host: ${host}\r\n`, 'latin1'),
    ];
    return Buffer.concat(lines.filter((each) => each !== undefined));
  }

  /** Nothing of it has left. */
  get unsent(): boolean {
    return !this.#sent && this.#message !== undefined;
  }

  /** What it asks for is no HTTP any more. */
  get tunnel(): boolean {
    return this.upgrade || this.method === 'CONNECT';
  }

  /** Whether the whole request could be sent once more without harm. */
  get replayable(): boolean {
    return this.#replayable && this.#message !== undefined;
  }

  send(upstream: Upstream) {
    this.#sent = true;
    const message = this.#message!;
    if (!this.#replayable) this.#message = undefined;
    upstream.tcp.written += message.length;
    let more = upstream.connection.write(message);
    if (this.#queued.length > 0)
      for (const chunk of this.#queued.splice(0)) more = upstream.connection.write(chunk);
    const { requestBody, connection } = this.#session;
    this.full = !more;
    if (!more && !requestBody.done) connection.pause();
    if (requestBody.rest >= LONG) connection.passOn?.(upstream.connection, requestBody.rest);
  }

  /** More of the body. */
  forward(chunk: Buffer, upstream: Upstream | undefined) {
    const { connection } = this.#session;
    if (!upstream || !this.#sent) {
      this.#queued.push(connection.keep(chunk));
      connection.pause();
      return;
    }
    this.wrote(chunk.length, upstream.connection.write(chunk), upstream);
  }

  /** So many bytes of the body are on their way; `more` is what writing them returned. */
  wrote(count: number, more: boolean, upstream: Upstream) {
    const { requestBody, connection } = this.#session;
    upstream.tcp.written += count;
    this.full = !more;
    if (this.full && !requestBody.done) connection.pause();
  }

  /** It will not be sent again. */
  forget() {
    this.#message = undefined;
    if (this.#queued.length > 0) this.#queued = [];
  }
}
