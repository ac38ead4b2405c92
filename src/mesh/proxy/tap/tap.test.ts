import { afterEach, describe, expect, test } from '@jest/globals';
import type { AccessRecord } from '../access-log/line.ts';
import { startAdmin } from '../admin.ts';
import { answer, Client, cleanUp, cleanups, count, destination, upstream } from '../fixtures.ts';
import { plane } from '../tracing/fixtures.ts';
import { matches, parseFilter } from './filter.ts';
import { Tap } from './tap.ts';

afterEach(cleanUp);

const record = (more: Partial<AccessRecord> = {}): AccessRecord => ({
  time: '2026-01-01T00:00:00.000Z',
  direction: 'outbound',
  method: 'GET',
  authority: 'web.shop',
  path: '/cart/1',
  protocol: 'HTTP/1.1',
  status: 503,
  requestBytes: 0,
  responseBytes: 0,
  durationMs: 1,
  destination: 'web.shop:80',
  revision: 'v2',
  tls: true,
  ...more,
});
const filter = (query: string) => parseFilter(new URLSearchParams(query));

describe('filters', () => {
  test.each([
    ['', true],
    ['method=get', true],
    ['method=POST', false],
    ['path=/cart', true],
    ['path=/pay', false],
    ['status=5xx', true],
    ['status=503', true],
    ['status=4xx', false],
    ['authority=web.shop&direction=outbound&revision=v2', true],
    ['direction=inbound', false],
    ['revision=v1', false],
    ['to=web.shop', true],
    ['to=web', true],
    ['to=we', false],
    ['to=web.shop:81', false],
  ])('%s', (query, expected) => {
    expect(matches(filter(query), record())).toBe(expected);
  });

  test.each([
    ['colour=red', 'colour: unknown'],
    ['status=600', 'status: write'],
    ['direction=up', 'direction: write'],
    ['maxRps=0', 'maxRps: more than 0'],
    ['maxRps=x', 'maxRps: more than 0'],
  ])('%s is refused, by name', (query, message) => {
    expect(() => filter(query)).toThrow(message);
  });
});

test('no more than so many a second, and none for a watcher that does not read; what is left out is counted', () => {
  let now = 0;
  const shown: { skipped?: number }[] = [];
  let room = true;
  const tap = new Tap(
    { maxRps: 2 },
    (line) => {
      shown.push(JSON.parse(line));
      return room;
    },
    () => now,
  );
  for (let n = 0; n < 10; n += 1) tap.offer(record());
  expect(shown).toHaveLength(2);
  now = 1_000;
  room = false;
  for (let n = 0; n < 5; n += 1) tap.offer(record());
  expect(shown.map(({ skipped }) => skipped)).toEqual([undefined, undefined, 8]);
  now = 9_000;
  tap.drained();
  tap.offer(record());
  expect(shown.at(-1)!.skipped).toBe(4);
});

async function tapped(host = '127.0.0.1') {
  const address = await upstream((socket, text) =>
    socket.write(text.includes('/bad') ? 'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n' : answer('x')),
  );
  const to = destination([address]);
  const proxy = await plane({
    outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
    destinations: { [to.key]: to },
  });
  const admin = await startAdmin({
    listen: ':0',
    host,
    proxy,
    ready: () => true,
    started: () => true,
    shutdown: () => {},
  });
  cleanups.push(() => admin.close());
  return { proxy, admin };
}

describe('the endpoint', () => {
  test('streams what matches while it is open, and nothing is left of it then', async () => {
    const { proxy, admin } = await tapped();
    const stop = new AbortController();
    const response = await fetch(`http://127.0.0.1:${admin.port}/tap?status=5xx`, { signal: stop.signal });
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    const client = new Client(proxy);
    for (const [index, path] of ['/good', '/bad?key=secret', '/good'].entries()) {
      client.socket.write(`GET ${path} HTTP/1.1\r\nHost: web\r\nCookie: secret\r\n\r\n`);
      await client.until((text) => count(text, 'HTTP/1.1 ') === index + 1);
    }
    const reader = response.body!.getReader();
    const { value } = await reader.read();
    const text = Buffer.from(value!).toString();
    expect(text.endsWith('}\n')).toBe(true);
    expect(JSON.parse(text)).toMatchObject({ path: '/bad', status: 500, revision: 'v1', authority: 'web' });
    expect(text).not.toContain('secret');
    stop.abort();
    while (proxy.runtime.observers !== undefined) await new Promise((resolve) => setImmediate(resolve));
  });

  test('refuses filters that mean nothing, and more taps than are good', async () => {
    const { admin } = await tapped();
    const ask = (query: string) => fetch(`http://127.0.0.1:${admin.port}/tap${query}`);
    const wrong = await ask('?stats=5xx');
    expect([wrong.status, await wrong.text()]).toEqual([400, expect.stringContaining('stats: unknown')]);
    const open = await Promise.all(Array.from({ length: 16 }, () => ask('')));
    expect(open.every(({ status }) => status === 200)).toBe(true);
    expect((await ask('')).status).toBe(429);
    await Promise.all(open.map(({ body }) => body!.cancel()));
  });

  test('is for the pod alone', async () => {
    const { admin } = await tapped('0.0.0.0');
    // A connection between two loopback addresses comes from elsewhere, as far as the proxy can tell.
    const { status } = await from('127.0.0.7', admin.port);
    expect(status).toBe(403);
    expect((await from('127.0.0.1', admin.port)).status).toBe(200);
  });
});

async function from(localAddress: string, port: number): Promise<{ status: number }> {
  const { request } = await import('node:http');
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: '/tap', localAddress }, (response) => {
      resolve({ status: response.statusCode! });
      asked.destroy();
    });
    asked.on('error', reject);
    asked.end();
  });
}
