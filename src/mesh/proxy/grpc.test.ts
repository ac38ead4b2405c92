import type http2 from 'node:http2';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { cleanUp, destination, outbound } from './fixtures.ts';
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
});
