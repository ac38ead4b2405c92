import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import type { RolloutStatus } from '../api/rollout.ts';
import { plainKubeconfig } from '../kube/fixtures.ts';
import { connect } from '../kube/index.ts';
import type { CachedRollout } from './cached.ts';
import { initialState, type State } from './machine.ts';
import { RolloutRecord } from './record.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

const MINUTES = 120_000;
const state = (at: number): State => ({
  ...initialState(),
  analysis: { id: 'a', at, decision: 'pass', reason: '', message: '', metrics: [], memory: {} },
});
const status = (at: number, message = ''): RolloutStatus => ({
  observedGeneration: 1,
  phase: 'Progressing',
  message,
  conditions: [],
  history: [],
  machine: state(at),
});

/** An API server that answers writes when it is told to, and what is written to it. */
async function slow() {
  const waiting: (() => void)[] = [];
  const written: string[] = [];
  let heard = () => {};
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    written.push(request.url!.split('/').at(-2)!);
    waiting.push(() => response.setHeader('content-type', 'application/json').end(body));
    heard();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = await connect({ kubeconfig: plainKubeconfig((server.address() as AddressInfo).port) });
  ends.push(() => {
    client.close();
    server.close();
    server.closeAllConnections();
  });
  const asked = async (count: number) => {
    while (written.length < count)
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
  };
  return { client, waiting, written, asked };
}

test('of looks that found the same again four are written at a time, and the next waits without holding anybody', async () => {
  const { client, waiting, written, asked } = await slow();
  const record = new RolloutRecord(client, () => {});
  const { signal } = new AbortController();
  const keep = (name: string, at: number, message?: string) => {
    const metadata = { name, namespace: 'shop', uid: name, resourceVersion: '1' };
    const rollout = { metadata, spec: {}, status: status(0) } as unknown as CachedRollout;
    const decided = { status: status(at, message), state: state(at) };
    return record.keep(`shop/${name}`, rollout, decided, { at, must: false }, signal);
  };
  const names = ['a', 'b', 'c', 'd'];
  for (const name of [...names, 'e', 'f']) expect(await keep(name, 1)).toBeGreaterThan(0);
  const four = names.map((name) => keep(name, MINUTES));
  await asked(4);
  expect(await keep('e', MINUTES)).toBe(1000);
  // What tells something has turns of its own.
  const told = keep('f', MINUTES, 'another');
  await asked(5);
  for (const answer of waiting) answer();
  expect(await Promise.all([...four, told])).toEqual(new Array(5).fill(undefined));
  const fifth = keep('e', MINUTES);
  await asked(6);
  waiting.at(-1)!();
  expect(await fifth).toBeUndefined();
  expect(written.toSorted()).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
});
