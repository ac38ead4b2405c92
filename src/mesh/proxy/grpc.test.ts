import type http2 from 'node:http2';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Destination } from '../discovery/model.ts';
import { cleanUp, destination, outbound, upstream } from './fixtures.ts';
import { ask, connect, grpc, server } from './http2-fixtures.ts';

afterEach(cleanUp);

describe('gRPC', () => {
  const respond = (stream: http2.ServerHttp2Stream, status: number, body?: string) => {
    if (body === undefined)
      return stream.respond(
        { 'content-type': 'application/grpc', 'grpc-status': status },
        { endStream: true },
      );
    stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
    stream.end(body);
  };

  test('the status in the trailers is what counts', async () => {
    const { address } = await server((stream, headers) =>
      respond(stream, Number(headers['x-status']), 'message'),
    );
    const plane = await outbound(destination([address]));
    const session = connect(plane);
    for (const status of [0, 0, 5, 13, 14]) {
      const reply = await ask(session, { ...grpc, 'x-status': status, 'grpc-timeout': '1S' }, 'request');
      expect(reply.trailers?.['grpc-status']).toBe(String(status));
    }
    const lines = plane.runtime.metrics
      .expose()
      .split('\n')
      .filter((line) => line.startsWith('response_total'));
    const count = (classification: string, code: number) =>
      lines
        .find((line) =>
          line.includes(`classification="${classification}",status_code="200",grpc_status_code="${code}"`),
        )
        ?.split(' ')[1];
    expect([count('success', 0), count('success', 5), count('failure', 13), count('failure', 14)]).toEqual([
      '2',
      '1',
      '1',
      '1',
    ]);
  });

  test('an answer without a status of gRPC counts as what its client makes of it', async () => {
    const { address } = await server((stream, headers) => {
      const alone = headers['x-alone'] === '1';
      stream.respond(
        { ':status': Number(headers['x-status']), 'content-type': 'text/html' },
        { endStream: alone },
      );
      if (!alone) stream.end('<h1>not here</h1>');
    });
    const plane = await outbound(destination([address]));
    const session = connect(plane);
    for (const alone of ['0', '1'])
      for (const status of [503, 404, 401, 200])
        await ask(session, { ...grpc, 'x-status': status, 'x-alone': alone }, 'request');
    const counted = [
      ...plane.runtime.metrics
        .expose()
        .matchAll(/classification="(\w+)",.*grpc_status_code="(\d+)"\} (\d+)$/gm),
    ];
    expect(counted.map(([, ...each]) => each.join(' ')).sort()).toEqual([
      'failure 12 2',
      'failure 14 2',
      'failure 2 2',
      'success 16 2',
    ]);
  });

  test('errors of the proxy are trailers-only, with the cause', async () => {
    const plane = await outbound(destination([]));
    const reply = await ask(connect(plane), grpc, 'request');
    expect(reply.headers).toMatchObject({
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': '14',
      'weir-proxy-error': 'no-endpoint',
    });
    expect(plane.runtime.metrics.expose()).toMatch(
      /classification="failure",status_code="200",grpc_status_code="14"\} 1/,
    );
    const timeout = destination([(await server(() => {})).address], { policy: { timeout: 50 } });
    expect((await ask(connect(await outbound(timeout)), grpc, 'request')).headers['grpc-status']).toBe('4');
  });

  test('UNAVAILABLE is tried again where the policy allows it, with its body', async () => {
    let tries = 0;
    const { address } = await server((stream) => {
      tries += 1;
      if (tries === 1) return respond(stream, 14);
      void text(stream).then((body) => respond(stream, 0, body));
    });
    const policy = { retries: { max: 1, on: ['5xx' as const] } };
    const plane = await outbound(destination([address], { policy }));
    const reply = await ask(connect(plane), grpc, 'request');
    expect([reply.body, reply.trailers?.['grpc-status'], tries]).toEqual(['request', '0', 2]);
  });

  describe.each(['http2', 'http1'] as const)(
    'what only the proxy knows has a code of its own: %s servers',
    (protocol) => {
      const codes = async (address: string, policy: Destination['policy'], times: number, limits = {}) => {
        const session = connect(await outbound(destination([address], { protocol, policy }), limits));
        const all: unknown[] = [];
        for (let n = 0; n < times; n += 1) {
          const { headers } = await ask(session, grpc, 'request');
          all.push([headers[':status'], headers['grpc-status'], headers['weir-proxy-error']]);
        }
        return all;
      };
      const failing = async () =>
        protocol === 'http2'
          ? (await server((stream) => stream.respond({ ':status': 500 }, { endStream: true }))).address
          : upstream((socket) => socket.write('HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'));
      const resetting = async () =>
        protocol === 'http2'
          ? (await server((stream) => stream.close(2))).address
          : upstream((socket) => socket.destroy());

      test('rate-limited: RESOURCE_EXHAUSTED', async () => {
        const policy = { rateLimit: { perSecond: 0.001, burst: 0 } };
        expect(await codes(await failing(), policy, 1)).toEqual([[200, '8', 'rate-limited']]);
      });

      test('overload: UNAVAILABLE', async () => {
        expect(await codes(await failing(), { maxInFlight: 0 }, 1)).toEqual([[200, '14', 'overload']]);
        expect(await codes(await failing(), {}, 1, { inFlight: 0 })).toEqual([[200, '14', 'overload']]);
      });

      test('breaker: UNAVAILABLE', async () => {
        const breaker = { consecutive: 1, successRate: 0, minRequests: 10, window: 10_000, eject: 60_000 };
        const [first, second] = await codes(await failing(), { breaker }, 2);
        expect(first).toEqual([500, undefined, undefined]);
        expect(second).toEqual([200, '14', 'breaker']);
      });

      test('reset: UNAVAILABLE', async () => {
        expect(await codes(await resetting(), {}, 1)).toEqual([[200, '14', 'reset']]);
      });
    },
  );
});
