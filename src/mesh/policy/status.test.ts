import { describe, expect, test } from '@jest/globals';
import type { TrafficPolicy } from '../../api/traffic-policy.ts';
import type { PolicySource, TargetPort } from './attach.ts';
import { trafficPolicy } from './fixtures.ts';
import { readPolicy } from './read.ts';
import { policyStatus } from './status.ts';

const NOW = Date.UTC(2026, 5, 1);
const PORTS: Record<string, TargetPort[]> = {
  'shop/web': [
    { name: 'http', port: 80 },
    { name: 'admin', port: 9000 },
  ],
  'shop/api': [{ port: 80 }],
};

function statusOf(object: TrafficPolicy, others: TrafficPolicy[] = []) {
  const sources = [object, ...others].flatMap((each): PolicySource[] => {
    const read = readPolicy(each);
    return 'source' in read ? [read.source] : [];
  });
  return policyStatus(
    object,
    readPolicy(object),
    {
      portsOf: (service) => PORTS[service],
      policiesOf: (service) =>
        sources.filter(({ spec }) => spec.targetRefs.some(({ name }) => `shop/${name}` === service)),
    },
    NOW,
  );
}

const told = (object: TrafficPolicy, others: TrafficPolicy[] = []) =>
  statusOf(object, others).conditions.map(
    ({ type, status, reason, message }) => `${type} ${status} ${reason}: ${message}`,
  );

const later = { created: '2026-02-01T00:00:00Z' };

describe('the status of a policy', () => {
  test('that rules says so, at each target, with the generation it is about', () => {
    const object = trafficPolicy(
      'base',
      { maxInFlight: 5 },
      { targetRefs: [{ name: 'web', sectionName: 'http' }] },
    );
    const accepted = {
      type: 'Accepted',
      status: 'True',
      reason: 'Accepted',
      message: 'rules Service web:http',
      lastTransitionTime: '2026-06-01T00:00:00Z',
      observedGeneration: 1,
    };
    expect(statusOf(object)).toEqual({
      observedGeneration: 1,
      conditions: [accepted],
      ancestors: [
        {
          ancestorRef: { group: '', kind: 'Service', name: 'web', sectionName: 'http' },
          controllerName: 'weir.dev/mesh',
          conditions: [accepted],
        },
      ],
    });
  });

  test('keeps the time of a condition that stays, and counts from now when it turns', () => {
    const object = trafficPolicy('base', { maxInFlight: 5 });
    const first = statusOf(object);
    first.conditions[0]!.lastTransitionTime = '2026-03-03T00:00:00Z';
    first.ancestors[0]!.conditions[0]!.lastTransitionTime = '2026-03-03T00:00:00Z';
    expect(statusOf({ ...object, status: first })).toEqual(first);
    const older = trafficPolicy('a', { maxInFlight: 1 }, { created: '2025-01-01T00:00:00Z' });
    expect(statusOf({ ...object, status: first }, [older]).conditions[0]).toMatchObject({
      status: 'False',
      lastTransitionTime: '2026-06-01T00:00:00Z',
    });
  });

  test('whose target is not there names it, and what there is', () => {
    expect(told(trafficPolicy('p', { maxInFlight: 5 }, { targetRefs: [{ name: 'nobody' }] }))).toEqual([
      'Accepted False TargetNotFound: Service shop/nobody does not exist: check targetRefs',
    ]);
    expect(told(trafficPolicy('p', { maxInFlight: 5 }, { targetRefs: [{ name: 'web', port: 81 }] }))).toEqual(
      ['Accepted False TargetNotFound: Service shop/web has no port 81: it has http (80), admin (9000)'],
    );
    const both = trafficPolicy(
      'p',
      { maxInFlight: 5 },
      { targetRefs: [{ name: 'nobody' }, { name: 'web' }] },
    );
    expect(told(both)).toEqual([
      'Accepted False TargetNotFound: Service shop/nobody does not exist: check targetRefs',
    ]);
    expect(statusOf(both).ancestors.map(({ conditions }) => conditions[0]!.status)).toEqual([
      'False',
      'True',
    ]);
  });

  test('that lost every setting to an older one is Conflicted, and names the winner and the fields', () => {
    const winner = trafficPolicy('base', { maxInFlight: 5, retries: { max: 1 } });
    const loser = trafficPolicy('mine', { maxInFlight: 9 }, later);
    expect(told(loser, [winner])).toEqual([
      'Accepted False Conflicted: older policies rule Service shop/web: maxInFlight (TrafficPolicy base)',
      'Conflicted True OlderPolicyRules: for Service web older policies have maxInFlight (TrafficPolicy base): delete it here or there',
    ]);
    expect(told(winner, [loser])).toEqual(['Accepted True Accepted: rules Service web']);
  });

  test('that lost some settings is accepted for the others', () => {
    const winner = trafficPolicy('base', { maxInFlight: 5 }, { targetRefs: [{ name: 'web', port: 80 }] });
    const loser = trafficPolicy(
      'mine',
      { maxInFlight: 9, retries: { max: 1 } },
      { ...later, targetRefs: [{ name: 'web', sectionName: 'http' }] },
    );
    expect(told(loser, [winner])).toEqual([
      'Accepted True Accepted: rules Service web:http',
      'Conflicted True OlderPolicyRules: for Service web:http older policies have maxInFlight (TrafficPolicy base): delete it here or there',
    ]);
  });

  test('for a Service is overridden at the ports that others name', () => {
    const all = trafficPolicy('all', { maxInFlight: 5 });
    const port = trafficPolicy(
      'port',
      { maxInFlight: 9 },
      { ...later, targetRefs: [{ name: 'web', port: 80 }] },
    );
    expect(told(all, [port])).toEqual([
      'Accepted True Accepted: rules Service web',
      'Overridden True PortPolicyRules: for Service web policies that name the port have maxInFlight (TrafficPolicy port, port 80)',
    ]);
    const whole = trafficPolicy('api', { maxInFlight: 1 }, { targetRefs: [{ name: 'api' }] });
    const only = trafficPolicy(
      'only',
      { maxInFlight: 2 },
      { ...later, targetRefs: [{ name: 'api', port: 80 }] },
    );
    expect(told(whole, [only])[0]).toBe('Accepted True Accepted: rules nothing at Service api');
  });

  test('that cannot be understood names the field', () => {
    expect(
      told(trafficPolicy('bad', { breaker: { consecutive: 0 }, timeouts: { request: 'soon' } })),
    ).toEqual([
      expect.stringMatching(
        /^Accepted False Invalid: nothing of it is in effect: spec\.timeouts\.request: must be a duration.*; spec\.breaker: give/,
      ),
    ]);
  });
});
