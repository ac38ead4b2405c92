import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import nock from 'nock';
import { prometheusProvider } from './prometheus.ts';

const url = 'http://prometheus.test:9090';
const live = () => new AbortController().signal;
const servers: Server[] = [];

// nock patches node:net for the whole worker; test files that come after it want real sockets.
afterAll(() => nock.restore());
afterEach(async () => {
  nock.cleanAll();
  await Promise.all(
    servers.splice(0).map((server) => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    }),
  );
});

function answer(status: number, body: object | string) {
  nock(url).get('/api/v1/query').query(true).reply(status, body);
  return prometheusProvider({ url }).query('up', live());
}
const vector = (...values: string[]) => ({
  status: 'success',
  data: { resultType: 'vector', result: values.map((value) => ({ metric: {}, value: [1, value] })) },
});

describe('what a Prometheus may answer', () => {
  test('one number', async () => {
    expect(await answer(200, vector('0.998'))).toEqual({ kind: 'value', value: 0.998, query: 'up' });
    const scalar = { status: 'success', data: { resultType: 'scalar', result: [1, '3'] } };
    expect(await answer(200, scalar)).toMatchObject({ kind: 'value', value: 3 });
  });

  test.each([
    ['nothing', []],
    ['NaN', ['NaN']],
    ['+Inf', ['+Inf']],
    ['-Inf', ['-Inf']],
  ])('%s is no data', async (_name, values) => {
    expect(await answer(200, vector(...values))).toMatchObject({ kind: 'no-data' });
  });

  test('several series are an error that says what to do', async () => {
    expect(await answer(200, vector('1', '2'))).toMatchObject({
      kind: 'error',
      message: expect.stringContaining('aggregate it'),
    });
    const matrix = { status: 'success', data: { resultType: 'matrix', result: [] } };
    expect(await answer(200, matrix)).toMatchObject({
      kind: 'error',
      message: expect.stringContaining('matrix'),
    });
  });

  test("a typo is an error with the server's own words", async () => {
    const error = '1:5: parse error: unexpected identifier "sum"';
    expect(await answer(400, { status: 'error', errorType: 'bad_data', error })).toEqual({
      kind: 'error',
      query: 'up',
      message: `Prometheus refuses the query: ${error}`,
    });
  });

  test('a page that is no Prometheus at all', async () => {
    expect(await answer(200, '<html>login</html>')).toMatchObject({
      kind: 'error',
      message: `${url} did not answer as a Prometheus does; check --prometheus-url`,
    });
    expect(await answer(502, 'bad gateway')).toMatchObject({ kind: 'error' });
  });
});

async function serve(handler: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(handler as never).listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise((resolve) => server.once('listening', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('against a real socket', () => {
  test('several queries are one request, and what the server says of it is said of each', async () => {
    const asked: string[] = [];
    const real = await serve((request, response) => {
      asked.push(new URL(request.url ?? '', 'http://x').searchParams.get('query') ?? '');
      const refused = { status: 'error', errorType: 'execution', error: 'too many samples' };
      const part = (weir_part: string, value: string) => ({ metric: { weir_part }, value: [1, value] });
      const found = {
        status: 'success',
        data: { resultType: 'vector', result: [part('1', '2'), part('0', '1')] },
      };
      response
        .writeHead(asked.length === 1 ? 200 : 422, { 'content-type': 'application/json' })
        .end(JSON.stringify(asked.length === 1 ? found : refused));
    });
    const provider = prometheusProvider({ url: real });
    expect(await provider.queries(['sum(a)', 'sum(b)', 'sum(c)'], live())).toEqual(
      new Map([
        ['sum(a)', { kind: 'value', query: 'sum(a)', value: 1 }],
        ['sum(b)', { kind: 'value', query: 'sum(b)', value: 2 }],
        ['sum(c)', { kind: 'no-data', query: 'sum(c)', message: 'the query yields no series' }],
      ]),
    );
    expect(asked).toHaveLength(1);
    const message = 'Prometheus refuses the query: too many samples';
    expect([...(await provider.queries(['sum(a)', 'sum(b)'], live())).values()]).toEqual([
      { kind: 'error', query: 'sum(a)', message },
      { kind: 'error', query: 'sum(b)', message },
    ]);
  });

  test('asks /api/v1/query with the query verbatim', async () => {
    const asked: string[] = [];
    const real = await serve((request, response) => {
      asked.push(new URL(request.url ?? '', 'http://x').searchParams.get('query') ?? '');
      response.setHeader('content-type', 'application/json').end(JSON.stringify(vector('1')));
    });
    const expression = 'sum(x{a="b+c&d",e=~"f|g"}[60s])';
    expect(await prometheusProvider({ url: real }).query(expression, live())).toMatchObject({
      kind: 'value',
    });
    expect(asked).toEqual([expression]);
  });

  test('a refused connection names the address and the flag', async () => {
    const gone = await serve(() => {});
    await new Promise((resolve) => servers.pop()?.close(resolve));
    expect(await prometheusProvider({ url: gone }).query('up', live())).toMatchObject({
      kind: 'error',
      message: expect.stringMatching(/cannot be reached.*check --prometheus-url/),
    });
  });

  test('a server that never answers times out, one that trickles too, and a caller that stops is let go', async () => {
    const silent = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{');
    });
    expect(await prometheusProvider({ url: silent, timeoutMs: 100 }).query('up', live())).toMatchObject({
      kind: 'error',
      message: expect.stringContaining('did not answer within 100 ms'),
    });
    const caller = new AbortController();
    const answer = prometheusProvider({ url: silent, timeoutMs: 60_000 }).query('up', caller.signal);
    caller.abort();
    expect(await answer).toMatchObject({ kind: 'error', message: expect.stringContaining('stopped') });
  });
});
