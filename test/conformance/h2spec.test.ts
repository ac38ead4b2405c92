/** h2spec: all 146 cases against the proxy's own HTTP/2, on every kind of listener. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Proxies } from './support/proxies.ts';
import { tool } from './support/tools.ts';

const h2spec = tool('h2spec');

(h2spec ? describe : describe.skip)('h2spec', () => {
  const proxies = new Proxies();
  const server = http2.createServer();
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    // Once the request is whole: an early answer ends the stream, perhaps before h2spec has broken its rules.
    stream.resume().on('end', () => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200, 'content-type': 'text/plain' });
      stream.end('hello from behind the proxy\n');
    });
  });
  let upstream = '';

  beforeAll(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    upstream = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(async () => {
    await proxies.stop();
    server.close();
  });

  const listeners: [string, () => Promise<number>][] = [
    ['outbound, protocol detected', () => proxies.outbound(upstream, 'detect')],
    ['outbound, HTTP/2 known', () => proxies.outbound(upstream, 'http2')],
    ['inbound', () => proxies.inbound(upstream, 'off')],
    ['two hops with mutual TLS', () => proxies.twoHops(upstream, 'http2')],
  ];
  test.each(listeners)('%s', async (_, start) => {
    const port = await start();
    const { code, out } = await new Promise<{ code: number; out: string }>((resolve) => {
      execFile(h2spec!, ['-h', '127.0.0.1', '-p', String(port), '-o', '10', '--strict'], (error, out) =>
        resolve({ code: error ? Number(error.code) : 0, out }),
      );
    });
    const result = /\d+ tests, .*/.exec(out)?.[0];
    if (code !== 0) process.stderr.write(out.slice(out.indexOf('Failures:')));
    expect(result).toBe('146 tests, 146 passed, 0 skipped, 0 failed');
  });
});
