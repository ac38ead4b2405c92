import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { AppError, toAppError } from '../lib/errors.ts';

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
  /** Milliseconds without a byte after which the peer counts as dead. */
  idleMs: number;
}

/** HTTP/1.1 to one server over keep-alive connections. Resolves with the response's head; the caller reads the body. */
export class Transport {
  readonly #server: URL;
  readonly #credentials: () => Promise<Credentials>;
  readonly #agent: HttpAgent;
  readonly #streams: HttpAgent;

  constructor(server: string, credentials: () => Promise<Credentials>) {
    this.#server = new URL(server);
    this.#credentials = credentials;
    const options = { keepAlive: true, maxSockets: 64, timeout: 0, scheduling: 'lifo' as const };
    // Watches hold a connection each and must never starve the calls.
    const make = (maxSockets: number) =>
      this.#server.protocol === 'https:'
        ? new HttpsAgent({ ...options, maxSockets, maxCachedSessions: 64 })
        : new HttpAgent({ ...options, maxSockets });
    this.#agent = make(64);
    this.#streams = make(Number.POSITIVE_INFINITY);
  }

  async open(call: HttpCall, stream = false): Promise<IncomingMessage> {
    const { headers, tls } = await this.#credentials();
    call.signal?.throwIfAborted();
    const secure = this.#server.protocol === 'https:';
    const prefix = this.#server.pathname.replace(/\/$/, '');
    const options: RequestOptions = {
      method: call.method,
      host: this.#server.hostname.replace(/^\[|\]$/g, ''),
      port: this.#server.port || (secure ? 443 : 80),
      path: prefix + call.path,
      agent: stream ? this.#streams : this.#agent,
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
      ...(call.signal ? { signal: call.signal } : {}),
      ...(secure ? tls : {}),
    };
    return new Promise((resolve, reject) => {
      let incoming: IncomingMessage | undefined;
      const request = (secure ? httpsRequest : httpRequest)(options, (response) => {
        incoming = response;
        resolve(response);
      });
      // Covers connecting, waiting for the head and every gap in the body: a dead peer never closes by itself.
      request.setTimeout(call.idleMs, () => {
        const silent = new AppError(
          'Timeout',
          `${call.method} ${this.#server.host}${call.path}: no answer for ${call.idleMs} ms`,
        );
        // Whoever reads the body hears the reason, and not only that it was cut off.
        incoming?.destroy(silent);
        request.destroy(silent);
      });
      request.on('error', (error) => {
        if (call.signal?.aborted) return reject(toAppError(call.signal.reason, 'Aborted'));
        reject(
          error instanceof AppError
            ? error
            : new AppError(
                'Unavailable',
                `${call.method} ${this.#server.host}${call.path}: ${error.message}`,
                { cause: error },
              ),
        );
      });
      request.end(call.body);
    });
  }

  close(): void {
    this.#agent.destroy();
    this.#streams.destroy();
  }
}

/** The whole body as text. */
export async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (error) {
    // Cut off, or silent for too long: half an answer is none, whatever its status said.
    throw toAppError(error, 'Unavailable');
  }
  return Buffer.concat(chunks).toString('utf8');
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
