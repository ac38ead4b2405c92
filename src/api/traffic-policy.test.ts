import { describe, expect, test } from '@jest/globals';
import { trafficPolicySpecSchema } from './traffic-policy.ts';

const targetRefs = [{ name: 'web' }];
const issues = (spec: object) =>
  trafficPolicySpecSchema
    .safeParse({ targetRefs, ...spec })
    .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];

describe('a TrafficPolicy', () => {
  test('is read as proxies have it: milliseconds, shares, every default', () => {
    expect(
      trafficPolicySpecSchema.parse({
        targetRefs: [{ name: 'web' }, { name: 'api', sectionName: 'http' }],
        timeouts: { request: '1m30s500ms', backendRequest: '30s' },
        retries: { max: 2, retryOn: ['connect', '5xx'], budget: { percent: 5 } },
        breaker: { successRate: 90 },
        rateLimit: { perSecond: 2.5 },
        maxInFlight: 10,
        fault: {
          headers: [{ name: 'X-Fault-Test', value: 'Alice' }],
          abort: { percent: 1 },
          delay: { percent: 0.5, for: '250ms' },
        },
        balancer: {},
      }),
    ).toEqual({
      targetRefs: [
        { group: '', kind: 'Service', name: 'web' },
        { group: '', kind: 'Service', name: 'api', sectionName: 'http' },
      ],
      timeouts: { request: 90_500, backendRequest: 30_000 },
      retries: { max: 2, on: ['connect', '5xx'], budget: { percent: 5, minPerSecond: 10 } },
      breaker: { consecutive: 5, successRate: 0.9, minRequests: 20, window: 10_000, eject: 10_000 },
      rateLimit: { perSecond: 2.5, burst: 3 },
      maxInFlight: 10,
      fault: {
        headers: [{ name: 'x-fault-test', value: 'Alice' }],
        abort: { percent: 1, status: 503 },
        delay: { percent: 0.5, for: 250 },
      },
      balancer: { zones: 'prefer' },
    });
  });

  test.each([
    [{}, ': give at least one of timeouts, retries'],
    [{ targetRefs: [], maxInFlight: 1 }, 'targetRefs: '],
    [{ targetRefs: [{ name: 'web', port: 80, sectionName: 'http' }], maxInFlight: 1 }, 'targetRefs.0: give'],
    [{ targetRefs: [{ name: 'web' }, { name: 'web' }], maxInFlight: 1 }, 'targetRefs: the same target'],
    [{ targetRefs: [{ kind: 'Deployment', name: 'web' }], maxInFlight: 1 }, 'targetRefs.0.kind: '],
    [{ timeouts: {} }, 'timeouts: give request'],
    [{ timeouts: { request: 'soon' } }, 'timeouts.request: must be a duration such as 500ms'],
    [{ timeouts: { request: '1.5s' } }, 'timeouts.request: must be a duration'],
    [{ timeouts: { request: '2h' } }, 'timeouts.request: must be at most 1h'],
    [{ timeouts: { backendRequest: 'soon' } }, 'timeouts.backendRequest: must be a duration'],
    [
      { timeouts: { request: '1s', backendRequest: '2s' } },
      'timeouts.backendRequest: must be at most request',
    ],
    [{ retries: { max: 11 } }, 'retries.max: '],
    [{ retries: { max: 1, retryOn: ['4xx'] } }, 'retries.retryOn.0: '],
    [{ breaker: { consecutive: 0 } }, 'breaker: give consecutive or successRate'],
    [{ breaker: { window: '0s' } }, 'breaker.window: must be more than 0'],
    [{ rateLimit: { perSecond: 0 } }, 'rateLimit.perSecond: '],
    [{ fault: {} }, 'fault: give abort, delay or both'],
    [{ fault: { headers: [{ name: 'x-a', value: 'b' }] } }, 'fault: give abort, delay or both'],
    [{ fault: { headers: [], abort: { percent: 1 } } }, 'fault.headers: give at least one header'],
    [
      { fault: { headers: [{ name: 'x a', value: 'b' }], abort: { percent: 1 } } },
      'fault.headers.0.name: must be the name of a request header',
    ],
    [
      { fault: { headers: [{ name: 'Host', value: 'b' }], abort: { percent: 1 } } },
      'fault.headers.0.name: must be another header than host',
    ],
    [{ fault: { abort: { percent: 101 } } }, 'fault.abort.percent: a percentage is 0 to 100'],
    [{ fault: { delay: { percent: 1 } } }, 'fault.delay.for: '],
    [{ balancer: { zones: 'some' } }, 'balancer.zones: '],
    [{ retry: {} }, ': unknown field "retry": the fields here are targetRefs, '],
  ])('that is wrong names the field: %j', (spec, problem) => {
    const found = issues(spec);
    expect(found.filter((each) => each.startsWith(problem))).not.toEqual([]);
  });
});
