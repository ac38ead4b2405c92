import { type Agent, type RequestOptions, request } from 'node:https';
import { AppError, type ErrorCode } from '../../../lib/errors.ts';

export interface ControlPlane {
  /** `https://host:port` of `weir mesh`. */
  address: string;
  /** Name its certificate is checked against, whatever address it is reached by. */
  servername: string;
}

export interface PostOptions extends ControlPlane {
  path: string;
  body: unknown;
  ca: string;
  key?: string;
  cert?: string;
  agent?: Agent;
  timeout?: number;
  signal?: AbortSignal;
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

/** Where a request to the control plane goes and how it proves itself. */
export function requestOptions(options: Omit<PostOptions, 'body'>, method: string): RequestOptions {
  const { hostname, port } = new URL(options.address);
  const { path, ca, key, cert, agent, servername, signal } = options;
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 443),
    method,
    path,
    ca,
    key,
    cert,
    servername,
    agent: agent ?? false,
    signal,
    minVersion: 'TLSv1.3',
  };
}

/** POSTs JSON; resolves with the parsed answer (undefined for 204), rejects with an AppError. */
export function postJson(options: PostOptions): Promise<unknown> {
  const payload = Buffer.from(JSON.stringify(options.body));
  return new Promise((resolve, reject) => {
    const fail = (error: Error) =>
      reject(
        error instanceof AppError
          ? error
          : new AppError(
              'Unavailable',
              `cannot reach the control plane at ${options.address}: ${error.message}`,
              {
                cause: error,
              },
            ),
      );
    const outgoing = request(requestOptions(options, 'POST'), (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > 1_048_576) outgoing.destroy(new Error('the answer is longer than 1 MiB'));
      });
      response.on('error', fail);
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        if (status >= 300) {
          return fail(
            new AppError(
              CODES[status] ?? 'Internal',
              `the control plane refused ${options.path}: ${status} ${text.trim()}`,
            ),
          );
        }
        try {
          resolve(text === '' ? undefined : JSON.parse(text));
        } catch (thrown) {
          fail(thrown as Error);
        }
      });
    });
    outgoing.setTimeout(options.timeout ?? 10_000, () =>
      outgoing.destroy(new AppError('Timeout', `the control plane did not answer ${options.path} in time`)),
    );
    outgoing.on('error', fail);
    outgoing.setHeader('content-type', 'application/json');
    outgoing.setHeader('content-length', payload.length);
    outgoing.end(payload);
  });
}
