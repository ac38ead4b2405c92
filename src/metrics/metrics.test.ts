import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PrometheusDriver } from 'prometheus-query';
import { silentLogger } from '../lib/log.ts';
import { parseConfig, type RunningMetricsStore, startMetricsStore } from './index.ts';
import { QUERIES } from './promql/conformance-queries.ts';
import { QueryError } from './promql/errors.ts';
import { parseQuery } from './promql/parse.ts';
import type { TargetSource } from './scrape/kubernetes.ts';

const cleanup: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanup.splice(0).reverse()) await stop();
});

/** A target whose page the test changes as it goes. */
async function startTarget(): Promise<{
  port: number;
  page: { status: number; text: string };
  sockets: () => number;
  requests: () => number;
}> {
  const page = { status: 200, text: '' };
  let sockets = 0;
  let requests = 0;
  const server: Server = createServer((_request, response) => {
    requests += 1;
    response.statusCode = page.status;
    response.end(page.text);
  });
  // Longer than any test: only the store decides when a connection ends.
  server.keepAliveTimeout = 300_000;
  server.on('connection', () => {
    sockets += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return {
    port: (server.address() as { port: number }).port,
    page,
    sockets: () => sockets,
    requests: () => requests,
  };
}

const configFor = (port: number, more = '') =>
  `global: {scrape_interval: 50ms}\nscrape_configs: [{job_name: app${more}, static_configs: [{targets: ["127.0.0.1:${port}"]}]}]`;

async function startStore(
  config: string,
  watchPods?: () => Promise<TargetSource>,
): Promise<{ running: RunningMetricsStore; query: (text: string) => Promise<Record<string, number>> }> {
  const running = await startMetricsStore({
    config: parseConfig(config),
    host: '127.0.0.1',
    port: 0,
    log: silentLogger,
    watchPods,
  });
  cleanup.push(() => running.stop());
  const driver = new PrometheusDriver({
    endpoint: running.url,
    requestInterceptor: { onFulfilled: (request) => ({ ...request, proxy: false }) },
  });
  const query = async (text: string) => {
    const { result } = await driver.instantQuery(text);
    return Object.fromEntries(
      (
        result as { metric: { name?: string; labels: Record<string, string> }; value: { value: number } }[]
      ).map(({ metric, value }) => [
        [metric.name ?? '', ...Object.entries(metric.labels).sort().flat()].join(' '),
        value.value,
      ]),
    );
  };
  return { running, query };
}

/** Waits until the answer is the wanted one; ends with the last answer for the message. */
async function eventually(ask: () => Promise<unknown>, wanted: unknown): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const got = await ask();
    try {
      expect(got).toEqual(wanted);
      return;
    } catch (difference) {
      if (Date.now() > deadline) throw difference;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe('a store that scrapes, asked through prometheus-query', () => {
  test('a vanished series, a failing target and a removed target end at once', async () => {
    const target = await startTarget();
    target.page.text = 'requests_total{code="200"} 5\nrequests_total{code="500"} 1\n';
    const { running, query } = await startStore(configFor(target.port));
    const series = (code: string) => `requests_total code ${code} instance 127.0.0.1:${target.port} job app`;
    await eventually(() => query('requests_total'), { [series('200')]: 5, [series('500')]: 1 });

    target.page.text = 'requests_total{code="200"} 7\n';
    await eventually(() => query('requests_total'), { [series('200')]: 7 });

    target.page.status = 503;
    await eventually(() => query('sum(up)'), { '': 0 });
    await eventually(() => query('requests_total'), {});

    target.page.status = 200;
    await eventually(() => query('up * 2'), { [` instance 127.0.0.1:${target.port} job app`]: 2 });
    await eventually(() => query('scrape_samples_scraped > 0 < bool 2'), {
      [` instance 127.0.0.1:${target.port} job app`]: 1,
    });
    // Connections are kept: what scrapes that timed out on a busy machine have cost is soon outnumbered.
    await eventually(async () => target.sockets() < target.requests() / 2, true);

    await running.reload(parseConfig('{}'));
    await eventually(() => query('{job="app"}'), {});
  });

  test('a broken page counts as down and leaves nothing half read', async () => {
    const target = await startTarget();
    target.page.text = 'fine 1\nbroken{ 2\n';
    const { running, query } = await startStore(configFor(target.port));
    const targets = async () => {
      const response = await fetch(`${running.url}/api/v1/targets`);
      const { data } = (await response.json()) as {
        data: { activeTargets: { health: string; lastError: string }[] };
      };
      return data.activeTargets.map(({ health, lastError }) => [health, /line \d+/.exec(lastError)?.[0]]);
    };
    // On a busy machine a scrape may end for want of time instead; another follows.
    await eventually(targets, [['down', 'line 2']]);
    expect(await query('sum(up)')).toEqual({ '': 0 });
    expect(await query('fine')).toEqual({});
  });

  test('a sample of a time to come is left out: nothing after it would be newer', async () => {
    const target = await startTarget();
    target.page.text = `a 1 ${Date.now() + 3_600_000}\nb 1\n`;
    const { query } = await startStore(configFor(target.port));
    const of = (name: string) => `${name} instance 127.0.0.1:${target.port} job app`;
    await eventually(() => query('b'), { [of('b')]: 1 });
    target.page.text = 'a 2\nb 2\n';
    await eventually(() => query('{__name__=~"a|b"}'), { [of('a')]: 2, [of('b')]: 2 });
  });

  test('clashing labels are moved aside, or honoured', async () => {
    const target = await startTarget();
    target.page.text = 'a{job="own"} 1\n';
    const { running, query } = await startStore(configFor(target.port));
    const instance = `instance 127.0.0.1:${target.port}`;
    await eventually(() => query('a'), { [`a exported_job own ${instance} job app`]: 1 });
    await running.reload(parseConfig(configFor(target.port, ', honor_labels: true')));
    await eventually(() => query('a'), { [`a ${instance} job own`]: 1 });
  });

  test('ready when the first targets are known, and not before', async () => {
    let known = () => {};
    const source: TargetSource = {
      ready: new Promise((resolve) => {
        known = resolve;
      }),
      list: () => [],
      stop: () => {},
    };
    const { running } = await startStore(
      'scrape_configs: [{job_name: pods, kubernetes_sd_configs: [{role: pod}]}]',
      async () => source,
    );
    const status = async () => (await fetch(`${running.url}/-/ready`)).status;
    expect(await status()).toBe(503);
    expect((await fetch(`${running.url}/-/healthy`)).status).toBe(200);
    known();
    await eventually(status, 200);
  });
});

describe('HTTP API', () => {
  test('errors are those of Prometheus', async () => {
    const { running } = await startStore('{}');
    const get = async (path: string) => {
      const response = await fetch(`${running.url}/api/v1/${path}`);
      return [response.status, await response.json()];
    };
    expect(await get('query?query=up%20%2B')).toEqual([
      400,
      {
        status: 'error',
        errorType: 'bad_data',
        error: 'invalid parameter "query": 1:5: parse error: unexpected end of input',
      },
    ]);
    expect(await get('query?query=holt_winters(up[5m],1,1)')).toEqual([
      400,
      expect.objectContaining({ errorType: 'bad_data', error: expect.stringContaining('unsupported') }),
    ]);
    expect((await get('query_range?query=up&start=0&end=100000&step=1'))[0]).toBe(400);
    expect((await get('query?query=up&time=noon'))[0]).toBe(400);
    expect((await get('label/no-name/values'))[0]).toBe(400);
    expect((await get('series'))[0]).toBe(400);
    expect(await get('nothing')).toEqual([404, expect.objectContaining({ errorType: 'not_found' })]);
    expect(await get('metadata')).toEqual([200, { status: 'success', data: {} }]);
    expect((await get('status/buildinfo'))[0]).toBe(200);
    expect(await (await fetch(`${running.url}/metrics`)).text()).toContain('weir_metrics_series 0');
  });

  test('prometheus-query reads ranges, series and label values', async () => {
    const { running } = await startStore('{}');
    for (let index = 0; index <= 60; index += 1)
      running.store.append(['__name__', 'hits', 'job', 'a'], index * 1000, index * 2);
    const driver = new PrometheusDriver({
      endpoint: running.url,
      preferPost: true,
      requestInterceptor: { onFulfilled: (request) => ({ ...request, proxy: false }) },
    });
    const { result } = await driver.rangeQuery('rate(hits[30s])', 30_000, 60_000, 10);
    expect(result[0].values.map(({ value }: { value: number }) => value)).toEqual([2, 2, 2, 2]);
    expect(await driver.labelValues('job')).toEqual(['a']);
    expect(await driver.labelNames()).toEqual(['__name__', 'job']);
  });
});

test('whatever the query, parsing gives a tree or a QueryError', () => {
  const pieces = QUERIES.flatMap((query) => query.split(/\b/));
  const text = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...pieces), { maxLength: 15 }).map((words) => words.join('')),
  );
  fc.assert(
    fc.property(text, (query) => {
      try {
        parseQuery(query);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(QueryError);
      }
    }),
    { numRuns: 3000 },
  );
  expect(() => parseQuery('('.repeat(5000))).toThrow(QueryError);
  expect(() => parseQuery(`${'-'.repeat(5000)}x`)).toThrow(QueryError);
});
