import { describe, expect, test } from '@jest/globals';
import { options, pod, proxyEnv } from './fixtures.ts';
import type { InjectOptions } from './options.ts';
import { injectPodTemplate, uninjectPodTemplate } from './patch.ts';

test('tracing is the mesh’s unless the pod says otherwise; the access log is for who asks', () => {
  const names = ['WEIR_TRACE_OTLP', 'WEIR_TRACE_SAMPLE', 'WEIR_ACCESS_LOG'];
  const env = (annotations: Record<string, string>, more: Partial<InjectOptions> = {}) => {
    const plain = pod();
    const asked = { ...plain, metadata: { ...plain.metadata, annotations } };
    const injected = injectPodTemplate(asked, { ...options, ...more });
    return names.map((name) => proxyEnv(injected, name));
  };
  const traceOtlp = 'http://collector:4318/v1/traces';
  expect(env({})).toEqual([undefined, undefined, undefined]);
  expect(env({}, { traceOtlp, traceSample: '0.5' })).toEqual([traceOtlp, '0.5', undefined]);
  expect(env({ 'config.weir.dev/trace-otlp': 'off' }, { traceOtlp })[0]).toBeUndefined();
  expect(env({}, { defaults: { 'config.weir.dev/access-log': 'stdout' } })[2]).toBe('stdout');
});

describe('limits of the proxy', () => {
  const LIMITS = 'config.weir.dev/proxy-limits';
  const limited = (own: Record<string, string>, defaults: Record<string, string> = {}) => {
    const plain = pod();
    const asked = { ...plain, metadata: { ...plain.metadata, annotations: own } };
    const text = proxyEnv(injectPodTemplate(asked, { ...options, defaults }), 'WEIR_LIMITS');
    return text === undefined ? undefined : (JSON.parse(text) as unknown);
  };

  test('are the pod’s, or the namespace’s, by the names of the file; YAML or JSON', () => {
    expect(limited({})).toBeUndefined();
    expect(limited({ [LIMITS]: '{}' })).toBeUndefined();
    expect(
      limited({ [LIMITS]: 'headerBytes: 32768\nbodyIdle: 1m\nresets: {burst: 100, perSecond: 10}\n' }),
    ).toEqual({
      bytes: 32_768,
      bodyIdle: 60_000,
      resets: [100, 10],
    });
    const namespace = { [LIMITS]: '{"inFlight": 5}' };
    expect(limited({}, namespace)).toEqual({ inFlight: 5 });
    expect(limited({ [LIMITS]: '{"connections": 7}' }, namespace)).toEqual({ connections: 7 });
  });

  test.each([
    ['{headerByte: 1024}', /proxy-limits is not valid: headerByte: no such limit; there are headerBytes, /],
    ['{headerBytes: 10}', /headerBytes: .*1024/],
    ['{bodyIdle: 90}', /bodyIdle: /],
    ['{bodyIdle: soon, inFlight: 0}', /bodyIdle: write a number and a unit.*; inFlight: /],
    ['{control: {burst: 5}}', /control\.perSecond: /],
    ['many', /all of it: /],
    ['{', /annotation config\.weir\.dev\/proxy-limits is not YAML: /],
  ])('that are wrong are named: %s', (text, message) => {
    expect(() => limited({ [LIMITS]: text })).toThrow(message);
  });
});

describe('ports', () => {
  test('mesh ports step around the application’s own, skipped and UDP ports have none', () => {
    const own = pod([], {
      containers: [
        {
          name: 'app',
          ports: [
            { containerPort: 4143 },
            { containerPort: 9000 },
            { containerPort: 53, protocol: 'UDP' },
            { containerPort: 8081 },
          ],
        },
      ],
    });
    own.metadata!.annotations = { 'config.weir.dev/skip-inbound-ports': '9000' };
    const injected = injectPodTemplate(own, options);
    expect(JSON.parse(injected.metadata!.annotations!['weir.dev/inbound-ports']!)).toEqual({
      4143: 4144,
      8081: 4145,
    });
  });

  test('annotations for a scraper are the proxy’s unless the pod has its own', () => {
    const own = pod();
    own.metadata!.annotations = { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '8080' };
    expect(injectPodTemplate(own, options).metadata!.annotations).toMatchObject({
      'prometheus.io/port': '8080',
    });
    expect(injectPodTemplate(pod(), options).metadata!.annotations).toMatchObject({
      'prometheus.io/port': '4191',
    });
  });
});

test('a native sidecar is the first init container and always restarts', () => {
  const own = pod([], { initContainers: [{ name: 'migrate' }] });
  const injected = injectPodTemplate(own, { ...options, sidecar: 'native' });
  expect(injected.spec!.initContainers).toMatchObject([
    { name: 'weir-proxy', restartPolicy: 'Always' },
    { name: 'migrate' },
  ]);
  expect(injected.spec!.containers).toHaveLength(1);
  expect(uninjectPodTemplate(injected)).toEqual(own);
});
