/**
 * HTTP/1.1 for the admin endpoints, over the proxy's own transport and parser: small answers and streams of lines, one request of a
 * connection at a time. node:http, and what listening with it loads, would be half a megabyte in every pod.
 */
import { BodyReader } from './protocol/http1/body.ts';
import { Head, headError } from './protocol/http1/head.ts';
import { parseRequestHead } from './protocol/http1/parse.ts';
import type { Connection, ConnectionHandler, Listener, Transport } from './transport/types.ts';

/** Heads of probes, scrapes and browsers. */
const LIMITS = { bytes: 16_384, count: 100, startLine: 8_192 };
/** Bytes that may come while an answer is not ready, and of a body that nobody reads. */
const WAITING = 65_536;
/** Milliseconds that a connection may lie idle, or take to send a request. */
const IDLE = 75_000;

export interface AdminRequest {
  method: string;
  /** As it was sent. */
  target: string;
  /** It comes from this pod. */
  local: boolean;
}

/** One answer to one request: whole, or a stream that lasts. */
export interface AdminResponse {
  send(status: number, body: string, type?: string): void;
  /** False asks to wait for `drained`; `closed` is told once, when the watcher has gone. */
  stream(type: string, told: { drained(): void; closed(): void }): (text: string) => boolean;
}

export type AdminHandler = (request: AdminRequest, response: AdminResponse) => void;

const TEXTS: Record<number, string> = {
  200: 'OK',
  403: 'Forbidden',
  404: 'Not Found',
  429: 'Too Many Requests',
};

class Session implements ConnectionHandler, AdminResponse {
  readonly #connection: Connection;
  readonly #local: boolean;
  readonly #head: Head;
  readonly #handle: AdminHandler;
  readonly #gone: (session: Session) => void;
  readonly #body = new BodyReader();
  readonly #idle: NodeJS.Timeout;
  /** What came and has not been looked at. */
  #rest: Buffer = EMPTY;
  #answering = false;
  #bodiless = false;
  /** Nothing more is read after the answer at hand. */
  #last = false;
  #chunked = false;
  #told: { drained(): void; closed(): void } | undefined;

  constructor(connection: Connection, head: Head, handle: AdminHandler, gone: (session: Session) => void) {
    this.#connection = connection;
    this.#local = connection.local?.() ?? false;
    this.#head = head;
    this.#handle = handle;
    this.#gone = gone;
    this.#idle = setTimeout(() => connection.destroy(), IDLE).unref();
  }

  data(chunk: Buffer): void {
    this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : Buffer.from(chunk);
    if (this.#answering) {
      if (this.#rest.length > WAITING) this.#connection.destroy();
    } else this.#next();
  }

  #next() {
    while (!this.#answering && !this.#last && this.#rest.length > 0) {
      if (!this.#body.done) {
        const end = this.#body.advance(this.#rest, 0, this.#rest.length);
        if (end < 0 || this.#body.bytes > WAITING) return this.#refuse(400, 'a body that is not taken');
        this.#rest = this.#rest.subarray(end);
        continue;
      }
      const head = this.#head;
      const end = parseRequestHead(head, this.#rest, 0, this.#rest.length, false);
      if (end === 0) return;
      if (end < 0) {
        const { status, reason } = headError(end);
        return this.#refuse(status, reason);
      }
      if (head.chunked) this.#body.start('chunked');
      else this.#body.start('length', Math.max(0, head.contentLength));
      const method = head.method(this.#rest);
      const target = head.target(this.#rest);
      this.#rest = this.#rest.subarray(end);
      this.#last = head.close || head.minor === 0;
      this.#chunked = head.minor === 1;
      this.#bodiless = method === 'HEAD';
      this.#answering = true;
      this.#idle.refresh();
      this.#handle({ method, target, local: this.#local }, this);
    }
  }

  #refuse(status: number, reason: string) {
    this.#last = true;
    this.#answering = true;
    this.send(status, `${reason}\n`);
  }

  #start(status: number, type: string, framing: string): string {
    const text = TEXTS[status] ?? (status < 500 ? 'Bad Request' : 'Service Unavailable');
    return `HTTP/1.1 ${status} ${text}\r\ndate: ${new Date().toUTCString()}\r\ncontent-type: ${type}\r\n${framing}${this.#last ? 'connection: close\r\n' : ''}\r\n`;
  }

  send(status: number, body: string, type = 'text/plain; charset=utf-8'): void {
    // Whoever asked may have gone meanwhile, which writing does not mind.
    const head = this.#start(status, type, `content-length: ${Buffer.byteLength(body)}\r\n`);
    this.#connection.write(Buffer.from(this.#bodiless ? head : head + body));
    this.#answering = false;
    if (this.#last) this.#connection.finish();
    else this.#next();
  }

  stream(type: string, told: { drained(): void; closed(): void }): (text: string) => boolean {
    const chunked = this.#chunked;
    this.#last ||= !chunked;
    clearTimeout(this.#idle);
    this.#told = told;
    this.#connection.write(
      Buffer.from(this.#start(200, type, chunked ? 'transfer-encoding: chunked\r\n' : '')),
    );
    return (text) =>
      this.#connection.write(
        Buffer.from(chunked ? `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n` : text),
      );
  }

  drain(): void {
    this.#told?.drained();
  }

  /** Who has half-closed still gets the answer that is under way; who watches a stream and does it has gone. */
  end(): void {
    if (this.#told) this.#connection.destroy();
    else if (!this.#answering) this.#connection.finish();
    this.#last = true;
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#rest = EMPTY;
    this.#last = true;
    this.#gone(this);
    this.#told?.closed();
    this.#told = undefined;
  }

  destroy(): void {
    this.#connection.destroy();
  }
}

const EMPTY = Buffer.alloc(0);

/** Serves until it is closed, which ends its connections too. */
export async function serveAdmin(
  transport: Transport,
  { host, port }: { host: string; port: number },
  handle: AdminHandler,
): Promise<Listener> {
  const sessions = new Set<Session>();
  const head = new Head(LIMITS);
  const gone = (session: Session) => void sessions.delete(session);
  const listener = await transport.listen({ host, port, tls: 'off', handshakeTimeout: 0 }, (connection) => {
    const session = new Session(connection, head, handle, gone);
    sessions.add(session);
    return session;
  });
  return {
    port: listener.port,
    close: () => {
      listener.close();
      for (const session of sessions) session.destroy();
    },
  };
}
