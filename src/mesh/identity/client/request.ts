import { Agent, request } from 'node:https';
import { AppError, type ErrorCode } from '../../../lib/errors.ts';

export interface ControlPlane {
  /** `https://host:port` of `weir mesh`. */
  address: string;
  /** Name its certificate is checked against, whatever address it is reached by. */
  servername: string;
}

/** What the control plane is checked by and, after the first certificate, what is shown to it. PEM. */
export interface CallCredentials {
  trust: string;
  key?: string;
  cert?: string;
}

export interface Call {
  method: 'GET' | 'POST';
  path: string;
  credentials: CallCredentials;
  /** JSON. */
  body?: Buffer;
  /** Others like it follow soon: they may share one connection, one after the other. */
  keep?: boolean;
  signal?: AbortSignal;
}

/** What is told of a call: the status, the body as it comes, and one of `end` and `error` as the last. */
export interface Replies {
  status(code: number): void;
  /** The chunk may be kept only as a copy. */
  data(chunk: Buffer): void;
  end(): void;
  error(error: Error): void;
}

/** How requests get to the control plane: over node:https here, over the proxy's own transport in a sidecar. */
export interface Caller {
  readonly address: string;
  /** What is told after `destroy` is of no concern. */
  call(call: Call, replies: Replies): { destroy(): void };
  /** Lets go of connections that nothing goes over. */
  close(): void;
}

/** Where `address` says the control plane listens. */
export function hostAndPort(address: string): { host: string; port: number } {
  const { hostname, port } = new URL(address);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 443) };
}

export class HttpsCaller implements Caller {
  readonly #to: ControlPlane;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  /** The certificate that connections of the agent show. */
  #shown: string | undefined;

  constructor(to: ControlPlane) {
    this.#to = to;
  }

  get address(): string {
    return this.#to.address;
  }

  call({ method, path, credentials, body, keep, signal }: Call, replies: Replies) {
    const { key, cert, trust: ca } = credentials;
    if (keep && cert !== this.#shown) this.#forgetOld(cert);
    const outgoing = request({
      ...hostAndPort(this.#to.address),
      method,
      path,
      ca,
      key,
      cert,
      servername: this.#to.servername,
      agent: keep ? this.#agent : false,
      signal,
      minVersion: 'TLSv1.3',
    });
    outgoing.on('error', (error) => replies.error(error));
    outgoing.on('response', (response) => {
      replies.status(response.statusCode ?? 0);
      response.on('data', (chunk: Buffer) => replies.data(chunk));
      response.on('error', (error) => replies.error(error));
      response.on('end', () => replies.end());
    });
    if (body) {
      outgoing.setHeader('content-type', 'application/json');
      outgoing.setHeader('content-length', body.length);
    }
    outgoing.end(body);
    return outgoing;
  }

  /** Connections that showed the certificate before would lie open, unused, until the control plane closes them. */
  #forgetOld(cert: string | undefined) {
    this.#shown = cert;
    for (const idle of Object.values(this.#agent.freeSockets)) for (const each of idle ?? []) each.destroy();
  }

  close(): void {
    this.#agent.destroy();
  }
}

export interface PostOptions extends Omit<Call, 'method' | 'body'> {
  body: unknown;
  /** Milliseconds for the whole of it. */
  timeout?: number;
}

const CODES: Record<number, ErrorCode> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  413: 'Invalid',
  429: 'TooManyRequests',
  503: 'Unavailable',
};
const MAX_ANSWER = 1_048_576;

/** POSTs JSON; resolves with the parsed answer (undefined for 204), rejects with an AppError. */
export async function postJson(caller: Caller, options: PostOptions): Promise<unknown> {
  const { path, body, timeout = 10_000, ...call } = options;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let status = 0;
  let size = 0;
  const running = caller.call(
    { ...call, path, method: 'POST', body: Buffer.from(JSON.stringify(body)) },
    {
      status: (code) => {
        status = code;
      },
      data: (chunk) => {
        size += chunk.length;
        if (size > MAX_ANSWER) fail(new Error('the answer is longer than 1 MiB'));
        else chunks.push(Buffer.from(chunk));
      },
      end: () => resolve(Buffer.concat(chunks).toString()),
      error: reject,
    },
  );
  const fail = (error: Error) => {
    reject(error);
    running.destroy();
  };
  const timer = setTimeout(
    () => fail(new AppError('Timeout', `the control plane did not answer ${path} in time`)),
    timeout,
  );
  let text: string;
  try {
    text = await promise;
  } catch (thrown) {
    if (thrown instanceof AppError) throw thrown;
    const { message } = thrown as Error;
    throw new AppError('Unavailable', `cannot reach the control plane at ${caller.address}: ${message}`, {
      cause: thrown,
    });
  } finally {
    clearTimeout(timer);
  }
  if (status >= 300) {
    throw new AppError(
      CODES[status] ?? 'Internal',
      `the control plane refused ${path}: ${status} ${text.trim()}`,
    );
  }
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch (thrown) {
    throw new AppError('Unavailable', `the control plane's answer to ${path} is no JSON`, { cause: thrown });
  }
}
