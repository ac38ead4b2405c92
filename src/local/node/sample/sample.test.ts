import { describe, expect, test } from '@jest/globals';
import { startApp, upstreamsOf } from './app.ts';
import { startLoad } from './load.ts';

const host = '127.0.0.1';
const getJson = async (port: number, path = '/', method = 'GET') => {
  const response = await fetch(`http://${host}:${port}${path}`, { method });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

describe('the sample application', () => {
  test('says who it is, whom it called, and passes their failure on', async () => {
    const orders = await startApp({
      env: { SERVICE: 'orders', VERSION: 'v1', DRAIN_MS: '0' },
      host,
      port: 0,
    });
    const env = {
      POD_NAME: 'web-6d4cf56db6-abcde',
      VERSION: 'v2',
      ORDERS_URL: `http://${host}:${orders.port}/`,
      DRAIN_MS: '0',
    };
    const web = await startApp({ env, host, port: 0 });
    const fine = await getJson(web.port);
    expect(fine).toMatchObject({
      status: 200,
      body: { service: 'web', version: 'v2', upstream: [{ name: 'orders', status: 200, version: 'v1' }] },
    });
    await getJson(orders.port, '/fault?errors=1', 'POST');
    expect(await getJson(web.port)).toMatchObject({ status: 502, body: { upstream: [{ status: 500 }] } });
    await getJson(web.port, '/fault?readiness=fail', 'POST');
    expect((await getJson(web.port, '/healthz')).status).toBe(503);
    await Promise.all([web.stop(), orders.stop()]);
    await expect(fetch(`http://${host}:${web.port}`)).rejects.toThrow();
  });

  test('fails as often as it is told to, and evenly', async () => {
    const app = await startApp({ env: { ERROR_RATE: '0.25', DRAIN_MS: '0' }, host, port: 0 });
    const statuses: number[] = [];
    for (let n = 0; n < 40; n += 1) statuses.push((await getJson(app.port)).status);
    for (let n = 0; n < 40; n += 4) expect(statuses.slice(n, n + 4).sort()).toEqual([200, 200, 200, 500]);
    await app.stop();
  });

  test('finishes what it has accepted when stopped', async () => {
    const app = await startApp({ env: { LATENCY_MS: '100', DRAIN_MS: '20' }, host, port: 0 });
    const slow = getJson(app.port);
    await new Promise((resolve) => setImmediate(resolve));
    await app.stop();
    expect((await slow).status).toBe(200);
  });

  test('finds upstreams by name', () => {
    const env = {
      LOAD_URL: 'http://a',
      ORDERS_URL: 'http://b',
      UPSTREAM_URLS: 'http://c, http://d',
      OTHER_URL: 'x',
    };
    expect(upstreamsOf(env).map(({ name, url }) => `${name} ${url}`)).toEqual([
      'orders http://b',
      'upstream http://c',
      'upstream http://d',
    ]);
  });

  test('the load generator keeps its rate and counts failures by status', async () => {
    const app = await startApp({ env: { VERSION: 'v1', DRAIN_MS: '0' }, host, port: 0 });
    const env = { LOAD_URL: `http://${host}:${app.port}/`, LOAD_RPS: '200' };
    const load = await startLoad({ env, host, port: 0 });
    const report = async () =>
      (await getJson(load.port)).body as { ok: number; failed: number; failures: object; versions: object };
    while ((await report()).ok < 20);
    expect(await report()).toMatchObject({ failed: 0, versions: { v1: expect.any(Number) } });
    await getJson(app.port, '/fault?errors=1', 'POST');
    while ((await report()).failed < 5);
    expect((await report()).failures).toMatchObject({ 500: expect.any(Number) });
    await Promise.all([load.stop(), app.stop()]);
  });
});
