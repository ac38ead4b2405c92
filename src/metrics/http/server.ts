import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { AppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { QueryError } from '../promql/errors.ts';
import { type ApiContext, answer } from './api.ts';

/** A query in a form body may be long, but not this long, bytes. */
const MAX_FORM = 1024 * 1024;
const STATUS = { bad_data: 400, execution: 422, timeout: 503 } as const;

export interface MetricsServerOptions {
  host: string;
  port: number;
  context: ApiContext;
  /** The store's own exposition. */
  metrics: () => string;
  ready: () => boolean;
  log: Logger;
}

export interface RunningServer {
  host: string;
  port: number;
  stop(): Promise<void>;
}

/** Serves the Prometheus HTTP API, probes and the store's own metrics. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<RunningServer> {
  const server = createServer((request, response) => {
    handle(options, request, response).catch((thrown: unknown) => {
      options.log.error({ error: thrown }, 'request failed');
      if (!response.headersSent) fail(response, 500, 'internal', 'internal error: see the log of the store');
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const where = `${options.host}:${options.port}`;
      reject(new AppError('Unavailable', `cannot listen on ${where}: ${cause.message}`, { cause }));
    });
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : options.port;
  return {
    host: options.host,
    port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), 2000).unref();
      }),
  };
}

async function handle(
  { context, metrics, ready }: MetricsServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname.startsWith('/api/v1/')) {
    await handleApi(context, url, request, response);
    return;
  }
  const text = (status: number, body: string, type = 'text/plain; charset=utf-8') => {
    response.writeHead(status, { 'content-type': type });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  switch (url.pathname) {
    case '/-/healthy':
    case '/live':
      return text(200, 'Weir metrics is Healthy.\n');
    case '/-/ready':
    case '/ready':
      return ready()
        ? text(200, 'Weir metrics is Ready.\n')
        : text(503, 'the first targets are not known yet\n');
    case '/metrics':
      return text(200, metrics(), 'text/plain; version=0.0.4; charset=utf-8');
    case '/':
      return text(200, 'Weir metrics store. The Prometheus HTTP API is under /api/v1/.\n');
    default:
      return text(404, 'not found\n');
  }
}

async function handleApi(
  context: ApiContext,
  url: URL,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('access-control-allow-origin', '*');
  if (request.method === 'OPTIONS') {
    response.writeHead(204, {
      'access-control-allow-methods': 'GET, POST, OPTIONS',
      'access-control-allow-headers': 'Accept, Authorization, Content-Type, Origin',
    });
    response.end();
    return;
  }
  if (request.method !== 'GET' && request.method !== 'POST' && request.method !== 'HEAD') {
    fail(response, 405, 'bad_data', `method ${request.method} is not allowed: use GET or POST`);
    return;
  }
  try {
    const parameters = new URLSearchParams(url.searchParams);
    if (request.method === 'POST')
      for (const [key, value] of new URLSearchParams(await readForm(request))) parameters.append(key, value);
    const data = answer(context, url.pathname.slice('/api/v1'.length), parameters);
    if (data === undefined) {
      fail(response, 404, 'not_found', `no such endpoint: ${url.pathname}`);
      return;
    }
    send(response, 200, { status: 'success', data });
  } catch (thrown) {
    if (thrown instanceof QueryError) fail(response, STATUS[thrown.type], thrown.type, thrown.message);
    else if (thrown instanceof AppError || thrown instanceof URIError)
      fail(response, 400, 'bad_data', thrown.message);
    else throw thrown;
  }
}

async function readForm(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_FORM) throw new AppError('BadRequest', 'the form is larger than 1 MiB');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function fail(response: ServerResponse, status: number, errorType: string, error: string): void {
  send(response, status, { status: 'error', errorType, error });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length });
  response.end(text);
}
