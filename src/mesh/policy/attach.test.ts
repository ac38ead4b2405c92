import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { POLICY_SETTINGS } from '../../api/traffic-policy.ts';
import { effectivePolicy, outcomes, type PolicySource } from './attach.ts';
import { trafficPolicy } from './fixtures.ts';
import { readPolicy } from './read.ts';

const HTTP = { name: 'http', port: 80 };
const ADMIN = { name: 'admin', port: 9000 };

function source(...args: Parameters<typeof trafficPolicy>): PolicySource {
  const read = readPolicy(trafficPolicy(...args));
  if ('problem' in read) throw new Error(read.problem);
  return read.source;
}

describe('the policy of a destination', () => {
  test('without policies is empty', () => {
    expect(effectivePolicy([], 'web', HTTP)).toEqual({});
    expect(
      effectivePolicy([source('other', { maxInFlight: 1 }, { targetRefs: [{ name: 'api' }] })], 'web', HTTP),
    ).toEqual({});
  });

  test('different settings of several policies add up; the same setting comes whole from the oldest', () => {
    const policies = [
      source(
        'younger',
        { retries: { max: 5, retryOn: ['5xx'] }, maxInFlight: 7 },
        { created: '2026-02-01T00:00:00Z' },
      ),
      source('older', { timeouts: { request: '2s' }, retries: { max: 1 } }),
    ];
    expect(effectivePolicy(policies, 'web', HTTP)).toEqual({
      timeout: 2000,
      retries: { max: 1, on: ['connect'] },
      maxInFlight: 7,
    });
  });

  test('of the same age the first by name rules', () => {
    const policies = [source('b', { maxInFlight: 2 }), source('a', { maxInFlight: 1 })];
    expect(effectivePolicy(policies, 'web', HTTP)).toEqual({ maxInFlight: 1 });
  });

  test('a policy for a port, by name or number, goes before an older one for the Service, at that port alone', () => {
    for (const ref of [{ sectionName: 'http' }, { port: 80 }]) {
      const policies = [
        source('all', { maxInFlight: 1, rateLimit: { perSecond: 5 } }),
        source(
          'port',
          { maxInFlight: 2 },
          { created: '2026-02-01T00:00:00Z', targetRefs: [{ name: 'web', ...ref }] },
        ),
      ];
      expect(effectivePolicy(policies, 'web', HTTP)).toEqual({
        maxInFlight: 2,
        rateLimit: { perSecond: 5, burst: 5 },
      });
      expect(effectivePolicy(policies, 'web', ADMIN)).toEqual({
        maxInFlight: 1,
        rateLimit: { perSecond: 5, burst: 5 },
      });
    }
  });

  test('a port without a name is meant by its number and by the Service, not by a name', () => {
    const policies = [
      source('named', { maxInFlight: 1 }, { targetRefs: [{ name: 'web', sectionName: 'http' }] }),
    ];
    expect(effectivePolicy(policies, 'web', { port: 80 })).toEqual({});
  });
});

describe('any policies', () => {
  const setting = fc.constantFrom(
    { timeouts: { request: '1s' } },
    { timeouts: { request: '2s', backendRequest: '1s' } },
    { retries: { max: 1 } },
    { retries: { max: 2, retryOn: ['5xx'] } },
    { maxInFlight: 1 },
    { maxInFlight: 2 },
    { fault: { abort: { percent: 1 } } },
    { balancer: { zones: 'ignore' } },
  );
  const policies = fc.uniqueArray(
    fc
      .record({
        name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
        settings: fc.array(setting, { minLength: 1, maxLength: 3 }),
        day: fc.integer({ min: 1, max: 3 }),
        ref: fc.constantFrom(
          { name: 'web' },
          { name: 'web', port: 80 },
          { name: 'web', sectionName: 'admin' },
          { name: 'api' },
        ),
      })
      .map(({ name, settings, day, ref }) =>
        source(name, Object.assign({}, ...settings) as object, {
          created: `2026-01-0${day}T00:00:00Z`,
          targetRefs: [ref],
        }),
      ),
    { selector: ({ name }) => name, maxLength: 5 },
  );
  const shuffled = policies.chain((all) =>
    fc.record({
      all: fc.constant(all),
      other: fc.shuffledSubarray(all, { minLength: all.length }),
      port: fc.constantFrom(HTTP, ADMIN, { port: 7 }),
    }),
  );

  test('rule alike in whatever order they come', () => {
    fc.assert(
      fc.property(shuffled, ({ all, other, port }) => {
        expect(effectivePolicy(other, 'web', port)).toEqual(effectivePolicy(all, 'web', port));
        for (const each of all)
          expect([...outcomes(other, 'web', port, each)]).toEqual([...outcomes(all, 'web', port, each)]);
      }),
    );
  });

  test('each setting that somebody has is ruled by exactly one, which nobody else goes before, and whole', () => {
    fc.assert(
      fc.property(shuffled, ({ all, port }) => {
        const policy = effectivePolicy(all, 'web', port) as Record<string, unknown>;
        for (const name of POLICY_SETTINGS) {
          const told = all.flatMap((each) => {
            const outcome = outcomes(all, 'web', port, each).get(name);
            return outcome ? [{ each, outcome }] : [];
          });
          const winners = told.filter(({ outcome }) => outcome.kind === 'rules');
          expect(winners).toHaveLength(told.length > 0 ? 1 : 0);
          const field = name === 'timeouts' ? 'timeout' : name;
          const wanted = winners[0]?.each.spec[name];
          expect(policy[field]).toEqual(
            name === 'timeouts' ? winners[0]?.each.spec.timeouts?.request : wanted,
          );
          for (const { outcome } of told)
            if (outcome.kind !== 'rules') expect(outcome.by).toBe(winners[0]!.each);
        }
      }),
    );
  });

  test('a policy that comes or goes changes its own settings alone', () => {
    fc.assert(
      fc.property(shuffled, ({ all, port }) => {
        const [gone, ...rest] = all;
        if (!gone) return;
        const before = effectivePolicy(all, 'web', port) as Record<string, unknown>;
        const after = effectivePolicy(rest, 'web', port) as Record<string, unknown>;
        for (const name of POLICY_SETTINGS) {
          const field = name === 'timeouts' ? 'timeout' : name;
          if (gone.spec[name] === undefined) expect(after[field]).toEqual(before[field]);
        }
      }),
    );
  });
});
