/** Collectors and readers of the log that take nothing hold up nothing, the end of the process least of all. */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { answer, Client, cleanUp, cleanups, destination, GET, outbound, upstream } from './fixtures.ts';
import { post } from './tracing/post.ts';

afterEach(cleanUp);

async function used(settings: object) {
  const app = await upstream((socket) => void socket.write(answer('ok')));
  const plane = await outbound(destination([app]));
  plane.observers.configure(settings as Parameters<typeof plane.observers.configure>[0]);
  const client = new Client(plane);
  client.socket.write(GET);
  await client.until((text) => text.endsWith('ok'));
  return plane;
}

/** Milliseconds until everything was sent and written, or given up. */
async function stopped(plane: Awaited<ReturnType<typeof used>>): Promise<number> {
  const began = performance.now();
  await plane.observers.stop(300);
  return performance.now() - began;
}

test('a collector that never answers', async () => {
  const collector = await upstream(() => {});
  const plane = await used({ tracing: { otlp: `http://${collector}/v1/traces`, sample: 1 } });
  expect(await stopped(plane)).toBeLessThan(8_000);
});

test('a collector that answers a byte at a time, without an end', async () => {
  const collector = await upstream((socket) => {
    const timer = setInterval(() => socket.write('H'), 20);
    cleanups.push(() => clearInterval(timer));
  });
  await expect(post(`http://${collector}/`, '{}', 300)).rejects.toThrow('no answer within 0.3 s');
});

/** A log that is full: a pipe with a reader that does not read. */
async function full() {
  const folder = mkdtempSync(join(tmpdir(), 'weir-log-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'pipe');
  expect(spawnSync('sh', ['-c', 'mkfifo "$0"', file]).status).toBe(0);
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  cleanups.push(() => closeSync(reader));
  const plane = await used({ accessLog: { file } });
  const client = new Client(plane);
  // More lines than a pipe holds.
  for (let n = 0; n < 400; n += 1) {
    client.text = '';
    client.socket.write(GET.replace('/', `/${'x'.repeat(500)}`));
    await client.until((text) => text.endsWith('ok'));
  }
  return plane;
}

test('a pipe for the access log that nobody reads', async () => {
  expect(await stopped(await full())).toBeLessThan(8_000);
});

test('one that is replaced by another log is given up after a while, and what it did not take is counted', async () => {
  const plane = await full();
  plane.observers.configure({});
  const dropped = () =>
    plane.observers.counts().find(([name]) => name === 'weir_access_log_dropped_total')?.[2];
  const deadline = Date.now() + 10_000;
  while (dropped() === 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(dropped()).toBeGreaterThan(0);
});
