import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError } from '../lib/errors.ts';
import { parseListen } from '../lib/listen.ts';

export interface HealthServerOptions {
  listen: string;
  /** True, or why not: shown to whoever asks. */
  ready: () => boolean | string | Promise<boolean | string>;
  /** In the Prometheus text format, as one or as several parts. */
  metrics?: () => string | readonly (string | Uint8Array)[];
}

export interface RunningServer {
  port: number;
  stop(): Promise<void>;
}

/** `/live`, `/ready` and `/metrics`. */
export async function startHealthServer({
  listen,
  ready,
  metrics,
}: HealthServerOptions): Promise<RunningServer> {
  const server = createServer(async (request, response) => {
    const path = request.url?.split('?')[0];
    const answer = (
      status: number,
      body: string | readonly (string | Uint8Array)[],
      type = 'text/plain; charset=utf-8',
    ) => {
      const parts = typeof body === 'string' ? [body] : body;
      const length = parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
      response.cork();
      response.writeHead(status, { 'content-type': type, 'content-length': length });
      for (const part of parts) response.write(part);
      response.end();
    };
    try {
      if (path === '/live') answer(200, 'ok\n');
      else if (path === '/ready') {
        const state = await ready();
        if (state === true) answer(200, 'ok\n');
        else answer(503, `${state === false ? 'not ready' : state}\n`);
      } else if (path === '/metrics' && metrics)
        answer(200, metrics(), 'text/plain; version=0.0.4; charset=utf-8');
      else answer(404, 'not found: ask for /live, /ready or /metrics\n');
    } catch (error) {
      answer(500, `${String(error)}\n`);
    }
  });
  const { host, port } = parseListen(listen);
  await listening(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Resolves when the server accepts; an address that is taken is an error that names it. */
export function listening(server: import('node:net').Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const what = cause.code === 'EADDRINUSE' ? 'is in use; choose another with --listen' : cause.message;
      reject(new AppError('Unavailable', `cannot listen on ${host}:${port}: ${what}`, { cause }));
    });
    server.listen(port, host, () => resolve());
  });
}
