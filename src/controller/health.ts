import { createServer, type ServerResponse } from 'node:http';
import { toAppError } from '../lib/errors.ts';
import { type Address, bind, closeServer } from './serve.ts';

export interface HealthServerOptions {
  /** `host:port` or the parsed pair. */
  listen: string | Address;
  /** True when ready; a text says why not. */
  ready: () => boolean | string | Promise<boolean | string>;
  metrics?: () => string | Promise<string>;
}

/** `/live`, `/ready` (503 with the reason in its body) and `/metrics`. */
export async function startHealthServer(
  options: HealthServerOptions,
): Promise<{ port: number; stop(): Promise<void> }> {
  const server = createServer((request, response) => {
    answer(options, (request.url ?? '/').split('?')[0]!, response).catch((error: unknown) =>
      send(response, 500, `${toAppError(error).message}\n`),
    );
  });
  const port = await bind(server, options.listen);
  return { port, stop: () => closeServer(server) };
}

async function answer(options: HealthServerOptions, path: string, response: ServerResponse): Promise<void> {
  if (path === '/live') return send(response, 200, 'live\n');
  if (path === '/ready') {
    const ready = await readiness(options.ready);
    return ready === true ? send(response, 200, 'ready\n') : send(response, 503, `${ready}\n`);
  }
  if (path === '/metrics' && options.metrics)
    return send(response, 200, await options.metrics(), 'text/plain; version=0.0.4; charset=utf-8');
  send(response, 404, 'not found: this port serves /live, /ready and /metrics\n');
}

async function readiness(ready: HealthServerOptions['ready']): Promise<true | string> {
  try {
    const state = await ready();
    return state === false ? 'not ready' : state;
  } catch (error) {
    return toAppError(error).message;
  }
}

function send(
  response: ServerResponse,
  code: number,
  body: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(code, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}
