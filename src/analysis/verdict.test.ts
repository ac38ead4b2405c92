import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { rolloutSpecSchema } from '../api/rollout.ts';
import type { JudgeMemory, Measurement } from './ports.ts';
import { decide, limitIn, type MetricReading } from './verdict.ts';

const analysis = (input: object) =>
  rolloutSpecSchema.parse({
    targetRef: { name: 'web' },
    service: { name: 'web', port: 80 },
    strategy: { canary: { weights: [10] } },
    analysis: input,
  }).analysis;

const value = (number: number): Measurement => ({ kind: 'value', value: number, query: 'q' });
const noData: Measurement = { kind: 'no-data', query: 'q', message: 'no requests' };
const broken: Measurement = { kind: 'error', query: 'q', message: 'cannot be reached' };

function look(
  input: object,
  canary: Measurement,
  {
    stable,
    requests = 100,
    memory = {},
    alone = false,
  }: { stable?: Measurement; requests?: number; memory?: JudgeMemory; alone?: boolean } = {},
) {
  const spec = analysis(input);
  const readings: MetricReading[] = spec.metrics.map((metric) => ({
    spec: metric,
    unit: metric.name === 'latency' ? 'seconds' : metric.name === 'success-rate' ? 'ratio' : 'count',
    canary,
    ...(stable ? { stable } : {}),
  }));
  return decide({ spec, readings, requests, memory, alone, at: '2026-01-05T12:00:00Z' });
}

const rate = (more: object = {}) => ({
  metrics: [{ name: 'success-rate', threshold: { min: '99%' }, ...more }],
});

describe('thresholds', () => {
  test('99% of requests is enough, a hair less is not', () => {
    expect(look(rate(), value(0.99))).toMatchObject({ decision: 'pass', reason: 'MetricsPassed' });
    expect(look(rate(), value(0.9899))).toMatchObject({ decision: 'hold', reason: 'MetricFailing' });
  });

  test.each([
    ['99.9%', 999 / 1000],
    ['93%', (93 * 1.1) / (100 * 1.1)],
  ])('who is exactly at %s passes, whatever two divisions made of it', (min, number) => {
    expect(look(rate({ threshold: { min } }), value(number))).toMatchObject({ decision: 'pass' });
  });

  test('and at a latency', () => {
    const decided = (seconds: number) =>
      look({ metrics: [{ name: 'latency', threshold: { max: '300ms' } }] }, value(seconds)).decision;
    expect([decided(0.1 + 0.2), decided(0.30001)]).toEqual(['pass', 'hold']);
  });

  test('only failureLimit failed looks in a row roll back, and the message says why', () => {
    let memory: JudgeMemory = {};
    const decisions = [0.9, 0.9, 1, 0.9, 0.9, 0.9].map((number) => {
      const verdict = look(rate(), value(number), { memory });
      memory = verdict.memory;
      return verdict;
    });
    expect(decisions.map(({ decision }) => decision)).toEqual([
      'hold',
      'hold',
      'pass',
      'hold',
      'hold',
      'fail',
    ]);
    expect(decisions.at(-1)?.message).toBe('success-rate: 90%, must be >= 99%, 3 looks in a row');
    expect(memory).toEqual({ 'success-rate': { failures: 3 } });
  });

  test('two of one name, such as a latency at two quantiles, are counted apart, each by its own limit', () => {
    const spec = analysis({
      metrics: [
        { name: 'latency', quantile: 0.99, threshold: { max: '500ms' }, failureLimit: 2 },
        { name: 'latency', quantile: 0.5, threshold: { max: '100ms' }, failureLimit: 5 },
      ],
    });
    const [slow, usual] = spec.metrics as [MetricReading['spec'], MetricReading['spec']];
    const readings: MetricReading[] = [
      { spec: slow, unit: 'seconds', canary: value(0.7) },
      { spec: usual, unit: 'seconds', canary: value(0.05) },
    ];
    const at = '2026-01-05T12:00:00Z';
    const first = decide({ spec, readings, requests: 100, memory: {}, at });
    expect(first.message).toContain('failed look 1 of 2');
    const second = decide({ spec, readings, requests: 100, memory: first.memory, at });
    expect(second).toMatchObject({
      decision: 'fail',
      message: 'latency: 700ms, must be <= 500ms, 2 looks in a row',
    });
  });

  test('an error neither fails nor forgives: the count of failures stays', () => {
    const memory = { 'success-rate': { failures: 2 } };
    const verdict = look(rate(), broken, { memory });
    expect(verdict).toMatchObject({ decision: 'hold', reason: 'MetricError', memory });
    expect(verdict.message).toContain('cannot be reached');
  });

  test('a latency fails on a quantile above the limit, but not before the step has its requests', () => {
    const latency = {
      minRequests: 50,
      metrics: [{ name: 'latency', threshold: { max: '500ms' }, failureLimit: 1 }],
    };
    expect(look(latency, value(0.5))).toMatchObject({ decision: 'pass' });
    expect(look(latency, value(0.6))).toMatchObject({ decision: 'fail', reason: 'MetricFailed' });
    expect(look(latency, value(0.6), { requests: 3 })).toMatchObject({
      decision: 'hold',
      reason: 'TooFewRequests',
    });
    expect(look(rate({ failureLimit: 1 }), value(0.5), { requests: 3 })).toMatchObject({ decision: 'fail' });
  });

  test('limits are read in the unit of the value', () => {
    expect(limitIn('ratio', '99%')).toBeCloseTo(0.99);
    expect(limitIn('percent', '99%')).toBe(99);
    expect(limitIn('seconds', '500ms')).toBe(0.5);
    expect(limitIn('milliseconds', '500ms')).toBe(500);
    expect(limitIn('count', 7)).toBe(7);
  });
});

describe('missing data and missing requests', () => {
  test('no data holds by default, passes or fails where the spec says so, per metric first', () => {
    expect(look(rate(), noData)).toMatchObject({ decision: 'hold', reason: 'NoData' });
    expect(look({ ...rate(), noData: 'pass' }, noData)).toMatchObject({ decision: 'pass' });
    expect(look(rate({ noData: 'fail', failureLimit: 1 }), noData)).toMatchObject({ decision: 'fail' });
    expect(look({ ...rate({ noData: 'hold' }), noData: 'fail' }, noData)).toMatchObject({ decision: 'hold' });
  });

  test('no traffic never passes a step that wants requests, whatever noData says', () => {
    expect(look({ ...rate(), noData: 'pass' }, noData, { requests: 0 })).toMatchObject({
      decision: 'hold',
      reason: 'TooFewRequests',
      message: '0 of 50 requests to the canary in this step',
    });
    expect(look({ ...rate(), noData: 'pass', minRequests: 0 }, noData, { requests: 0 }).decision).toBe(
      'pass',
    );
  });
});

describe('canary against stable', () => {
  const compared = (tolerance: object) => ({
    metrics: [{ name: 'success-rate', compare: { to: 'stable', tolerance }, failureLimit: 1 }],
  });

  test('an incident that hits both is no failure of the canary', () => {
    expect(look(compared({ absolute: '0.1%' }), value(0.8), { stable: value(0.8) }).decision).toBe('pass');
  });

  test('worse than the tolerance fails and names both sides', () => {
    const verdict = look(compared({ ratio: 2, absolute: '0.5%' }), value(0.97), { stable: value(0.99) });
    expect(verdict.decision).toBe('fail');
    expect(verdict.message).toBe('success-rate: 97%, must be >= 97.5% because stable has 99%');
    expect(look(compared({ ratio: 2, absolute: '1%' }), value(0.97), { stable: value(0.99) }).decision).toBe(
      'pass',
    );
  });

  test('latency compares seconds, with an absolute tolerance in time', () => {
    const spec = {
      metrics: [
        {
          name: 'latency',
          compare: { to: 'stable', tolerance: { ratio: 1.2, absolute: '20ms' } },
          failureLimit: 1,
        },
      ],
    };
    expect(look(spec, value(0.139), { stable: value(0.1) }).decision).toBe('pass');
    expect(look(spec, value(0.15), { stable: value(0.1) }).decision).toBe('fail');
  });

  test('without data of stable there is nothing to compare with: hold', () => {
    expect(look(compared({}), value(0.5), { stable: noData })).toMatchObject({ decision: 'hold' });
  });

  test('a limit of its own is not kept: that fails, with or without data of stable', () => {
    const both = { metrics: [{ ...compared({ absolute: '1%' }).metrics[0], threshold: { min: '99%' } }] };
    expect(look(both, value(0.5), { stable: noData })).toMatchObject({ decision: 'fail' });
    expect(look(both, value(0.995), { stable: noData })).toMatchObject({ decision: 'hold' });
  });

  test('at 100 % stable has no requests any more: it is what it was before, for as long as it takes', () => {
    const spec = compared({ absolute: '1%' });
    const { memory } = look(spec, value(0.99), { stable: value(0.99) });
    const later = (number: number, stable: Measurement = noData, kept = memory) =>
      look(spec, value(number), { stable, memory: kept, alone: true });
    expect(later(0.5)).toMatchObject({ decision: 'fail', metrics: [{ stable: 0.99 }] });
    const passed = later(0.985);
    expect(passed.decision).toBe('pass');
    expect(later(0.5, noData, passed.memory).decision).toBe('fail');
    // The last few requests that were on their way are not what it was; and who cannot ask does not know.
    expect(later(0.985, value(1)).decision).toBe('pass');
    expect(later(0.985, broken).decision).toBe('hold');
    expect(later(0.5, noData, {}).decision).toBe('hold');
  });
});

test('never passes with fewer requests than asked for, never fails with fewer failures in a row than the limit', () => {
  const measurement = fc.oneof(
    fc.double({ min: 0, max: 1, noNaN: true }).map(value),
    fc.constant(noData),
    fc.constant(broken),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(measurement, fc.nat(200)), { maxLength: 30 }),
      fc.integer({ min: 1, max: 5 }),
      (looks, failureLimit) => {
        let memory: JudgeMemory = {};
        let inARow = 0;
        for (const [canary, requests] of looks) {
          const verdict = look(rate({ failureLimit }), canary, { requests, memory });
          memory = verdict.memory;
          if (canary.kind === 'value') inARow = canary.value < 0.99 ? inARow + 1 : 0;
          if (verdict.decision === 'pass') expect(requests).toBeGreaterThanOrEqual(50);
          expect(verdict.decision === 'fail').toBe(canary.kind === 'value' && inARow >= failureLimit);
        }
      },
    ),
  );
});
