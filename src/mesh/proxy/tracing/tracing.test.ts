import { afterEach, describe, expect, test } from '@jest/globals';
import { answer, Client, cleanUp, count, destination, upstream } from '../fixtures.ts';
import { ask, connect, echo, grpc, server } from '../http2-fixtures.ts';
import { chain, collector, plane } from './fixtures.ts';

afterEach(cleanUp);

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const request = (headers: string) => `GET /a/b?token=secret HTTP/1.1\r\nHost: web.shop\r\n${headers}\r\n`;

/** A server that remembers the heads that reached it. */
async function recorder() {
  const heads: string[] = [];
  const address = await upstream((socket, text) => {
    heads.push(text.toLowerCase());
    socket.write(answer('ok'));
  });
  return { heads, address };
}

async function throughBoth(headers: string, sample = 0) {
  const otlp = await collector();
  const app = await recorder();
  const tracing = { otlp: otlp.url, sample };
  const { outbound } = await chain(app.address, [{ tracing }, { tracing }]);
  const client = new Client(outbound);
  client.socket.write(request(headers));
  await client.until((text) => text.endsWith('ok'));
  return { otlp, head: app.heads[0]! };
}

describe('over HTTP/1.1, through two proxies', () => {
  test('a traceparent is gone on with: caller, client span, server span, application', async () => {
    const { otlp, head } = await throughBoth(`Traceparent: 00-${TRACE}-${SPAN}-01\r\nTracestate: a=1\r\n`);
    const spans = await otlp.got(2);
    const client = spans.find(({ kind }) => kind === 3)!;
    const inbound = spans.find(({ kind }) => kind === 2)!;
    expect(client).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, traceState: 'a=1', service: 'front' });
    expect(inbound).toMatchObject({ traceId: TRACE, parentSpanId: client.spanId, service: 'web' });
    expect(count(head, 'traceparent')).toBe(1);
    expect(head).toContain(`traceparent: 00-${TRACE}-${inbound.spanId}-01\r\n`);
    expect(head).toContain('tracestate: a=1\r\n');
    expect(client.is).toMatchObject({
      'http.request.method': 'GET',
      'url.full': 'http://web.shop/a/b',
      'server.address': 'web.shop',
      'http.response.status_code': '200',
      'network.protocol.version': '1.1',
      'network.peer.address': '127.0.0.1',
      'weir.revision': 'v1',
      'http.response.body.size': '2',
    });
    expect(inbound.is).toMatchObject({ 'url.path': '/a/b', 'url.scheme': 'http' });
    // Which of them ends last is for the scheduler to say; the times are of one clock.
    for (const { startTimeUnixNano: start, endTimeUnixNano: end } of [client, inbound])
      expect(BigInt(end)).toBeGreaterThan(BigInt(start));
    expect(BigInt(client.startTimeUnixNano)).toBeLessThanOrEqual(BigInt(inbound.endTimeUnixNano));
    expect(BigInt(inbound.startTimeUnixNano)).toBeLessThanOrEqual(BigInt(client.endTimeUnixNano));
    expect(JSON.stringify(spans)).not.toContain('secret');
    expect(otlp.requests[0]).toEqual({ path: '/v1/traces', type: 'application/json' });
  });

  test('without one a trace begins, which both proxies and the application belong to', async () => {
    const { otlp, head } = await throughBoth('', 1);
    const spans = await otlp.got(2);
    const client = spans.find(({ kind }) => kind === 3)!;
    expect(client.parentSpanId).toBeUndefined();
    expect(spans.find(({ kind }) => kind === 2)).toMatchObject({
      traceId: client.traceId,
      parentSpanId: client.spanId,
    });
    expect(head).toContain(`traceparent: 00-${client.traceId}-`);
  });

  test.each([
    [
      'B3 in one header',
      `B3: ${TRACE}-${SPAN}-1\r\n`,
      /b3: 4bf92f3577b34da6a3ce929d0e0e4736-(\w{16})-1-\w{16}\r\n/,
    ],
    [
      'B3 in many',
      `X-B3-TraceId: ${TRACE}\r\nX-B3-SpanId: ${SPAN}\r\nX-B3-ParentSpanId: ${SPAN}\r\nX-B3-Sampled: 1\r\n`,
      /x-b3-traceid: 4bf92f3577b34da6a3ce929d0e0e4736\r\nx-b3-spanid: (\w{16})\r\nx-b3-sampled: 1\r\n/,
    ],
  ])('%s is gone on with as it came', async (_what, headers, expected) => {
    const { otlp, head } = await throughBoth(headers);
    const spans = await otlp.got(2);
    const client = spans.find(({ kind }) => kind === 3)!;
    const inbound = spans.find(({ kind }) => kind === 2)!;
    expect(client).toMatchObject({ traceId: TRACE, parentSpanId: SPAN });
    expect(inbound).toMatchObject({ traceId: TRACE, parentSpanId: client.spanId });
    expect(expected.exec(head)?.[1]).toBe(inbound.spanId);
    expect(head).not.toContain('traceparent');
    expect(count(head, TRACE)).toBe(1);
  });

  test.each([
    ['traceparent', `traceparent: 00-${TRACE}-${SPAN}-00\r\n`],
    ['B3', `b3: ${TRACE}-${SPAN}-0\r\n`],
    ['B3 without ids', 'b3: 0\r\n'],
    ['many', `x-b3-traceid: ${TRACE}\r\nx-b3-spanid: ${SPAN}\r\nx-b3-sampled: 0\r\n`],
  ])('a decision against recording is kept: %s', async (_what, headers) => {
    const { otlp, head } = await throughBoth(headers, 1);
    expect(head).toContain(headers);
    expect(count(head, 'traceparent')).toBe(headers.startsWith('traceparent') ? 1 : 0);
    expect(otlp.spans).toEqual([]);
  });

  test('what is not a context starts a new trace, and its state ends', async () => {
    const { otlp, head } = await throughBoth('traceparent: 00-zz\r\ntracestate: a=1\r\n', 1);
    const [first] = await otlp.got(2);
    expect(first!.traceId).toMatch(/^[\da-f]{32}$/);
    expect(count(head, 'traceparent')).toBe(1);
    expect(head).not.toContain('tracestate');
  });

  test('not sampled here is said to those who come next', async () => {
    const { otlp, head } = await throughBoth('', 0);
    expect(head).toMatch(/traceparent: 00-[\da-f]{32}-[\da-f]{16}-02\r\n/);
    expect(otlp.spans).toEqual([]);
  });
});

describe('over HTTP/2, through two proxies', () => {
  const traced = async (serve: Parameters<typeof server>[0]) => {
    const otlp = await collector();
    const tracing = { otlp: otlp.url, sample: 1 };
    const app = await server(serve);
    const { outbound } = await chain(app.address, [{ tracing }, { tracing }]);
    return { otlp, session: connect(outbound) };
  };

  test('client span, server span, application', async () => {
    let reached: string | undefined;
    const { otlp, session } = await traced((stream, headers) => {
      reached = String(headers.traceparent);
      echo(stream, headers);
    });
    await ask(session, { ':method': 'POST', ':path': '/x?y', traceparent: `00-${TRACE}-${SPAN}-01` }, 'body');
    const spans = await otlp.got(2);
    const client = spans.find(({ kind }) => kind === 3)!;
    const inbound = spans.find(({ kind }) => kind === 2)!;
    expect(client).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, name: 'POST' });
    expect(inbound).toMatchObject({ traceId: TRACE, parentSpanId: client.spanId });
    expect(reached).toBe(`00-${TRACE}-${inbound.spanId}-01`);
    expect(inbound.is).toMatchObject({
      'network.protocol.version': '2',
      'http.request.body.size': '4',
      'http.response.body.size': '4',
      'url.path': '/x',
    });
  });

  test('gRPC: the status counts, and names what failed', async () => {
    const { otlp, session } = await traced((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '5' }));
      stream.end('x');
    });
    await ask(session, { ...grpc, ':path': '/shop.Cart/Get', b3: `${TRACE}-${SPAN}-1` }, 'x');
    const spans = await otlp.got(2);
    const [client, inbound] = [3, 2].map((kind) => spans.find((each) => each.kind === kind)!);
    expect(client).toMatchObject({ name: 'shop.Cart/Get', traceId: TRACE, status: { code: 2 } });
    expect(client!.is).toMatchObject({
      'rpc.system': 'grpc',
      'rpc.service': 'shop.Cart',
      'rpc.method': 'Get',
      'rpc.grpc.status_code': '5',
      'error.type': '5',
    });
    // NOT_FOUND is the client's mistake: no error of the server.
    expect(inbound!.status).toEqual({});
    expect(inbound!.parentSpanId).toBe(client!.spanId);
  });
});

test('a failure of the proxy has its cause', async () => {
  const otlp = await collector();
  const to = destination(['127.0.0.1:1']);
  const proxy = await plane({
    outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
    destinations: { [to.key]: to },
    tracing: { otlp: otlp.url, sample: 1 },
  });
  const client = new Client(proxy);
  client.socket.write(request(''));
  await client.until((text) => text.includes('502'));
  const [span] = await otlp.got(1);
  expect(span).toMatchObject({ status: { code: 2, message: 'connect' } });
  expect(span!.is).toMatchObject({ 'error.type': 'connect', 'http.response.status_code': '502' });
});

describe('the collector', () => {
  const traced = async (url: string) => {
    const app = await recorder();
    const to = destination([app.address]);
    const proxy = await plane({
      outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
      destinations: { [to.key]: to },
      tracing: { otlp: url, sample: 1 },
    });
    const client = new Client(proxy);
    const get = async (times: number) => {
      for (let n = 0; n < times; n += 1) {
        const before = count(client.text, '200 OK');
        client.socket.write(request(''));
        await client.until((text) => count(text, '200 OK') > before && text.endsWith('ok'));
      }
    };
    return { proxy, get };
  };
  const metric = (text: string, name: string) =>
    Number(new RegExp(`^${name}\\{\\} (\\d+)$`, 'm').exec(text)?.[1]);

  test('is asked again when it is busy', async () => {
    const answers = [503, 200];
    const otlp = await collector(() => answers.shift() ?? 200);
    const { get, proxy } = await traced(otlp.url);
    await get(3);
    await otlp.got(3);
    expect(otlp.requests).toHaveLength(2);
    await proxy.observers.stop();
    expect(metric(proxy.runtime.metrics.expose(), 'weir_trace_spans_exported_total')).toBe(3);
  });

  test('that refuses, or is not there, costs spans and no request; they are counted', async () => {
    const otlp = await collector(() => 400);
    const { get, proxy } = await traced(otlp.url);
    await get(2);
    await proxy.observers.stop();
    expect(metric(proxy.runtime.metrics.expose(), 'weir_trace_spans_dropped_total')).toBe(2);
    expect(otlp.requests).toHaveLength(1);
  });
});

test('switched on, changed and off while requests go on', async () => {
  const otlp = await collector();
  const app = await recorder();
  const to = destination([app.address]);
  const config = {
    outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
    destinations: { [to.key]: to },
  };
  const proxy = await plane(config);
  const client = new Client(proxy);
  let asked = 0;
  const get = async () => {
    asked += 1;
    client.socket.write(request(''));
    await client.until((text) => count(text, '200 OK') === asked && text.endsWith('ok'));
  };
  await get();
  expect(proxy.runtime.observers).toBeUndefined();
  const full = { inbound: [], limits: {}, ...config };
  proxy.reload({ ...full, tracing: { otlp: otlp.url, sample: 1 } });
  await get();
  await otlp.got(1);
  proxy.reload({ ...full, tracing: { otlp: otlp.url, sample: 0 } });
  await get();
  proxy.reload(full);
  await get();
  expect(proxy.runtime.observers).toBeUndefined();
  expect(app.heads.map((head) => /traceparent: .*-(\d\d)\r/.exec(head)?.[1])).toEqual([
    undefined,
    '03',
    '02',
    undefined,
  ]);
  expect(otlp.spans).toHaveLength(1);
});
