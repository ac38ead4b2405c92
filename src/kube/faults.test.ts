import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { silentLogger } from '../lib/log.ts';
import { type Client, connect } from './client.ts';
import { plainKubeconfig } from './fixtures.ts';
import { Informer } from './informer.ts';
import { LeaderElection } from './leader.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

async function serve(handler: Handler): Promise<Client> {
  const server: Server = createServer((request, response) => void handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = await connect({
    kubeconfig: plainKubeconfig(port, 'secret'),
    callTimeoutMs: 200,
    watchIdleMs: 200,
  });
  ends.push(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return client;
}

function json(
  response: ServerResponse,
  code: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

describe('client against a failing server', () => {
  test.each([
    [404, 'NotFound', 'NotFound'],
    [409, 'AlreadyExists', 'AlreadyExists'],
    [409, 'Conflict', 'Conflict'],
    [410, 'Expired', 'Gone'],
    [422, 'Invalid', 'Invalid'],
    [403, 'Forbidden', 'Forbidden'],
    [500, 'InternalError', 'Unavailable'],
  ])('%d %s is %s, with the Status in its details', async (code, reason, expected) => {
    const client = await serve((_request, response) =>
      json(response, code, {
        kind: 'Status',
        message: 'the words',
        reason,
        code,
        details: { causes: [{ field: 'a' }] },
      }),
    );
    await expect(
      client.create(kinds.ConfigMap, { metadata: { name: 'a', namespace: 'b' } }),
    ).rejects.toMatchObject({
      code: expected,
      message: 'the words',
      details: { status: code, reason, causes: [{ field: 'a' }] },
    });
  });

  test('a write that was throttled is sent again, after the time the server asked for', async () => {
    const at: number[] = [];
    const client = await serve((_request, response) => {
      at.push(performance.now());
      if (at.length === 1) json(response, 429, { reason: 'TooManyRequests' }, { 'retry-after': '1' });
      else json(response, 201, { metadata: { name: 'a' } });
    });
    await client.create(kinds.ConfigMap, { metadata: { name: 'a', namespace: 'b' } });
    expect(at[1]! - at[0]!).toBeGreaterThan(700);
  });

  test('a Retry-After that is longer than a call may last is handed to the caller', async () => {
    const client = await serve((_request, response) => json(response, 429, {}, { 'retry-after': '3600' }));
    await expect(client.get(kinds.Pod, 'a', 'b')).rejects.toMatchObject({
      code: 'TooManyRequests',
      retryAfterSeconds: 3600,
    });
  });

  test('a write whose answer was lost is not sent twice', async () => {
    let calls = 0;
    const client = await serve((request) => {
      calls += 1;
      request.socket.destroy();
    });
    await expect(
      client.create(kinds.ConfigMap, { metadata: { name: 'a', namespace: 'b' } }),
    ).rejects.toMatchObject({ code: 'Unavailable', retryable: true });
    expect(calls).toBe(1);
  });

  test('half an answer is asked for again when reading', async () => {
    let calls = 0;
    const client = await serve((request, response) => {
      calls += 1;
      if (calls > 1) return json(response, 200, { metadata: { name: 'b' } });
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"metadata"', () => request.socket.destroy());
    });
    expect((await client.get(kinds.Pod, 'a', 'b')).metadata.name).toBe('b');
    expect(calls).toBe(2);
  });

  test('a server that accepts and never answers is a timeout', async () => {
    const client = await serve(() => {});
    await expect(client.get(kinds.Pod, 'a', 'b')).rejects.toMatchObject({ code: 'Timeout' });
  });

  test('server-side apply says so, and carries the token', async () => {
    let seen: unknown;
    const client = await serve(async (request, response) => {
      const body = JSON.parse(await text(request));
      seen = [
        request.method,
        request.url,
        request.headers['content-type'],
        request.headers.authorization,
        body.kind,
      ];
      json(response, 200, body);
    });
    await client.apply(
      kinds.ConfigMap,
      { metadata: { name: 'a', namespace: 'b' } },
      { fieldManager: 'weir', force: true },
    );
    expect(seen).toEqual([
      'PATCH',
      '/api/v1/namespaces/b/configmaps/a?fieldManager=weir&force=true',
      'application/apply-patch+yaml',
      'Bearer secret',
      'ConfigMap',
    ]);
  });
});

test('a server that answers every watch with 410 is not listed in a tight loop', async () => {
  let lists = 0;
  const client = await serve((request, response) => {
    if (request.url!.includes('watch=true')) return json(response, 410, { code: 410, reason: 'Expired' });
    lists += 1;
    json(response, 200, { metadata: { resourceVersion: '1' }, items: [] });
  });
  const stop = new AbortController();
  ends.push(() => stop.abort());
  const waits: number[] = [];
  const clock = {
    now: () => 0,
    sleep: async (milliseconds: number) => {
      waits.push(milliseconds);
      if (waits.length === 6) stop.abort();
    },
  };
  const informer = new Informer({ client, kind: kinds.Pod, log: silentLogger, clock });
  informer.start(stop.signal);
  await new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }));
  expect(waits[0]).toBe(0);
  expect(Math.min(...waits.slice(1))).toBeGreaterThanOrEqual(50);
  expect(waits[5]!).toBeGreaterThan(waits[1]!);
  expect(lists).toBeLessThanOrEqual(6);
});

describe('leader election', () => {
  /** One Lease with optimistic locking, as the API server keeps it; `deaf` leaves calls unanswered. */
  async function lease() {
    const state: { object?: KubeObject; version: number; deaf: boolean; calls: string[] } = {
      ...{ version: 0, deaf: false, calls: [] },
    };
    const client = await serve(async (request, response) => {
      if (state.deaf) return;
      state.calls.push(request.method!);
      if (request.method === 'GET')
        return state.object ? json(response, 200, state.object) : json(response, 404, { reason: 'NotFound' });
      const body = JSON.parse(await text(request)) as KubeObject;
      const stale = state.object?.metadata.resourceVersion !== body.metadata.resourceVersion;
      if (stale) return json(response, 409, { reason: 'Conflict' });
      state.version += 1;
      state.object = { ...body, metadata: { ...body.metadata, resourceVersion: String(state.version) } };
      json(response, 200, state.object);
    });
    const contend = (identity: string, onLate: (late: boolean) => void = () => {}) =>
      new LeaderElection({
        ...{ client, namespace: 'weir', name: 'weir', identity, log: silentLogger },
        ...{ leaseDuration: 1000, renewDeadline: 500, retryPeriod: 40, onLate },
      });
    return { state, contend };
  }
  const aborted = (signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });

  test('one leads at a time; the next takes over at once when the first stops', async () => {
    const { contend } = await lease();
    const [first, second] = [new AbortController(), new AbortController()];
    let leading = 0;
    let most = 0;
    const order: string[] = [];
    const run = (name: string, stop: AbortController, onLead: () => void) =>
      contend(name).run(stop.signal, async (signal) => {
        order.push(name);
        leading += 1;
        most = Math.max(most, leading);
        onLead();
        await aborted(signal);
        leading -= 1;
      });
    const running: Promise<void>[] = [];
    await new Promise<void>((led) => running.push(run('a', first, led)));
    const secondLeads = new Promise<void>((led) => running.push(run('b', second, led)));
    first.abort();
    await secondLeads;
    second.abort();
    await Promise.all(running);
    expect(order).toEqual(['a', 'b']);
    expect(most).toBe(1);
  });

  test('a leader that cannot renew stops before its lease can be taken', async () => {
    const { state, contend } = await lease();
    const stop = new AbortController();
    ends.push(() => stop.abort());
    let deafSince = 0;
    await contend('a').run(stop.signal, async (signal) => {
      state.deaf = true;
      deafSince = performance.now();
      await aborted(signal);
    });
    expect(performance.now() - deafSince).toBeLessThan(1000);
    expect(stop.signal.aborted).toBe(false);
  });

  test('tells that a renewal is late before it is lost, and when nothing is late any more', async () => {
    const { state, contend } = await lease();
    const told: { late: boolean; leading: boolean }[] = [];
    let leading: AbortSignal | undefined;
    const onLate = (late: boolean) => told.push({ late, leading: leading?.aborted === false });
    await contend('a', onLate).run(new AbortController().signal, async (signal) => {
      leading = signal;
      state.deaf = true;
      await aborted(signal);
    });
    expect(told[0]).toEqual({ late: true, leading: true });
    expect(told.at(-1)?.late).toBe(false);
  });

  test('renewing takes one write; a lease that was deleted is made again, one that was taken is lost', async () => {
    const { state, contend } = await lease();
    const stop = new AbortController();
    ends.push(() => stop.abort());
    const writes = async (count: number) => {
      const from = state.calls.length;
      while (state.calls.length < from + count) await new Promise((resolve) => setTimeout(resolve, 5));
      return state.calls.slice(from, from + count);
    };
    await contend('a').run(stop.signal, async (signal) => {
      await writes(1);
      expect(await writes(3)).toEqual(['PUT', 'PUT', 'PUT']);
      state.object = undefined;
      expect((await writes(4)).join(' ')).toContain('GET POST');
      const { metadata, spec } = state.object as unknown as KubeObject;
      const version = String(++state.version);
      // Held for longer than this process may stand still on a busy machine.
      const held = { holderIdentity: 'b', renewTime: 'now', leaseDurationSeconds: 120 };
      const other = { ...(spec as object), ...held };
      state.object = { metadata: { ...metadata, resourceVersion: version }, spec: other };
      await aborted(signal);
    });
    expect(stop.signal.aborted).toBe(false);
    expect((state.object!.spec as { holderIdentity: string }).holderIdentity).toBe('b');
  });

  test('a failure of the work is the error of the run', async () => {
    const { contend } = await lease();
    const stop = new AbortController();
    ends.push(() => stop.abort());
    await expect(
      contend('a').run(stop.signal, async () => {
        throw new Error('the work failed');
      }),
    ).rejects.toThrow('the work failed');
  });
});
