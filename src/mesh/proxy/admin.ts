/** The admin server: the one place of the proxy that uses node:http, loaded when it starts. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { splitAddress } from './config.ts';
import type { DataPlane } from './proxy.ts';

export interface AdminOptions {
  listen: string;
  host: string;
  proxy: DataPlane;
  ready: () => boolean;
  /** Whether the application may start. */
  started: () => boolean;
  shutdown: () => void;
}

export interface AdminServer {
  port: number;
  close(): void;
}

export async function startAdmin({
  listen,
  host,
  proxy,
  ready,
  started,
  shutdown,
}: AdminOptions): Promise<AdminServer> {
  const server: Server = createServer((request, response) => {
    const answer = (status: number, body: string, type = 'text/plain; charset=utf-8') => {
      response.writeHead(status, { 'content-type': type });
      response.end(body);
    };
    const path = (request.url ?? '/').split('?')[0];
    if (path === '/shutdown') {
      if (request.method !== 'POST') return answer(405, 'use POST\n');
      // Within the pod only: whoever shares its loopback could stop it anyway.
      if (!local(request.socket.remoteAddress, request.socket.localAddress))
        return answer(403, 'from this pod only\n');
      answer(200, 'draining\n');
      return shutdown();
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'use GET\n');
    switch (path) {
      case '/live':
        return answer(200, 'live\n');
      case '/ready':
        return ready() ? answer(200, 'ready\n') : answer(503, 'not ready\n');
      case '/started':
        return started() ? answer(200, 'started\n') : answer(503, 'not started\n');
      case '/metrics':
        return answer(200, proxy.runtime.metrics.expose(), 'text/plain; version=0.0.4; charset=utf-8');
      case '/config':
        return answer(200, `${JSON.stringify(proxy.describe(), null, 2)}\n`, 'application/json');
      default:
        return answer(404, 'known: /live /ready /started /metrics /config /shutdown\n');
    }
  });
  const address = splitAddress(listen, host);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function local(remote: string | undefined, own: string | undefined): boolean {
  if (remote === undefined) return false;
  return remote === '::1' || remote === '::ffff:127.0.0.1' || remote === '127.0.0.1' || remote === own;
}
