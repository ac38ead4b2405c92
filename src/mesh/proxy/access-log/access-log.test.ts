import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { answer, Client, cleanUp, count, destination, upstream } from '../fixtures.ts';
import { plane } from '../tracing/fixtures.ts';
import { LineWriter } from './writer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-access-'));
});
afterEach(async () => {
  await cleanUp();
  rmSync(folder, { recursive: true });
});
const lines = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

async function logged(addresses: (string | undefined)[]) {
  const file = join(folder, 'access.json');
  const to = destination(addresses.map((address) => address ?? '127.0.0.1:1'));
  const config = {
    outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
    destinations: { [to.key]: to },
    accessLog: { file },
  };
  const proxy = await plane(config);
  return { file, proxy, config: { inbound: [], limits: {}, ...config } };
}

describe('the access log', () => {
  test('has a line for each request, with what is asked for most and no secret', async () => {
    const address = await upstream((socket) => socket.write(answer('hello')));
    const { proxy, file } = await logged([address]);
    const client = new Client(proxy);
    client.socket.write(
      'POST /pay?card=4111 HTTP/1.1\r\nHost: web.shop\r\nAuthorization: Bearer key\r\nContent-Length: 3\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\nabc',
    );
    await client.until((text) => text.endsWith('hello'));
    await proxy.observers.stop();
    const [line, ...more] = lines(file);
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      direction: 'outbound',
      method: 'POST',
      authority: 'web.shop',
      path: '/pay',
      protocol: 'HTTP/1.1',
      status: 200,
      requestBytes: 3,
      responseBytes: 5,
      destination: 'web.shop:80',
      backend: 'web',
      upstream: address,
      revision: 'v1',
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      tls: false,
    });
    expect(line.durationMs).toBeGreaterThan(0);
    expect(line.headMs).toBeLessThanOrEqual(line.durationMs);
    expect(Date.now() - Date.parse(line.time)).toBeLessThan(60_000);
    expect(readFileSync(file, 'utf8')).not.toMatch(/4111|Bearer|key/);
  });

  test('counts long bodies whole, however they pass', async () => {
    const size = 3_000_000;
    const body = 'b'.repeat(size);
    let read = 0;
    const address = await upstream((socket, text) => {
      read += count(text, 'b');
      if (read >= size) socket.write(answer(body));
    });
    const { proxy, file } = await logged([address]);
    const client = new Client(proxy);
    client.socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
    client.socket.write(body);
    await client.until((text) => text.length > size && text.endsWith('b'));
    await client.until((text) => text.length - text.indexOf('\r\n\r\n') - 4 === size);
    await proxy.observers.stop();
    expect(lines(file)).toMatchObject([{ requestBytes: size, responseBytes: size }]);
  });

  test('says why the proxy answered itself, and that a client left', async () => {
    const { proxy, file } = await logged([undefined]);
    const client = new Client(proxy);
    client.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until((text) => text.includes('502'));
    const silent = await upstream(() => {});
    const other = await logged([silent]);
    const gone = new Client(other.proxy);
    gone.socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    while (other.proxy.runtime.inFlight === 0) await new Promise((resolve) => setImmediate(resolve));
    // A FIN alone may be a client that still reads.
    gone.socket.resetAndDestroy();
    while (other.proxy.runtime.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([proxy.observers.stop(), other.proxy.observers.stop()]);
    expect(lines(file).map(({ status, cause, path }) => [status, cause, path])).toEqual([
      [502, 'connect', '/'],
      [0, 'client-gone', '/slow'],
    ]);
  });

  test('goes on in a new file after the old one was moved away', async () => {
    const address = await upstream((socket) => socket.write(answer('x')));
    const { proxy, file, config } = await logged([address]);
    const client = new Client(proxy);
    const get = async (path: string, times: number) => {
      client.socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await client.until((text) => count(text, '200 OK') === times && text.endsWith('x'));
    };
    await get('/one', 1);
    while (lines(file).length < 1) await new Promise((resolve) => setImmediate(resolve));
    renameSync(file, `${file}.1`);
    proxy.reload(config);
    await get('/two', 2);
    await proxy.observers.stop();
    expect(lines(`${file}.1`).map(({ path }) => path)).toEqual(['/one']);
    expect(lines(file).map(({ path }) => path)).toEqual(['/two']);
  });
});

test('what does not fit is dropped and counted; the rest is whole', async () => {
  const file = join(folder, 'lines');
  const writer = new LineWriter(file, { limit: 1_000 });
  const line = `${'x'.repeat(99)}\n`;
  for (let n = 0; n < 25; n += 1) writer.add(line);
  expect(writer.dropped).toBe(15);
  await writer.stop();
  expect(readFileSync(file, 'utf8')).toBe(line.repeat(10));
  writer.add(line);
  expect(writer.dropped).toBe(16);
});

test('a file that cannot be written is a logged problem, not an end', () => {
  const problems: string[] = [];
  const writer = new LineWriter(join(folder, 'no', 'such'), { problem: (message) => problems.push(message) });
  writer.add('line\n');
  expect([writer.dropped, problems.length]).toEqual([1, 1]);
  expect(problems[0]).toContain('ENOENT');
});
