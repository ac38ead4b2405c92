import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { AppError, toAppError } from '../lib/errors.ts';
import type { Rank } from './rank.ts';
import { Turns } from './turns.ts';

/** TLS and authentication of one request; asked for anew each time, because tokens rotate. */
export interface Credentials {
  headers: Record<string, string>;
  tls: {
    ca?: Buffer | string;
    cert?: Buffer | string;
    key?: Buffer | string;
    rejectUnauthorized?: boolean;
    servername?: string;
  };
}

export interface HttpCall {
  method: string;
  path: string;
  body?: string;
  contentType?: string;
  accept?: string;
  signal?: AbortSignal;
  /** Before which of the calls that wait for their turn it goes. */
  rank?: Rank;
  /** Milliseconds without a byte after which the peer counts as dead. */
  idleMs: number;
}

/** What lies beneath a TLS connection: only a TCP socket of Node's can be reset. */
const beneath = new WeakMap<object, Socket>();

class TlsAgent extends HttpsAgent {
  /** All of them lead to one server with one set of credentials; Node puts each option of TLS into it, for each request. */
  override getName(): string {
    return 'server';
  }

  override createConnection(...[options, callback]: Parameters<HttpsAgent['createConnection']>) {
    const tcp = connect(options as NetConnectOpts);
    // Whoever holds the TLS connection hears of it.
    tcp.on('error', () => {});
    const secure = super.createConnection({ ...options, socket: tcp } as RequestOptions, callback);
    if (secure) beneath.set(secure, tcp);
    return secure;
  }
}

/**
 * Resets the connection of a request that is given up: what has not left is taken back from the kernel, which would
 * otherwise deliver it whenever the peer can be reached again.
 */
function takeBack(request: ClientRequest): void {
  const { socket } = request;
  if (socket) (beneath.get(socket) ?? socket).resetAndDestroy();
}

/** After the credentials were replaced: what is being answered may finish, and nothing more is asked there. */
function retire(agent: HttpAgent): void {
  (agent as { keepAlive?: boolean }).keepAlive = false;
  for (const sockets of Object.values(agent.freeSockets))
    for (const socket of sockets ?? []) socket.destroy();
}

/** HTTP/1.1 to one server over keep-alive connections. Resolves with the response's head; the caller reads the body. */
export class Transport {
  readonly #server: URL;
  readonly #credentials: () => Promise<Credentials>;
  // Watches hold a connection each and must never starve the calls: it is the calls that are counted. Both take from the
  // same connections, so that a watch goes on where its list was read.
  readonly #turns = new Turns({ first: 16, least: 8, most: 64 });
  #connections: { tls: Credentials['tls']; agent: HttpAgent } | undefined;

  constructor(server: string, credentials: () => Promise<Credentials>) {
    this.#server = new URL(server);
    this.#credentials = credentials;
  }

  /** The connections that were made with these credentials. */
  #agentFor(tls: Credentials['tls']): HttpAgent {
    const before = this.#connections;
    if (before && (before.tls === tls || isDeepStrictEqual(before.tls, tls))) return before.agent;
    const options = { keepAlive: true, timeout: 0, scheduling: 'lifo' as const };
    const { rejectUnauthorized, servername, ...material } = tls;
    const agent =
      this.#server.protocol === 'https:'
        ? new TlsAgent({
            ...options,
            maxCachedSessions: 64,
            ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
            ...(servername === undefined ? {} : { servername }),
            // Reading the CA and the key once, and not for each connection, is half of what a handshake costs.
            secureContext: createSecureContext(material),
          })
        : new HttpAgent(options);
    if (before) retire(before.agent);
    this.#connections = { tls, agent };
    return agent;
  }

  async open(call: HttpCall, stream = false): Promise<IncomingMessage> {
    const turn = stream ? undefined : await this.#turns.take(call.signal, call.rank);
    let closed = () => turn?.end();
    try {
      const { headers, tls } = await this.#credentials();
      call.signal?.throwIfAborted();
      const request = this.#request(call, headers, tls);
      request.once('close', closed);
      // From here on it closes, whatever becomes of it.
      closed = () => {};
      const response = await this.#answer(call, request);
      turn?.answered();
      return response;
    } catch (thrown) {
      closed();
      throw thrown;
    }
  }

  #request(call: HttpCall, headers: Record<string, string>, tls: Credentials['tls']): ClientRequest {
    const secure = this.#server.protocol === 'https:';
    const prefix = this.#server.pathname.replace(/\/$/, '');
    const options: RequestOptions = {
      method: call.method,
      host: this.#server.hostname.replace(/^\[|\]$/g, ''),
      port: this.#server.port || (secure ? 443 : 80),
      path: prefix + call.path,
      agent: this.#agentFor(tls),
      headers: {
        accept: call.accept ?? 'application/json',
        'user-agent': 'weir',
        ...headers,
        ...(call.body === undefined
          ? {}
          : {
              'content-type': call.contentType ?? 'application/json',
              'content-length': Buffer.byteLength(call.body),
            }),
      },
    };
    return (secure ? httpsRequest : httpRequest)(options);
  }

  #answer(call: HttpCall, request: ClientRequest): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      let incoming: IncomingMessage | undefined;
      let reason: AppError | undefined;
      const giveUp = (error: AppError) => {
        reason = error;
        takeBack(request);
        // Whoever reads the body hears the reason, and not only that it was cut off.
        incoming?.destroy(error);
        request.destroy(error);
      };
      const aborted = () => giveUp(toAppError(call.signal!.reason, 'Aborted'));
      request.once('response', (response) => {
        incoming = response;
        resolve(response);
      });
      // Covers connecting, waiting for the head and every gap in the body: a dead peer never closes by itself.
      request.setTimeout(call.idleMs, () => {
        giveUp(
          new AppError(
            'Timeout',
            `${call.method} ${this.#server.host}${call.path}: no answer for ${call.idleMs} ms`,
          ),
        );
      });
      call.signal?.addEventListener('abort', aborted, { once: true });
      request.once('close', () => call.signal?.removeEventListener('abort', aborted));
      request.on('error', (error) => {
        const text = `${call.method} ${this.#server.host}${call.path}: ${error.message}`;
        reject(reason ?? new AppError('Unavailable', text, { cause: error }));
      });
      request.end(call.body);
    });
  }

  /** While it is held, only urgent calls are sent; streams and what is under way go on. */
  hold(held: boolean): void {
    this.#turns.hold(held);
  }

  close(): void {
    this.#connections?.agent.destroy();
  }
}

/** The whole body as text. */
export function readBody(response: IncomingMessage): Promise<string> {
  // Not by iterating over it, which takes longer than all else that is done with a small body.
  return new Promise((resolve, reject) => {
    // It says so only once.
    if (response.destroyed)
      return reject(toAppError(response.errored ?? new Error('the answer was cut off'), 'Unavailable'));
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    // Cut off, or silent for too long: half an answer is none, whatever its status said.
    response.once('error', (error) => reject(toAppError(error, 'Unavailable')));
  });
}

/** Newline-delimited JSON, one value at a time, however it was cut on the way. */
export async function* readLines(response: IncomingMessage): AsyncGenerator<unknown> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of response) {
    rest += decoder.decode(chunk as Buffer, { stream: true });
    let from = 0;
    for (let end = rest.indexOf('\n', from); end >= 0; end = rest.indexOf('\n', from)) {
      const line = rest.slice(from, end);
      from = end + 1;
      if (line.trim() !== '') yield JSON.parse(line);
    }
    rest = rest.slice(from);
  }
}
