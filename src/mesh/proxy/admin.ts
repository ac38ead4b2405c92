/** The admin endpoints. */
import { toAppError } from '../../lib/errors.ts';
import { type AdminResponse, serveAdmin } from './admin-server.ts';
import { splitAddress } from './config.ts';
import type { DataPlane } from './proxy.ts';
import { parseFilter, type TapFilter } from './tap/filter.ts';
import type { Listener, Transport } from './transport/types.ts';

export interface AdminOptions {
  listen: string;
  host: string;
  proxy: DataPlane;
  ready: () => boolean;
  /** Whether the application may start. */
  started: () => boolean;
  shutdown: () => void;
}

export function startAdmin({
  listen,
  host,
  proxy,
  ready,
  started,
  shutdown,
}: AdminOptions): Promise<Listener> {
  const { transport } = proxy.runtime;
  return serveAdmin(transport, splitAddress(listen, host), ({ method, target, local }, response) => {
    const answer = (status: number, body: string, type?: string) => response.send(status, body, type);
    // As an absolute URL too (RFC 9112 3.2.2).
    const { pathname: path, searchParams } = URL.parse(target, 'http://proxy') ?? new URL('http://proxy/');
    if (path === '/shutdown') {
      if (method !== 'POST') return answer(405, 'use POST\n');
      // Within the pod only: whoever shares its loopback could stop it anyway.
      if (!local) return answer(403, 'from this pod only\n');
      answer(200, 'draining\n');
      return shutdown();
    }
    if (method !== 'GET' && method !== 'HEAD') return answer(405, 'use GET\n');
    switch (path) {
      case '/tap': {
        if (!local) return answer(403, 'from this pod only: use weir tap, or kubectl port-forward\n');
        let filter: TapFilter;
        try {
          filter = parseFilter(searchParams);
        } catch (thrown) {
          return answer(400, `${toAppError(thrown).message}\n`);
        }
        if (method === 'HEAD') return answer(200, '', NDJSON);
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
        return probe(transport, host, Number(port), (reason) =>
          reason === undefined ? answer(200, 'accepts\n') : answer(503, `${reason}\n`),
        );
      }
    }
  });
}

const NDJSON = 'application/x-ndjson';
/** How often a tap that shows nothing says that it is there: a watcher that is gone is noticed by it. */
const HEARTBEAT = 15_000;

/** Streams the requests that match, a JSON object each line, until the watcher goes. False: there are too many. */
function watch(proxy: DataPlane, filter: TapFilter, response: AdminResponse): boolean {
  let write: (line: string) => boolean = () => true;
  const tap = proxy.observers.tap(filter, (line) => write(line));
  if (!tap) return false;
  const heartbeat = setInterval(() => write('\n'), HEARTBEAT).unref();
  write = response.stream(NDJSON, {
    drained: () => tap.drained(),
    closed: () => {
      clearInterval(heartbeat);
      tap.close();
    },
  });
  return true;
}

/** Longer than any kubelet waits by default. */
const PROBE_TIMEOUT = 5_000;

/** What the kubelet's tcpSocket probe would find if no proxy were in between: does anybody accept there? */
function probe(
  transport: Transport,
  host: string,
  port: number,
  done: (reason: string | undefined) => void,
): void {
  if (port < 1 || port > 65_535) {
    done(`there is no port ${port}`);
    return;
  }
  let over = false;
  const end = (reason: string | undefined) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    connection.destroy();
    done(reason);
  };
  const timer = setTimeout(() => end(`no answer from port ${port}`), PROBE_TIMEOUT);
  const connection = transport.connect(
    { host, port },
    {
      open: () => end(undefined),
      data: () => {},
      drain: () => {},
      end: () => {},
      close: (error) => end(error?.message ?? `port ${port} does not accept`),
    },
  );
}
