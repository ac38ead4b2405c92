import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { applyChanges } from './client/apply.ts';
import { diffDestination } from './diff.ts';
import type { Backend, Destination } from './model.ts';

const sorted = <T>(items: T[], key: (item: T) => string): T[] =>
  items.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));

const optional = (value: fc.Arbitrary<string>) => fc.option(value, { nil: undefined });

const endpoint = fc
  .record({
    address: fc.integer({ min: 1, max: 6 }).map((last) => `10.0.0.${last}:80`),
    identity: optional(fc.constantFrom('spiffe://a', 'spiffe://b')),
    revision: optional(fc.constantFrom('v1', 'v2')),
  })
  .map(({ address, identity, revision }) => ({
    address,
    ...(identity ? { identity } : {}),
    ...(revision ? { revision } : {}),
  }));

const backend: fc.Arbitrary<Backend> = fc
  .record({
    name: fc.constantFrom('web', 'web-stable', 'web-canary', 'web-old'),
    weight: fc.integer({ min: 0, max: 3 }),
    revision: optional(fc.constantFrom('v1', 'v2')),
    endpoints: fc.uniqueArray(endpoint, { selector: ({ address }) => address, maxLength: 6 }),
  })
  .map(({ revision, endpoints, ...rest }) => ({
    ...rest,
    ...(revision ? { revision } : {}),
    endpoints: sorted(endpoints, ({ address }) => address),
  }));

const destination: fc.Arbitrary<Destination> = fc
  .record({
    backends: fc.uniqueArray(backend, { selector: ({ name }) => name, maxLength: 4 }),
    split: fc.option(fc.constantFrom('1', '2', '3'), { nil: undefined }),
    policy: fc.constantFrom<Destination['policy']>({}, { timeout: 5 }, { maxInFlight: 1, timeout: 5 }),
  })
  .map(({ backends, split, policy }) => ({
    key: 'web.shop:80',
    namespace: 'shop',
    protocol: 'detect' as const,
    backends: sorted(backends, ({ name }) => name),
    policy,
    ...(split
      ? { split: { name: 'shop/web', version: split, leaseSeconds: 15, fallback: 'web-stable' } }
      : {}),
  }));

test('applying a diff to the old state gives the new one, also after JSON', () => {
  fc.assert(
    fc.property(destination, destination, (from, to) => {
      const changes = diffDestination(from, to)!;
      expect(applyChanges(from, JSON.parse(JSON.stringify(changes)))).toEqual(to);
    }),
    { numRuns: 500 },
  );
});

test('equal states differ in nothing', () => {
  fc.assert(
    fc.property(destination, (state) => {
      expect(diffDestination(state, structuredClone(state))).toEqual([]);
    }),
  );
});

test('a weight change says weights and split, not endpoints', () => {
  const from: Destination = {
    key: 'web.shop:80',
    namespace: 'shop',
    protocol: 'detect',
    policy: {},
    backends: [
      { name: 'web-canary', weight: 0, endpoints: [{ address: '10.0.0.1:80' }] },
      { name: 'web-stable', weight: 100, endpoints: [{ address: '10.0.0.2:80' }] },
    ],
    split: { name: 'shop/web', version: '1', leaseSeconds: 15, fallback: 'web-stable' },
  };
  const to = structuredClone(from);
  to.backends[0]!.weight = 5;
  to.backends[1]!.weight = 95;
  to.split!.version = '2';
  expect(diffDestination(from, to)).toEqual([
    { set: 'split', split: to.split, weights: { 'web-canary': 5, 'web-stable': 95 } },
  ]);
});

test('another protocol, and no destination at all, need a snapshot', () => {
  const state: Destination = {
    key: 'a.b:1',
    namespace: 'b',
    protocol: 'detect',
    backends: [],
    policy: {},
  };
  expect(diffDestination(state, { ...state, protocol: 'tcp' })).toBeUndefined();
  expect(diffDestination(null, state)).toBeUndefined();
  expect(diffDestination(state, null)).toBeUndefined();
});

test('a policy change says the policy and nothing else', () => {
  const from: Destination = {
    key: 'web.shop:80',
    namespace: 'shop',
    protocol: 'detect',
    policy: { timeout: 5 },
    backends: [{ name: 'web', weight: 1, endpoints: [{ address: '10.0.0.1:80' }] }],
  };
  expect(diffDestination(from, { ...from, policy: {} })).toEqual([{ set: 'policy', policy: {} }]);
});
