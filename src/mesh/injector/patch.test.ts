import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sameJson } from '../../lib/same-json.ts';
import type { InjectOptions } from './options.ts';
import { injectPodTemplate, skipReason, uninjectPodTemplate } from './patch.ts';
import type { EnvVar, PodLike } from './pod.ts';

const known = new Set(['shop/orders', 'shop/web', 'pay/ments']);
const options: InjectOptions = {
  namespace: 'shop',
  image: 'weir:1',
  enabled: true,
  isService: (name, namespace) => known.has(`${namespace}/${name}`),
};

const pod = (env: EnvVar[] = [], extra: Partial<PodLike['spec']> = {}): PodLike => ({
  metadata: { name: 'web-1', labels: { app: 'web' } },
  spec: {
    serviceAccountName: 'web',
    containers: [
      {
        name: 'app',
        image: 'web:1',
        env,
        ports: [{ containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/ready', port: 8080 } },
      },
    ],
    ...extra,
  },
});

const app = (injected: PodLike) => injected.spec!.containers![0]!;
const proxy = (injected: PodLike) =>
  [...injected.spec!.containers!, ...(injected.spec!.initContainers ?? [])].find(
    ({ name }) => name === 'weir-proxy',
  )!;
const proxyEnv = (injected: PodLike, name: string) =>
  proxy(injected).env!.find((variable) => variable.name === name)?.value;
const rewritten = (value: string) => {
  const container = app(injectPodTemplate(pod([{ name: 'URL', value }]), options));
  return container.env!.find(({ name }) => name === 'URL')!.value;
};

test('a pod with one port and one caller, whole', () => {
  const injected = injectPodTemplate(pod([{ name: 'ORDERS', value: 'http://orders:8000/api?q=1' }]), options);
  expect(injected).toMatchSnapshot();
});

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

describe('urls of Services', () => {
  test.each([
    ['http://orders', 'http://$(POD_IP):14001'],
    ['http://orders/', 'http://$(POD_IP):14001/'],
    ['http://orders:8000/a/b?c=d#e', 'http://$(POD_IP):14001/a/b?c=d#e'],
    ['http://ments.pay:81', 'http://$(POD_IP):14001'],
    ['http://later.any.svc', 'http://$(POD_IP):14001'],
    ['http://later.any.svc.cluster.local.:80/x', 'http://$(POD_IP):14001/x'],
    ['http://orders, http://ments.pay:81', 'http://$(POD_IP):14001, http://$(POD_IP):14002'],
    ['http://orders:1;http://orders:1', 'http://$(POD_IP):14001;http://$(POD_IP):14001'],
  ])('%s becomes %s', (before, after) => {
    expect(rewritten(before)).toBe(after);
  });

  test.each([
    'http://localhost:8080',
    'http://127.0.0.1:80',
    'http://example.com',
    'http://unknown.elsewhere',
    'http://orders.elsewhere',
    'http://later.any.svc.example.com',
    'http://user:pass@orders/',
    'http://[::1]:80',
    'http://orders:99999',
    'http://$(HOST):80',
    'https://orders',
    'orders:80',
    'http://12:80',
  ])('%s is left alone', (value) => {
    expect(rewritten(value)).toBe(value);
  });

  test('the variable of the address comes before its use, and never twice', () => {
    const fieldRef = { valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } };
    const names = (env: EnvVar[]) =>
      app(injectPodTemplate(pod(env), options)).env!.map(({ name, value }) => `${name}=${value}`);
    expect(names([{ name: 'A', value: 'http://orders' }])).toEqual([
      'POD_IP=undefined',
      'A=http://$(POD_IP):14001',
    ]);
    expect(
      names([
        { name: 'POD_IP', ...fieldRef },
        { name: 'A', value: 'http://orders' },
      ]),
    ).toEqual(['POD_IP=undefined', 'A=http://$(POD_IP):14001']);
    expect(
      names([
        { name: 'A', value: 'http://orders' },
        { name: 'POD_IP', value: '1.2.3.4' },
      ]),
    ).toEqual(['WEIR_POD_IP=undefined', 'A=http://$(WEIR_POD_IP):14001', 'POD_IP=1.2.3.4']);
    expect(names([{ name: 'A', value: 'http://example.com' }])).toEqual(['A=http://example.com']);
  });

  test('the annotation adds listeners, in its order and before those of the env', () => {
    const own = pod([{ name: 'A', value: 'http://orders' }]);
    own.metadata!.annotations = { 'config.weir.dev/outbound': 'payments.shop:81, web' };
    expect(JSON.parse(proxyEnv(injectPodTemplate(own, options), 'WEIR_OUTBOUND')!)).toEqual([
      { listen: 14001, destination: 'payments.shop:81' },
      { listen: 14002, destination: 'web.shop:80' },
      { listen: 14003, destination: 'orders.shop:80' },
    ]);
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

describe('transparent', () => {
  const transparent = { ...options, interception: 'transparent' as const };
  const annotated = (annotations: Record<string, string>, extra = {}) => {
    const own = pod([{ name: 'ORDERS', value: 'http://orders' }], extra);
    own.metadata = { ...own.metadata, annotations };
    return own;
  };

  test('rules first, then the proxy, then the pod’s own; applications stay to the letter', () => {
    const own = annotated(
      {
        'config.weir.dev/skip-inbound-ports': '9000, 9100-9200',
        'config.weir.dev/skip-outbound-ports': '25',
        'config.weir.dev/skip-subnets': '10.0.0.0/8,nonsense',
        'config.weir.dev/opaque-ports': '6000',
      },
      { initContainers: [{ name: 'migrate' }] },
    );
    const injected = injectPodTemplate(own, transparent);
    expect(injected.spec!.containers).toEqual(own.spec!.containers);
    const [init, proxy, migrate] = injected.spec!.initContainers!;
    expect(init).toMatchObject({
      name: 'weir-init',
      args: [
        'proxy-init',
        '--proxy-uid=2102',
        '--outbound-port=4140',
        '--inbound-port=4143',
        '--admin-port=4191',
        '--skip-inbound-ports=9000,9100-9200',
        '--skip-outbound-ports=25',
        '--skip-subnets=10.0.0.0/8',
      ],
      securityContext: { runAsUser: 0, capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] } },
    });
    expect(proxy).toMatchObject({
      name: 'weir-proxy',
      restartPolicy: 'Always',
      startupProbe: { httpGet: { path: '/started', port: 4191 } },
      securityContext: { runAsUser: 2102, runAsNonRoot: true, capabilities: { drop: ['ALL'] } },
    });
    expect((proxy!.securityContext!.capabilities as { add?: unknown }).add).toBeUndefined();
    expect(migrate).toEqual({ name: 'migrate' });
    expect(JSON.parse(proxy!.env!.find(({ name }) => name === 'WEIR_INTERCEPT')!.value!)).toEqual({
      outbound: 4140,
      inbound: 4143,
      uid: 2102,
      opaque: [{ from: 6000, to: 6000 }],
    });
    expect(injected.metadata!.annotations!['weir.dev/not-intercepted']).toBe('4191,9000,9100-9200');
  });

  test('the namespace’s settings count where the pod has none, and nothing of them is left on it', () => {
    const own = annotated({ 'config.weir.dev/skip-inbound-ports': '9000' });
    const defaults = {
      'config.weir.dev/skip-inbound-ports': '1',
      'config.weir.dev/skip-outbound-ports': '25',
      'team.example/owner': 'shop',
    };
    const injected = injectPodTemplate(own, { ...transparent, defaults });
    expect(injected.spec!.initContainers![0]!.args).toEqual(
      expect.arrayContaining(['--skip-inbound-ports=9000', '--skip-outbound-ports=25']),
    );
    expect(injected.metadata!.annotations!['config.weir.dev/skip-outbound-ports']).toBeUndefined();
    expect(uninjectPodTemplate(injected)).toEqual(own);
  });

  test('the proxy makes the tcpSocket probes, which it would otherwise answer itself', () => {
    const own = annotated({});
    const [container] = own.spec!.containers!;
    container!.ports = [{ name: 'redis', containerPort: 6379 }];
    container!.livenessProbe = { tcpSocket: { port: 'redis' }, periodSeconds: 3 };
    container!.readinessProbe = { httpGet: { path: '/', port: 8080 } };
    container!.startupProbe = { tcpSocket: { host: '10.1.1.1', port: 1 } };
    const injected = injectPodTemplate(own, transparent);
    expect(injected.spec!.containers![0]).toEqual({
      ...container,
      livenessProbe: { httpGet: { path: '/probe/tcp/6379', port: 4191 }, periodSeconds: 3 },
    });
    expect(uninjectPodTemplate(injected)).toEqual(own);
  });

  test('ports and user step around the application’s own', () => {
    const own = annotated({}, { securityContext: { runAsUser: 2102 } });
    own.spec!.containers![0]!.ports = [{ containerPort: 4143 }, { containerPort: 4191 }];
    const [init, proxy] = injectPodTemplate(own, transparent).spec!.initContainers!;
    expect(init!.args).toEqual(
      expect.arrayContaining(['--proxy-uid=2103', '--inbound-port=4144', '--admin-port=4192']),
    );
    expect(proxy).toMatchObject({
      securityContext: { runAsUser: 2103 },
      readinessProbe: { httpGet: { port: 4192 } },
    });
    expect(injectPodTemplate(own, transparent).metadata!.annotations).toMatchObject({
      'prometheus.io/port': '4192',
    });
  });

  test('where the sidecar is no init container, rules come after the others, which would be cut off', () => {
    const own = annotated({}, { initContainers: [{ name: 'migrate' }] });
    const injected = injectPodTemplate(own, { ...transparent, sidecar: 'container' });
    expect(injected.spec!.initContainers!.map(({ name }) => name)).toEqual(['migrate', 'weir-init']);
    expect(injected.spec!.containers!.map(({ name }) => name)).toEqual(['app', 'weir-proxy']);
  });
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
