import { mkdirSync } from 'node:fs';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { servingCertificate } from '../../../src/local/apiserver/certificates.ts';

/** What goes wrong between the API server and who asks it. Shares are of all requests, 0 to 1. */
export interface Faults {
  /** Milliseconds that every request waits, between the two. */
  latencyMs: [number, number];
  /** Answered 500, 503 or 429 (with Retry-After) without reaching the server. */
  refused: number;
  /** Cut off without reaching the server. */
  cut: number;
  /** Carried out by the server, but the answer is lost on the way: the nastiest. */
  lost: number;
  /** Watches end after this long, in milliseconds, without a word. */
  watchMs?: number;
}

export const NO_FAULTS: Faults = { latencyMs: [0, 0], refused: 0, cut: 0, lost: 0 };

export interface ApiProxy {
  server: string;
  ca: string;
  faults: Faults;
  /** What was done to requests so far. */
  counts: Record<'passed' | 'refused' | 'cut' | 'lost' | 'watchesEnded', number>;
  stop(): Promise<void>;
}

/** mulberry32: small, seeded, good enough to pick faults. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A TLS proxy in front of the API server, with a certificate of its own, that delays, refuses and loses as told. */
export async function startApiProxy(options: {
  upstream: string;
  upstreamCa: string;
  host: string;
  dir: string;
  seed: number;
}): Promise<ApiProxy> {
  const { upstream, upstreamCa, host, dir, seed } = options;
  const random = seeded(seed);
  const folder = join(dir, 'api-proxy');
  mkdirSync(folder, { recursive: true });
  const { ca, cert, key } = await servingCertificate(folder, [host]);
  const target = new URL(upstream);
  const agent = new Agent({ keepAlive: true, ca: upstreamCa });
  const proxy: Omit<ApiProxy, 'server' | 'stop'> = {
    ca,
    faults: NO_FAULTS,
    counts: { passed: 0, refused: 0, cut: 0, lost: 0, watchesEnded: 0 },
  };
  const server = createServer({ cert, key }, (incoming, outgoing) => {
    const { latencyMs, refused, cut, lost } = proxy.faults;
    const [low, high] = latencyMs;
    const chance = random();
    const watching = /[?&]watch=(true|1)\b/.test(incoming.url ?? '');
    const cutOff = () => outgoing.socket?.destroy();
    const forward = (loseIt: boolean) => {
      const up = httpsRequest(
        {
          host: target.hostname,
          port: target.port,
          method: incoming.method,
          path: incoming.url,
          headers: { ...incoming.headers, host: target.host },
          agent,
        },
        (response) => {
          if (loseIt) {
            // Read to the end: the server has done all of it.
            response.resume().once('end', cutOff);
            return;
          }
          outgoing.writeHead(response.statusCode ?? 502, response.headers);
          outgoing.flushHeaders();
          response.pipe(outgoing);
          response.on('error', cutOff);
          if (!watching) return;
          const since = Date.now();
          const timer = setInterval(() => {
            // Also those that were opened before somebody asked for it.
            if (Date.now() - since < (proxy.faults.watchMs ?? Number.POSITIVE_INFINITY)) return;
            proxy.counts.watchesEnded += 1;
            cutOff();
          }, 200);
          outgoing.once('close', () => clearInterval(timer));
        },
      );
      up.on('error', cutOff);
      outgoing.once('close', () => up.destroy());
      incoming.pipe(up);
    };
    const act = () => {
      if (outgoing.destroyed) return;
      if (chance < refused) {
        proxy.counts.refused += 1;
        const code = [500, 503, 429][Math.floor(random() * 3)]!;
        const reason = { 500: 'InternalError', 503: 'ServiceUnavailable', 429: 'TooManyRequests' }[code];
        incoming.resume();
        outgoing
          .writeHead(code, {
            'content-type': 'application/json',
            ...(code === 429 ? { 'retry-after': '1' } : {}),
          })
          .end(
            JSON.stringify({
              apiVersion: 'v1',
              kind: 'Status',
              status: 'Failure',
              code,
              reason,
              message: 'injected',
            }),
          );
      } else if (chance < refused + cut) {
        proxy.counts.cut += 1;
        cutOff();
      } else if (chance < refused + cut + lost && !watching) {
        proxy.counts.lost += 1;
        forward(true);
      } else {
        proxy.counts.passed += 1;
        forward(false);
      }
    };
    const wait = low + random() * (high - low);
    if (wait > 0) setTimeout(act, wait);
    else act();
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(proxy, {
    server: `https://${host}:${port}`,
    stop: () =>
      new Promise<void>((resolve) => {
        agent.destroy();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}
