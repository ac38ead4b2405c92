import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
// Before the clocks of the tests run: it is loaded with the first query.
import '../../analysis/driver.ts';
import { createJudge, type JudgeInput, prometheusProvider } from '../../analysis/index.ts';
import { rolloutSpecSchema } from '../../api/rollout.ts';
import { silentLogger } from '../../lib/log.ts';
import { parseConfig, type RunningMetricsStore, startMetricsStore } from '../../metrics/index.ts';
import { labelsOf } from '../../metrics/labels.ts';

let store: RunningMetricsStore;
let now: number;

beforeEach(async () => {
  store = await startMetricsStore({
    config: parseConfig('scrape_configs: []\n'),
    host: '127.0.0.1',
    port: 0,
    log: silentLogger,
  });
  await store.ready;
  now = Date.now();
});
afterEach(() => store.stop());

const BOUNDS = ['10', '20', '50', '100', '+Inf'];
const outbound = (revision: string) => ({
  direction: 'outbound',
  namespace: 'shop',
  pod: 'load-1',
  dst_namespace: 'shop',
  dst_service: 'web',
  dst_revision: revision,
});

/** A proxy scraped every second for `seconds`: so many requests a second of one class, all of `latency` ms. */
function traffic(
  labels: Record<string, string>,
  kind: 'success' | 'failure',
  rate: number,
  seconds: number,
  latency = 15,
) {
  for (let second = 0; second <= seconds; second += 1) {
    const time = now - (seconds - second) * 1000 - 200;
    // The first scrape already finds what was counted before it.
    const count = rate * (second + 1);
    const add = (name: string, more: Record<string, string>) =>
      store.store.append(labelsOf({ __name__: name, ...labels, ...more }), time, count);
    add('response_total', { classification: kind, status_code: kind === 'success' ? '200' : '500' });
    for (const le of BOUNDS.filter((bound) => bound === '+Inf' || Number(bound) >= latency)) {
      store.store.append(
        labelsOf({ __name__: 'response_latency_ms_bucket', ...labels, le, classification: kind }),
        time,
        count,
      );
    }
  }
}

function look(analysis: object = {}, stepAge = 10_000, service = 'web') {
  const { analysis: spec } = rolloutSpecSchema.parse({
    targetRef: { name: 'web' },
    service: { name: 'web', port: 80 },
    strategy: { canary: { weights: [10] } },
    analysis,
  });
  const input: JudgeInput = {
    spec,
    revisions: { namespace: 'shop', service, port: 80, deployment: 'web', canary: 'new', stable: 'old' },
    now,
    stepStartedAt: now - stepAge,
    runStartedAt: now - stepAge,
    memory: {},
  };
  const provider = prometheusProvider({ url: store.url });
  return createJudge({ provider, templates: () => undefined }).look(input, AbortSignal.timeout(10_000));
}

describe('the judge over the metrics store', () => {
  test('a canary without failures passes, with exact counts from the first request on', async () => {
    traffic(outbound('old'), 'success', 90, 30);
    traffic(outbound('new'), 'success', 10, 8);
    const verdict = await look();
    expect(verdict).toMatchObject({ decision: 'pass', requests: 90, failedRequests: 0 });
    expect(verdict.metrics[0]).toMatchObject({ name: 'success-rate', canary: 1, verdict: 'pass' });
    expect(verdict.metrics[1]!.canary).toBeGreaterThan(0.01);
    expect(verdict.metrics[1]!.canary).toBeLessThanOrEqual(0.02);
  });

  test('five of a hundred failing is 95%, the failed requests are counted', async () => {
    traffic(outbound('new'), 'success', 95, 8);
    traffic(outbound('new'), 'failure', 5, 8);
    const verdict = await look({
      metrics: [{ name: 'success-rate', threshold: { min: '99%' }, failureLimit: 1 }],
    });
    expect(verdict).toMatchObject({ decision: 'fail', requests: 900, failedRequests: 45 });
    expect(verdict.metrics[0]?.canary).toBeCloseTo(0.95);
  });

  test('a canary that answers nothing but errors is 0, not "no data"', async () => {
    traffic(outbound('new'), 'failure', 10, 8);
    const verdict = await look({
      metrics: [{ name: 'success-rate', threshold: { min: '99%' }, failureLimit: 1 }],
    });
    expect(verdict).toMatchObject({ decision: 'fail', failedRequests: 90 });
    expect(verdict.metrics[0]?.canary).toBe(0);
  });

  test('the same incident on both sides is no failure when compared', async () => {
    for (const revision of ['old', 'new']) {
      traffic(outbound(revision), 'success', 80, 10);
      traffic(outbound(revision), 'failure', 20, 10);
    }
    const metrics = [
      { name: 'success-rate', compare: { to: 'stable', tolerance: { absolute: '0.5%' } }, failureLimit: 1 },
      { name: 'latency', compare: { to: 'stable', tolerance: { ratio: 1.1 } }, failureLimit: 1 },
    ];
    expect(await look({ metrics })).toMatchObject({ decision: 'pass' });
  });

  test('stable alone gets requests: hold, and the pods are not asked instead', async () => {
    traffic(outbound('old'), 'success', 90, 30);
    expect(await look()).toMatchObject({ decision: 'hold', reason: 'TooFewRequests', requests: 0 });
  });

  test('no meshed caller: what the pods themselves saw counts', async () => {
    traffic(
      { direction: 'inbound', namespace: 'shop', deployment: 'web', revision: 'new', pod: 'web-1' },
      'success',
      20,
      8,
    );
    expect(await look()).toMatchObject({ decision: 'pass', requests: 180 });
  });

  test('a typo in a query holds and carries the server’s own words', async () => {
    const metrics = [{ name: 'mine', prometheus: { query: 'sum(rate(x[1m])' }, threshold: { min: 1 } }];
    const verdict = await look({ metrics, minRequests: 0 });
    expect(verdict).toMatchObject({ decision: 'hold', reason: 'MetricError' });
    expect(verdict.message).toContain('Prometheus refuses the query');
  });
});
