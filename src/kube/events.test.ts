import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FakeClock } from '../lib/clock.ts';
import { type Client, connect } from './client.ts';
import { EventRecorder } from './events.ts';
import { plainKubeconfig } from './fixtures.ts';

let server: Server;
let client: Client;
let refuse = false;
let silent = false;
const requests: { method: string; path: string; body: Record<string, unknown> }[] = [];

beforeEach(async () => {
  requests.length = 0;
  refuse = false;
  silent = false;
  server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    requests.push({ method: request.method!, path: request.url!, body: JSON.parse(text) });
    if (silent) return;
    response.writeHead(refuse ? 403 : 200, { 'content-type': 'application/json' });
    response.end(refuse ? '{"kind":"Status","code":403,"message":"no"}' : text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const file = plainKubeconfig((server.address() as AddressInfo).port);
  client = await connect({ kubeconfig: file });
});
afterEach(() => {
  client.close();
  server.closeAllConnections();
  server.close();
});

const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', namespace: 'shop', uid: 'u1' } };

describe('event recorder', () => {
  test('writes an Event, and the same one again only raises its count', async () => {
    const events = new EventRecorder({ client, component: 'test', clock: new FakeClock() });
    events.event(object, 'Warning', 'Failed', 'it failed');
    events.event(object, 'Warning', 'Failed', 'it failed');
    events.event(object, 'Normal', 'Other', 'something else');
    await events.drained();
    expect(requests.map(({ method }) => method)).toEqual(['POST', 'PATCH', 'POST']);
    expect(requests[0]!.path).toBe('/api/v1/namespaces/shop/events');
    expect(requests[0]!.body).toMatchObject({
      type: 'Warning',
      reason: 'Failed',
      message: 'it failed',
      count: 1,
      involvedObject: { kind: 'Pod', name: 'a', uid: 'u1' },
      source: { component: 'test' },
    });
    expect(requests[1]!.body).toMatchObject({ count: 2 });
  });

  test('what is normal waits for more, in order; a warning does not', async () => {
    const clock = new FakeClock();
    const events = new EventRecorder({ client, component: 'test', clock });
    const other = { ...object, metadata: { ...object.metadata, name: 'b', uid: 'u2' } };
    events.event(other, 'Normal', 'First', 'nothing');
    await clock.advance(1000);
    events.event(object, 'Normal', 'Prepared', 'one');
    events.event(other, 'Normal', 'Second', 'two');
    await clock.advance(999);
    expect(requests).toEqual([]);
    await clock.advance(1);
    while (requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    events.event(other, 'Normal', 'Third', 'three');
    events.event(object, 'Normal', 'Stepped', 'two');
    events.event(object, 'Warning', 'Failed', 'three');
    events.event(object, 'Normal', 'Ended', 'four');
    events.event(object, 'Normal', 'Long', 'x'.repeat(1020));
    await events.drained();
    expect(requests.map(({ body }) => [body.reason, String(body.message).slice(0, 16)])).toEqual([
      ['Second', 'nothing; two'],
      ['Stepped', 'one; two'],
      ['Third', 'three'],
      ['Failed', 'three'],
      ['Ended', 'four'],
      ['Long', 'x'.repeat(16)],
    ]);
    events.event(object, 'Normal', 'Prepared', 'again');
    await events.drained();
    expect(requests.at(-1)!.body).toMatchObject({ reason: 'Prepared', message: 'again', count: 1 });
  });

  test('one object cannot flood the server; others are not held up, and time gives room again', async () => {
    const clock = new FakeClock();
    const events = new EventRecorder({ client, component: 'test', clock });
    for (let index = 0; index < 100; index += 1) events.event(object, 'Warning', 'Busy', `message ${index}`);
    events.event({ ...object, metadata: { ...object.metadata, uid: 'u2' } }, 'Normal', 'Quiet', 'one');
    await events.drained();
    expect(requests.length).toBe(26);
    await clock.advance(60_000);
    events.event(object, 'Warning', 'Busy', 'later');
    await events.drained();
    expect(requests.length).toBe(27);
  });

  test('behind a server that does not answer it gives up after the limit, and is of use again', async () => {
    const clock = new FakeClock();
    const events = new EventRecorder({ client, component: 'test', clock });
    silent = true;
    for (let index = 0; index < 20; index += 1) events.event(object, 'Normal', 'Busy', `message ${index}`);
    let given = false;
    const waiting = events.drained(2000).then(() => {
      given = true;
    });
    await clock.advance(1999);
    expect(given).toBe(false);
    await clock.advance(1);
    await waiting;
    expect(requests.length).toBeLessThan(2);
    silent = false;
    events.event(object, 'Normal', 'Other', 'heard');
    await events.drained(2000);
    expect(requests.at(-1)?.body).toMatchObject({ message: 'heard' });
  });

  test('a refusal is no error of the caller', async () => {
    refuse = true;
    const events = new EventRecorder({ client, component: 'test' });
    events.event(object, 'Normal', 'A', 'a');
    await expect(events.drained()).resolves.toBeUndefined();
    refuse = false;
    events.event(object, 'Normal', 'B', 'b');
    await events.drained();
    expect(requests.at(-1)!.body).toMatchObject({ reason: 'B' });
  });
});
