/** Why a proxy failed is for those who may know: local callers, and peers that have proved who they are. */
import { afterEach, describe, expect, test } from '@jest/globals';
import { hops, inbound, plane } from './hops-fixtures.ts';
import { Client, cleanUp, destination, GET } from './proxy/fixtures.ts';
import { ask, connect, grpc } from './proxy/http2-fixtures.ts';
import type { DataPlane } from './proxy/proxy.ts';

afterEach(cleanUp);

/** Nobody listens there. */
const NOBODY = '127.0.0.1:1';

async function http1(to: DataPlane): Promise<string> {
  const client = new Client(to);
  client.socket.write(GET);
  const text = await client.until((all) => all.includes('\r\n\r\n'));
  client.socket.end();
  await client.closed();
  return text.length < client.text.length ? client.text : text;
}

describe('an inbound caller without an identity', () => {
  test('of HTTP/1.1 sees that it failed, and not why', async () => {
    const proxy = await inbound(NOBODY);
    const text = await http1(proxy);
    expect(text).toMatch(/^HTTP\/1.1 502 /);
    expect(text.toLowerCase()).not.toContain('weir-');
    expect(text.slice(text.indexOf('\r\n\r\n'))).toBe('\r\n\r\n');
    // Whoever runs the proxy does.
    expect(proxy.runtime.metrics.expose()).toContain('weir_proxy_errors_total{cause="connect"} 1');
    // What breaks the protocol is not explained either.
    const client = new Client(proxy);
    client.socket.write('GET / HTTP/1.1\r\nHost : a\r\n\r\n');
    const refused = await client.closed();
    expect(refused).toMatch(/^HTTP\/1.1 400 /);
    expect(refused.toLowerCase()).not.toContain('weir-');
  });

  test('of HTTP/2 and gRPC neither', async () => {
    const session = connect(await inbound(NOBODY));
    const plain = await ask(session);
    expect([plain.status, plain.body]).toEqual([502, '']);
    expect(Object.keys(plain.headers).filter((name) => name.startsWith('weir-'))).toEqual([]);
    const { headers } = await ask(session, grpc, 'request');
    expect(headers).toMatchObject({ ':status': 200, 'grpc-status': '14' });
    expect(headers['grpc-message']).toBeUndefined();
    expect(headers['weir-proxy-error']).toBeUndefined();
  });
});

describe('who may know is told', () => {
  test.each(['detect', 'http2'] as const)('a peer: %s', async (protocol) => {
    const { outbound } = await hops(NOBODY, destination([], { protocol }));
    expect(await http1(outbound)).toMatch(/^HTTP\/1.1 502 .*weir-proxy-error: connect\r\n/s);
    const session = connect(outbound);
    expect((await ask(session)).headers['weir-proxy-error']).toBe('connect');
    const { headers } = await ask(session, grpc, 'request');
    expect(headers).toMatchObject({ 'grpc-status': '14', 'weir-proxy-error': 'connect' });
    expect(headers['grpc-message']).toContain('connect');
  });

  test('a caller within the pod', async () => {
    const to = destination([NOBODY]);
    const local = await plane({
      outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
      destinations: { [to.key]: to },
    });
    expect(await http1(local)).toMatch(/weir-proxy-error: connect\r\n/);
  });
});
