import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sameJson } from '../../lib/same-json.ts';
import { options, pod } from './fixtures.ts';
import { injectPodTemplate, skipReason, uninjectPodTemplate } from './patch.ts';
import type { EnvVar, PodLike } from './pod.ts';

test('a pod with one port and one caller, whole', () => {
  const injected = injectPodTemplate(pod([{ name: 'ORDERS', value: 'http://orders:8000/api?q=1' }]), options);
  expect(injected).toMatchSnapshot();
});

test('who is not injected, and why', () => {
  const marked = (value: string, extra = {}) => ({
    ...pod([], extra),
    metadata: { annotations: { 'weir.dev/inject': value } },
  });
  expect(skipReason(pod(), { enabled: true })).toBeUndefined();
  expect(skipReason(pod(), { enabled: false })).toMatch(/namespace/);
  expect(skipReason(marked('enabled'), { enabled: false })).toBeUndefined();
  expect(skipReason(marked('disabled'), { enabled: true })).toMatch(/disabled/);
  expect(skipReason(marked('enabled', { hostNetwork: true }), { enabled: true })).toMatch(/host network/);
  const labelled = { ...pod(), metadata: { labels: { 'weir.dev/inject': 'disabled' } } };
  expect(skipReason(labelled, { enabled: true })).toMatch(/disabled/);
  expect(skipReason(injectPodTemplate(pod(), options), { enabled: true })).toMatch(/already/);
});

const envVar: fc.Arbitrary<Omit<EnvVar, 'name'>> = fc.oneof(
  fc.record({
    value: fc.constantFrom('http://orders', 'http://web:8080/x', 'http://example.com', 'plain', '', '$(X)'),
  }),
  fc.constant({ valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }),
);
const container = fc.record({
  env: fc.option(
    fc.uniqueArray(fc.tuple(fc.constantFrom('A', 'B', 'POD_IP', 'C'), envVar), {
      selector: ([name]) => name,
    }),
    { nil: undefined },
  ),
  ports: fc.option(
    fc.array(fc.integer({ min: 4140, max: 4150 }).map((containerPort) => ({ containerPort }))),
    { nil: undefined },
  ),
  livenessProbe: fc.option(
    fc.oneof(
      fc.record({ tcpSocket: fc.record({ port: fc.constantFrom<number | string>(80, 'web') }) }),
      fc.record({ httpGet: fc.constant({ port: 80 }) }),
    ),
    { nil: undefined },
  ),
});
const anyPod: fc.Arbitrary<PodLike> = fc
  .record({
    containers: fc.array(container, { minLength: 1, maxLength: 3 }),
    annotations: fc.option(
      fc.dictionary(
        fc.constantFrom('a', 'prometheus.io/scrape', 'config.weir.dev/outbound'),
        fc.constant('web'),
      ),
      { nil: undefined },
    ),
    metadata: fc.boolean(),
    volumes: fc.option(
      fc.constantFrom<NonNullable<PodLike['spec']>['volumes']>([], [{ name: 'data', emptyDir: {} }]),
      { nil: undefined },
    ),
    initContainers: fc.option(
      fc.constantFrom<NonNullable<PodLike['spec']>['initContainers']>([], [{ name: 'init' }]),
      { nil: undefined },
    ),
    sidecar: fc.constantFrom('container' as const, 'native' as const),
  })
  .map(
    ({ containers, annotations, metadata, volumes, initContainers }): PodLike => ({
      ...(metadata ? { metadata: annotations ? { annotations } : {} } : {}),
      spec: {
        containers: containers.map(({ env, ports, livenessProbe }, index) => ({
          name: `c${index}`,
          ...(env ? { env: env.map(([name, rest]) => ({ name, ...rest })) } : {}),
          ...(ports ? { ports } : {}),
          ...(livenessProbe ? { livenessProbe } : {}),
        })),
        ...(volumes ? { volumes } : {}),
        ...(initContainers ? { initContainers } : {}),
      },
    }),
  );

describe('for any pod', () => {
  test.each([
    ['container', 'explicit'],
    ['native', 'explicit'],
    ['container', 'transparent'],
    ['native', 'transparent'],
  ] as const)('uninject(inject(x)) is x, inject is idempotent (%s, %s)', (sidecar, interception) => {
    fc.assert(
      fc.property(anyPod, (own) => {
        const before = JSON.stringify(own);
        const injected = injectPodTemplate(own, { ...options, sidecar, interception });
        expect(JSON.stringify(own)).toBe(before);
        expect(sameJson(injected, own)).toBe(false);
        expect(injectPodTemplate(injected, { ...options, sidecar, interception })).toBe(injected);
        expect(uninjectPodTemplate(injected)).toEqual(own);
        expect(uninjectPodTemplate(own)).toBe(own);
      }),
      { numRuns: 300 },
    );
  });
});
