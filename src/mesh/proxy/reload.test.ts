import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from '@jest/globals';
import { silentLogger } from '../../lib/log.ts';
import type { Destination } from '../discovery/model.ts';
import {
  answer,
  Client,
  cleanUp,
  cleanups,
  count,
  destination,
  GET,
  outbound,
  transport,
  upstream,
} from './fixtures.ts';
import { ask, connect, server } from './http2-fixtures.ts';
import { DataPlane } from './proxy.ts';

afterEach(cleanUp);

/** As many servers as letters, each of which answers with its own. */
const servers = (letters: string) =>
  Promise.all([...letters].map((letter) => upstream((socket) => socket.write(answer(letter)))));

function split(weights: Record<string, [weight: number, addresses: string[]]>): Destination {
  return {
    ...destination([]),
    backends: Object.entries(weights).map(([name, [weight, addresses]]) => ({
      name,
      weight,
      endpoints: addresses.map((address) => ({ address })),
    })),
  };
}

async function answers(plane: DataPlane, times: number): Promise<string> {
  const client = new Client(plane);
  for (let n = 1; n <= times; n += 1) {
    client.socket.write(GET);
    await client.until((text) => count(text, '200 OK') === n && /\r\n\r\n\w$/.test(text));
  }
  client.socket.destroy();
  return [...client.text.matchAll(/\r\n\r\n(\w)/g)].map(([, letter]) => letter).join('');
}

describe('backends without endpoints', () => {
  test('give their share to those that have some and a weight; a weight of 0 is none, whatever happens', async () => {
    const [a, b, c] = await servers('abc');
    const plane = await outbound(split({ a: [50, [a!]], b: [50, [b!]], c: [0, [c!]] }));
    const mixed = await answers(plane, 60);
    expect(new Set(mixed)).toEqual(new Set(['a', 'b']));
    plane.route('web.shop:80', split({ a: [50, []], b: [50, [b!]], c: [0, [c!]] }));
    expect(await answers(plane, 40)).toBe('b'.repeat(40));
    plane.route('web.shop:80', split({ a: [50, []], b: [50, []], c: [0, [c!]] }));
    const client = new Client(plane);
    client.socket.write(GET);
    expect(await client.until((text) => text.includes('\r\n\r\n'))).toMatch(/503.*no-endpoint/s);
  });
});

test('requests stay in the own zone while somebody accepts there, and go elsewhere when not, or when zones shall not count', async () => {
  const [a, b] = (await servers('ab')) as [string, string];
  const zoned = (here: string): Destination => ({
    ...destination([]),
    backends: [
      {
        name: 'web',
        weight: 1,
        endpoints: [
          { address: here, zone: 'here' },
          { address: b, zone: 'there' },
        ],
      },
    ],
  });
  const near = zoned(a);
  const plane = new DataPlane({
    transport: transport(),
    log: silentLogger,
    config: {
      zone: 'here',
      inbound: [],
      outbound: [{ listen: '127.0.0.1:0', destination: near.key }],
      destinations: { [near.key]: near },
      limits: {},
    },
  });
  await plane.start();
  cleanups.push(() => plane.destroy());
  expect(await answers(plane, 40)).toBe('a'.repeat(40));
  plane.route(near.key, { ...near, policy: { balancer: { zones: 'ignore' } } });
  while (!(await answers(plane, 10)).includes('b'));
  plane.route(near.key, near);
  expect(await answers(plane, 40)).toBe('a'.repeat(40));
  plane.route(near.key, zoned('127.0.0.1:1'));
  expect(await answers(plane, 20)).toBe('b'.repeat(20));
});

describe('changes under load', () => {
  /** Changes until the load is over: weights, endpoints, policies, tracing and the access log, all at once. */
  function changing(plane: DataPlane, [a, b]: [string, string], folder: string): { stop(): number } {
    let rounds = 0;
    const timer = setInterval(() => {
      rounds += 1;
      const odd = rounds % 2 === 1;
      const to = split({ a: [odd ? 100 : 10, [a]], b: [odd ? 0 : 90, odd ? [b] : [a, b]] });
      plane.reload({
        inbound: [],
        outbound: [],
        limits: {},
        destinations: {
          [to.key]: {
            ...to,
            policy: odd ? { timeout: 30_000, retries: { max: 1, on: ['connect'] } } : { maxInFlight: 500 },
          },
        },
        ...(odd ? { accessLog: { file: join(folder, 'log') } } : {}),
        // Nobody is there: spans are lost, requests are not.
        ...(rounds % 3 === 0 ? { tracing: { otlp: 'http://127.0.0.1:1/v1/traces', sample: 0.5 } } : {}),
      });
    }, 5);
    return {
      stop: () => {
        clearInterval(timer);
        return rounds;
      },
    };
  }
  const folderOf = () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-reload-'));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    return folder;
  };

  test('lose no request of HTTP/1.1', async () => {
    const [a, b] = (await servers('ab')) as [string, string];
    const plane = await outbound(split({ a: [1, [a]], b: [1, [b]] }));
    const load = changing(plane, [a, b], folderOf());
    const all = await Promise.all(Array.from({ length: 8 }, () => answers(plane, 150)));
    expect(load.stop()).toBeGreaterThan(5);
    expect(all.map(({ length }) => length)).toEqual(Array(8).fill(150));
    await plane.observers.stop();
  });

  test('lose no request of HTTP/2', async () => {
    const both = await Promise.all(
      ['a', 'b'].map((letter) =>
        server((stream) => {
          stream.respond({ ':status': 200 });
          stream.end(letter);
        }),
      ),
    );
    const [a, b] = both.map(({ address }) => address) as [string, string];
    const plane = await outbound(split({ a: [1, [a]], b: [1, [b]] }));
    const load = changing(plane, [a, b], folderOf());
    const sessions = [connect(plane), connect(plane)];
    const statuses = new Set<number>();
    for (let round = 0; round < 60; round += 1) {
      const replies = await Promise.all(sessions.flatMap((session) => [1, 2, 3, 4].map(() => ask(session))));
      for (const { status } of replies) statuses.add(status);
    }
    expect(load.stop()).toBeGreaterThan(5);
    expect([...statuses]).toEqual([200]);
    await plane.observers.stop();
  });
});

test('SIGHUP takes over a good file, and leaves a bad one, without a lost request', async () => {
  const [a, b] = (await servers('ab')) as [string, string];
  const folder = mkdtempSync(join(tmpdir(), 'weir-sighup-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'proxy.yaml');
  const text = (address: string) => `
outbound: [{listen: "127.0.0.1:0", destination: web}]
destinations: {web: {backends: [{name: web, endpoints: [{address: "${address}"}]}]}}
accessLog: {file: access.json}
`;
  writeFileSync(file, text(a));
  const main = fileURLToPath(new URL('../../main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, 'proxy', '--config', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', WEIR_DRAIN_MINIMUM_MS: '0', WEIR_DRAIN_QUIET_MS: '0' },
  });
  cleanups.push(() => void child.kill('SIGKILL'));
  const said = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  const until = async (word: string): Promise<Record<string, never>> => {
    for (;;) {
      const { value, done } = await said.next();
      if (done) throw new Error(`the proxy ended before it said ${word}`);
      if (value.includes(word)) return JSON.parse(value);
    }
  };
  const { ports } = (await until('proxying')) as unknown as { ports: number[] };
  const client = new Client(ports[0]!);
  let asked = 0;
  let over = false;
  const load = (async () => {
    while (!over) {
      asked += 1;
      client.socket.write(GET);
      await client.until((each) => count(each, '200 OK') === asked && /\r\n\r\n\w$/.test(each));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  // The client wakes one waiter, which is the load.
  const answered = async (letter: string) => {
    while (!client.text.endsWith(letter)) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await answered('a');
  writeFileSync(file, 'outbound: [oops]');
  child.kill('SIGHUP');
  await until('not taken over');
  expect(client.text).not.toMatch(/\r\n\r\nb/);
  writeFileSync(file, text(b));
  child.kill('SIGHUP');
  await until('read again');
  await answered('b');
  over = true;
  await load;
  expect(count(client.text, 'HTTP/1.1 200 OK')).toBe(asked);
  client.socket.destroy();
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
}, 120_000);
