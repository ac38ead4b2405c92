/** The admin server: the one place of the proxy that uses node:http, loaded when it starts. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { toAppError } from '../../lib/errors.ts';
import { splitAddress } from './config.ts';
import type { DataPlane } from './proxy.ts';
import { parseFilter, type TapFilter } from './tap/filter.ts';

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
      case '/tap': {
        if (!local(request.socket.remoteAddress, request.socket.localAddress))
          return answer(403, 'from this pod only: use weir tap, or kubectl port-forward\n');
        let filter: TapFilter;
        try {
          filter = parseFilter(new URL(request.url!, 'http://proxy').searchParams);
        } catch (thrown) {
          return answer(400, `${toAppError(thrown).message}\n`);
        }
        return watch(proxy, filter, response) || answer(429, 'enough taps are open: close one\n');
      }
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
      default: {
        const port = /^\/probe\/tcp\/(\d{1,5})$/.exec(path ?? '')?.[1];
        if (port === undefined)
          return answer(
            404,
            'known: /live /ready /started /metrics /config /tap /probe/tcp/PORT /shutdown\n',
          );
        return probe(host, Number(port), (reason) =>
          reason === undefined ? answer(200, 'accepts\n') : answer(503, `${reason}\n`),
        );
      }
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

/** How often a tap that shows nothing says that it is there: a watcher that is gone is noticed by it. */
const HEARTBEAT = 15_000;

/** Streams the requests that match, a JSON object each line, until the watcher goes. False: there are too many. */
function watch(proxy: DataPlane, filter: TapFilter, response: ServerResponse): boolean {
  const tap = proxy.observers.tap(filter, (line) => response.write(line));
  if (!tap) return false;
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  const heartbeat = setInterval(() => response.write('\n'), HEARTBEAT).unref();
  response.on('drain', () => tap.drained());
  response.on('close', () => {
    clearInterval(heartbeat);
    tap.close();
  });
  return true;
}

/** Longer than any kubelet waits by default. */
const PROBE_TIMEOUT = 5_000;

/** What the kubelet's tcpSocket probe would find if no proxy were in between: does anybody accept there? */
function probe(host: string, port: number, done: (reason: string | undefined) => void): void {
  if (port < 1 || port > 65_535) {
    done(`there is no port ${port}`);
    return;
  }
  const socket = connect({ host, port });
  const end = (reason: string | undefined) => {
    socket.removeAllListeners().on('error', () => {});
    socket.destroy();
    done(reason);
  };
  socket.setTimeout(PROBE_TIMEOUT, () => end(`no answer from port ${port}`));
  socket.once('connect', () => end(undefined));
  socket.once('error', (error) => end(error.message));
}

function local(remote: string | undefined, own: string | undefined): boolean {
  if (remote === undefined) return false;
  return remote === '::1' || remote === '::ffff:127.0.0.1' || remote === '127.0.0.1' || remote === own;
}
