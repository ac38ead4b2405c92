import { describe, expect, test } from '@jest/globals';
import { rolloutSpecSchema } from '../api/rollout.ts';
import { createJudge } from './judge.ts';
import type { JudgeInput, Measurement, MetricProvider } from './ports.ts';
import { judgedWindow } from './queries.ts';

const start = Date.parse('2026-01-05T12:00:00Z');

/** A metrics backend that answers by rules over the query's text and remembers what it was asked. */
function backend(rules: [RegExp, number | Measurement['kind']][]) {
  const asked: string[] = [];
  let rounds = 0;
  const answer = (query: string): Measurement => {
    asked.push(query);
    const found = rules.find(([pattern]) => pattern.test(query))?.[1] ?? 'no-data';
    if (typeof found === 'number') return { kind: 'value', value: found, query };
    return { kind: found === 'error' ? 'error' : 'no-data', query, message: found };
  };
  const provider: MetricProvider = {
    query: async (query) => answer(query),
    queries: async (queries) => {
      rounds += 1;
      return new Map(queries.map((query) => [query, answer(query)]));
    },
  };
  return { asked, provider, rounds: () => rounds };
}

function input(analysis: object = {}, more: Partial<JudgeInput> = {}): JudgeInput {
  const { analysis: spec } = rolloutSpecSchema.parse({
    targetRef: { name: 'web' },
    service: { name: 'web', port: 80 },
    strategy: { canary: { weights: [10] } },
    analysis,
  });
  return {
    spec,
    revisions: {
      namespace: 'shop',
      service: 'web',
      port: 80,
      deployment: 'web',
      canary: 'new',
      stable: 'old',
    },
    now: start + 30_000,
    stepStartedAt: start + 10_000,
    runStartedAt: start,
    memory: {},
    ...more,
  };
}
const live = () => new AbortController().signal;
const templates = () => undefined;

describe('one look', () => {
  test('reads the callers, over the time since the step began, and shows each query', async () => {
    const { asked, provider } = backend([
      [/unless.*classification="failure"/, 3.2],
      [/classification="failure"/, 3.2],
      [/unless/, 120],
      [/histogram_quantile/, 0.08],
      [/classification="success"/, 0.995],
      [/./, 400],
    ]);
    const verdict = await createJudge({ provider, templates }).look(input(), live());
    expect(verdict).toMatchObject({ decision: 'pass', requests: 120, failedRequests: 3 });
    expect(verdict.metrics.map(({ query }) => query)).toEqual([
      '(sum(increase(response_total{direction="outbound",dst_namespace="shop",dst_service="web",dst_revision="new",classification="success"}[20s])) or vector(0)) / sum(increase(response_total{direction="outbound",dst_namespace="shop",dst_service="web",dst_revision="new"}[20s]))',
      'histogram_quantile(0.99, sum by (le) (rate(response_latency_ms_bucket{direction="outbound",dst_namespace="shop",dst_service="web",dst_revision="new"}[20s]))) / 1000',
    ]);
    expect(asked).toHaveLength(5);
    expect(asked.some((query) => query.includes('inbound'))).toBe(false);
  });

  test('reads the called pods only where no caller is meshed', async () => {
    const { asked, provider } = backend([
      [/outbound/, 'no-data'],
      [/unless.*classification="failure"/, 0],
      [/unless/, 80],
      [/histogram_quantile/, 0.01],
      [/success/, 1],
    ]);
    const verdict = await createJudge({ provider, templates }).look(input(), live());
    expect(verdict).toMatchObject({ decision: 'pass', requests: 80 });
    expect(verdict.metrics[0]?.query).toContain(
      'direction="inbound",namespace="shop",deployment="web",revision="new"',
    );
    expect(asked.length).toBeLessThanOrEqual(9);
  });

  test('where no caller was meshed before, both sides are asked for in one request, and the callers count once there are any', async () => {
    const rules = (callers: number | 'no-data'): [RegExp, number | Measurement['kind']][] => [
      [/outbound.*dst_revision/, callers],
      [/outbound/, callers],
      [/unless.*classification="failure"/, 0],
      [/histogram_quantile/, 0.01],
      [/success/, 1],
      [/unless/, 80],
    ];
    const first = backend(rules('no-data'));
    const { memory } = await createJudge({ provider: first.provider, templates }).look(input(), live());
    expect(first.rounds()).toBe(2);
    const second = backend(rules('no-data'));
    const again = await createJudge({ provider: second.provider, templates }).look(
      input({}, { memory }),
      live(),
    );
    expect(second.rounds()).toBe(1);
    expect(again).toMatchObject({ decision: 'pass', requests: 80, memory });
    const third = backend(rules(1));
    const meshed = await createJudge({ provider: third.provider, templates }).look(
      input({}, { memory }),
      live(),
    );
    expect(meshed.requests).toBe(1);
    expect(meshed.memory.$run).not.toHaveProperty('unmeshed');
  });

  test('meshed callers that send the canary nothing hold: the pods’ own view is not asked', async () => {
    const { asked, provider } = backend([
      [/unless|new/, 'no-data'],
      [/./, 500],
    ]);
    const verdict = await createJudge({ provider, templates }).look(input(), live());
    expect(verdict).toMatchObject({ decision: 'hold', requests: 0 });
    expect(asked.some((query) => query.includes('inbound'))).toBe(false);
  });

  test('a backend that is away holds and keeps what was known of the failed requests', async () => {
    const { provider } = backend([[/./, 'error']]);
    const memory = {
      'success-rate': { failures: 1 },
      $run: { failures: 0, startedAt: start, failedRequests: 7 },
    };
    const verdict = await createJudge({ provider, templates }).look(input({}, { memory }), live());
    expect(verdict).toMatchObject({
      decision: 'hold',
      reason: 'MetricError',
      failedRequests: 7,
      requests: undefined,
    });
    expect(verdict.memory).toMatchObject(memory);
  });

  test('a template is rendered; a missing one is an error that names it, and holds', async () => {
    const { provider, asked } = backend([
      [/orders/, 12],
      [/./, 100],
    ]);
    const metrics = [
      { name: 'orders', templateRef: { name: 'orders', args: { shop: 'a"b' } }, threshold: { min: 10 } },
      { name: 'gone', templateRef: { name: 'gone' }, threshold: { min: 10 } },
    ];
    const verdict = await createJudge({
      provider,
      templates: (namespace, name) =>
        name === 'orders'
          ? {
              apiVersion: 'weir.dev/v1alpha1',
              kind: 'MetricTemplate',
              metadata: { name, namespace },
              spec: { query: 'sum(orders{shop={{ shop }}}[{{ window }}])', args: [{ name: 'shop' }] },
            }
          : undefined,
    }).look(input({ metrics }), live());
    expect(asked).toContain('sum(orders{shop="a\\"b"}[20s])');
    expect(verdict.metrics).toMatchObject([{ verdict: 'pass', canary: 12 }, { verdict: 'error' }]);
    expect(verdict).toMatchObject({ decision: 'hold', reason: 'MetricError' });
    expect(verdict.message).toContain('there is no MetricTemplate "gone" in namespace shop');
  });
});

test('the window grows with the step, up to `over`, and never under two scrapes', () => {
  expect(judgedWindow(60_000, 500, 1000)).toBe(2500);
  expect(judgedWindow(60_000, 20_000, 1000)).toBe(20_000);
  expect(judgedWindow(60_000, 600_000, 1000)).toBe(60_000);
  expect(judgedWindow(60_000, 600_000, 30_000)).toBe(75_000);
});
