import { beforeEach, describe, expect, test } from '@jest/globals';
import { trafficPolicy } from '../policy/fixtures.ts';
import { ClusterIndex } from './cluster-index.ts';
import { parseAddressKey, parseDestinationKey } from './destination-key.ts';
import { pod, service, slice, split } from './fixtures.ts';
import type { Pod } from './objects.ts';
import { resolve, resolveAddress } from './resolve.ts';

let index: ClusterIndex;
beforeEach(() => {
  index = new ClusterIndex({ trustDomain: 'weir.local' });
});

const at = (key: string) => resolve(index, parseDestinationKey(key)!, 15);

function shop(): void {
  index.set({ kind: 'Service', object: service('web') });
  index.set({ kind: 'Service', object: service('web-stable', { role: 'stable' }) });
  index.set({
    kind: 'Service',
    object: service('web-canary', { selector: { app: 'web', 'pod-template-hash': 'v2' } }),
  });
  index.set({ kind: 'Pod', object: pod('a') });
  index.set({ kind: 'EndpointSlice', object: slice('web-stable', [{ ip: '10.0.0.1', pod: 'a' }]) });
}

test('a pod that was deleted is no endpoint, though its EndpointSlice is late to say so', () => {
  const named = (name: string, uid: string): Pod => {
    const object = pod(name);
    return { ...object, metadata: { ...object.metadata, uid } };
  };
  const late = slice('web', [
    { ip: '10.0.0.1', pod: 'a' },
    { ip: '10.0.0.2', pod: 'b' },
  ]);
  for (const [n, each] of late.endpoints!.entries()) each.targetRef!.uid = `uid-${n}`;
  index.set({ kind: 'Service', object: service('web') });
  for (const [n, name] of ['a', 'b'].entries()) index.set({ kind: 'Pod', object: named(name, `uid-${n}`) });
  index.set({ kind: 'EndpointSlice', object: late });
  const pods = () => at('web.shop:80').destination!.backends[0]!.endpoints.map((each) => each.pod);
  expect(pods()).toEqual(['a', 'b']);
  const affected = index.remove({ kind: 'Pod', object: named('a', 'uid-0') });
  expect([...affected]).toContain('shop/web');
  expect(pods()).toEqual(['b']);
  // Written again for another reason, and still late.
  index.set({ kind: 'EndpointSlice', object: structuredClone(late) });
  expect(pods()).toEqual(['b']);
  // One of the same name that takes its place is another pod.
  index.set({ kind: 'Pod', object: named('a', 'uid-2') });
  expect(pods()).toEqual(['b']);
  late.endpoints![0]!.targetRef!.uid = 'uid-2';
  index.set({ kind: 'EndpointSlice', object: structuredClone(late) });
  expect(pods()).toEqual(['a', 'b']);
});

describe('a plain Service', () => {
  test('has one backend of its own name, meshed endpoints with identity, others without', () => {
    index.set({ kind: 'Service', object: service('web') });
    index.set({ kind: 'Pod', object: pod('a') });
    index.set({ kind: 'Pod', object: pod('b', { meshed: false }) });
    index.set({
      kind: 'EndpointSlice',
      object: slice('web', [
        { ip: '10.0.0.2', pod: 'b' },
        { ip: '10.0.0.1', pod: 'a' },
      ]),
    });
    expect(at('web.shop:80').destination).toEqual({
      key: 'web.shop:80',
      namespace: 'shop',
      protocol: 'detect',
      policy: {},
      backends: [
        {
          name: 'web',
          weight: 1,
          revision: 'v1',
          deployment: 'web',
          endpoints: [
            {
              address: '10.0.0.1:4143',
              identity: 'spiffe://weir.local/ns/shop/sa/web',
              pod: 'a',
              zone: 'local',
              revision: 'v1',
              deployment: 'web',
            },
            { address: '10.0.0.2:8080', pod: 'b', zone: 'local', revision: 'v1', deployment: 'web' },
          ],
        },
      ],
    });
  });

  test('of two families has a pod once, by its address in the first of them that it has ready pods in', () => {
    const both = (...ipFamilies: string[]) =>
      index.set({ kind: 'Service', object: service('web', { ipFamilies }) });
    const set = (addressType: string, ip: string, ready = true) => {
      const object = slice('web', [{ ip, pod: 'a', ready, terminating: !ready }]);
      object.metadata.name = `web-${addressType}`;
      index.set({ kind: 'EndpointSlice', object: { ...object, addressType } });
    };
    const addresses = () => at('web.shop:80').destination!.backends[0]!.endpoints.map((each) => each.address);
    both('IPv4', 'IPv6');
    set('IPv6', 'fd00::1');
    expect(addresses()).toEqual(['[fd00::1]:8080']);
    set('IPv4', '10.0.0.1');
    expect(addresses()).toEqual(['10.0.0.1:8080']);
    both('IPv6', 'IPv4');
    expect(addresses()).toEqual(['[fd00::1]:8080']);
    set('IPv6', 'fd00::1', false);
    expect(addresses()).toEqual(['10.0.0.1:8080']);
    set('IPv4', '10.0.0.1', false);
    expect(addresses()).toEqual(['[fd00::1]:8080']);
    both('IPv4');
    expect(addresses()).toEqual(['10.0.0.1:8080']);
  });

  test('leaves out what is not ready, and falls back to what still serves while terminating', () => {
    index.set({ kind: 'Service', object: service('web') });
    const endpoints = [
      { ip: '10.0.0.1', pod: 'a', ready: false, terminating: true },
      { ip: '10.0.0.2', pod: 'b', ready: false },
    ];
    index.set({ kind: 'EndpointSlice', object: slice('web', endpoints) });
    const addresses = () => at('web.shop:80').destination!.backends[0]!.endpoints.map((each) => each.address);
    expect(addresses()).toEqual(['10.0.0.1:8080']);
    index.set({
      kind: 'EndpointSlice',
      object: slice('web', [...endpoints, { ip: '10.0.0.3', pod: 'c' }]),
    });
    expect(addresses()).toEqual(['10.0.0.3:8080']);
  });

  test('says why there is no destination', () => {
    expect(at('web.shop:80')).toMatchObject({ destination: null, problem: { code: 'NoSuchService' } });
    index.set({ kind: 'Service', object: service('web') });
    expect(at('web.shop:81').problem).toEqual({
      code: 'NoSuchPort',
      message: 'Service shop/web has no port 81: it serves 80',
    });
  });

  test('goes by its TCP port where UDP has the same number', () => {
    const ports = [
      { name: 'quic', port: 443, protocol: 'UDP', targetPort: 8443 },
      { name: 'web', port: 443, protocol: 'TCP', targetPort: 9443, appProtocol: 'http' },
    ];
    index.set({ kind: 'Service', object: service('web', { ports }) });
    const object = slice('web', [{ ip: '10.0.0.1', pod: 'a' }]);
    object.ports = ports.map(({ name, protocol, targetPort }) => ({ name, protocol, port: targetPort }));
    index.set({ kind: 'EndpointSlice', object });
    const { destination } = at('web.shop:443');
    expect(destination).toMatchObject({
      protocol: 'http1',
      backends: [{ endpoints: [{ address: '10.0.0.1:9443' }] }],
    });
    expect(at('web.shop:53').problem?.message).toContain('it serves 443');
  });

  test('protocol comes from appProtocol, the opaque list or an annotation', () => {
    const protocol = (port: object, annotations = {}) => {
      const object = service('web', { ports: [{ port: 80, ...port }] });
      object.metadata.annotations = annotations;
      index.set({ kind: 'Service', object });
      return at(`web.shop:${object.spec!.ports![0]!.port}`).destination!.protocol;
    };
    expect(protocol({ appProtocol: 'kubernetes.io/h2c' })).toBe('http2');
    expect(protocol({ appProtocol: 'http' })).toBe('http1');
    expect(protocol({ port: 5432 })).toBe('tcp');
    expect(protocol({}, { 'config.weir.dev/opaque-ports': '9000, 80' })).toBe('tcp');
  });
});

describe('a split', () => {
  test('takes backends from the leaves, in order of name, and falls back to the stable one', () => {
    shop();
    index.set({ kind: 'TrafficSplit', object: split('7', { 'web-stable': 10, 'web-canary': 90 }) });
    const { destination } = at('web.shop:80');
    expect(destination!.split).toEqual({
      name: 'shop/web',
      version: '7',
      leaseSeconds: 15,
      fallback: 'web-stable',
    });
    expect(destination!.backends).toMatchObject([
      { name: 'web-canary', weight: 90, revision: 'v2', endpoints: [] },
      { name: 'web-stable', weight: 10, revision: 'v1', endpoints: [{ address: '10.0.0.1:4143' }] },
    ]);
  });

  test('root’s pods stand in for a stable leaf that is new, in a split of Weir’s only', () => {
    const index = new ClusterIndex({ trustDomain: 'weir.local' });
    index.set({ kind: 'Service', object: service('web') });
    index.set({ kind: 'Pod', object: pod('a') });
    index.set({ kind: 'EndpointSlice', object: slice('web', [{ ip: '10.0.0.1', pod: 'a' }]) });
    const put = (stable: number, canary: number, managed: boolean) => {
      const object = split('1', { 'web-stable': stable, 'web-canary': canary });
      if (managed) object.metadata.labels = { 'app.kubernetes.io/managed-by': 'weir' };
      index.set({ kind: 'TrafficSplit', object });
    };
    const counts = () =>
      Object.fromEntries(
        resolve(index, parseDestinationKey('web.shop:80')!, 15).destination!.backends.map(
          ({ name, weight, endpoints }) => [name, `${weight}: ${endpoints.length}`],
        ),
      );
    put(100, 0, true);
    expect(counts()).toEqual({ 'web-stable': '100: 1', 'web-canary': '0: 0' });
    put(100, 0, false);
    expect(counts()).toEqual({ 'web-stable': '100: 0', 'web-canary': '0: 0' });
    // Also while the leaf itself is gone, whoever has most of the weight.
    put(10, 90, true);
    expect(counts()).toEqual({ 'web-stable': '10: 1', 'web-canary': '90: 0' });
    put(90, 10, true);
    index.set({ kind: 'Service', object: service('web-stable', { role: 'stable' }) });
    expect(counts()).toEqual({ 'web-stable': '90: 1', 'web-canary': '10: 0' });
    // At 100 % nobody stands in for a canary that is gone: its failures must show.
    put(0, 100, true);
    expect(counts()).toEqual({ 'web-stable': '0: 0', 'web-canary': '100: 0' });
  });

  test('without a role label the heaviest is the fallback', () => {
    index.set({ kind: 'Service', object: service('web') });
    index.set({ kind: 'TrafficSplit', object: split('1', { x: 1, y: 9 }) });
    expect(at('web.shop:80').destination!.split!.fallback).toBe('y');
  });

  test('of two on one root the older rules; the root may be written with its namespace', () => {
    shop();
    index.set({
      kind: 'TrafficSplit',
      object: split('9', { 'web-canary': 1 }, { name: 'late', created: '2026-02-01T00:00:00Z' }),
    });
    index.set({
      kind: 'TrafficSplit',
      object: split('3', { 'web-stable': 1 }, { name: 'web', service: 'web.shop' }),
    });
    expect(at('web.shop:80').destination!.split!.version).toBe('3');
    index.remove({ kind: 'TrafficSplit', object: split('3', {}, { name: 'web' }) });
    expect(at('web.shop:80').destination!.split!.version).toBe('9');
  });
});

describe('what a change affects', () => {
  test('a leaf’s slice and pods reach the root, and only that', () => {
    shop();
    index.set({ kind: 'TrafficSplit', object: split('1', { 'web-stable': 1, 'web-canary': 0 }) });
    const endpoints = slice('web-stable', [
      { ip: '10.0.0.1', pod: 'a' },
      { ip: '10.0.0.2', pod: 'b' },
    ]);
    expect(index.set({ kind: 'EndpointSlice', object: endpoints })).toEqual(
      new Set(['shop/web-stable', 'shop/web', 'ip 10.0.0.2']),
    );
    // Readiness changes nothing of whose the addresses are.
    endpoints.endpoints![0]!.conditions = { ready: false };
    expect(index.set({ kind: 'EndpointSlice', object: structuredClone(endpoints) })).toEqual(
      new Set(['shop/web-stable', 'shop/web']),
    );
    expect(index.set({ kind: 'Pod', object: pod('b') })).toEqual(new Set(['shop/web-stable', 'shop/web']));
    expect(index.set({ kind: 'Pod', object: pod('b', { ready: false }) })).toEqual(new Set());
    expect(index.set({ kind: 'Service', object: service('orders') })).toEqual(new Set(['shop/orders']));
    // What a Service says of its ports' protocols is true of its pods' addresses too.
    expect(index.set({ kind: 'Service', object: service('web-stable', { clusterIP: '10.96.0.7' }) })).toEqual(
      new Set(['shop/web-stable', 'shop/web', 'ip 10.96.0.7', 'ip 10.0.0.1', 'ip 10.0.0.2']),
    );
  });

  test('a slice that moves to another Service affects both', () => {
    index.set({ kind: 'EndpointSlice', object: slice('web', []) });
    const moved = slice('orders', []);
    moved.metadata.name = 'web-1';
    expect(index.set({ kind: 'EndpointSlice', object: moved })).toEqual(new Set(['shop/web', 'shop/orders']));
    expect(index.slicesOf('shop/web')).toEqual([]);
  });
});

describe('a TrafficSplit that no schema of ours let in', () => {
  test.each([
    undefined,
    {},
    { service: 'web' },
    { service: 'web', backends: [] },
    { service: 'web', backends: [{ service: 'web-stable', weight: '500m' }] },
    { service: 'web', backends: [{ service: 'web-stable' }] },
    { service: 'web', backends: [{ service: 'web-stable', weight: -1 }] },
    // For some requests only, which nobody tells from the others.
    {
      service: 'web',
      backends: [{ service: 'web-canary', weight: 1 }],
      matches: [{ kind: 'HTTPRouteGroup', name: 'a' }],
    },
  ])('%j has no effect, and takes back what it said before', (spec) => {
    shop();
    const object = { ...split('2', {}), spec: spec as never };
    expect(index.set({ kind: 'TrafficSplit', object })).toEqual(new Set());
    expect(at('web.shop:80').destination).toMatchObject({ backends: [{ name: 'web', weight: 1 }] });
    index.set({ kind: 'TrafficSplit', object: split('1', { 'web-stable': 1 }) });
    expect(index.set({ kind: 'TrafficSplit', object })).toEqual(new Set(['shop/web']));
    expect(at('web.shop:80').destination!.split).toBeUndefined();
  });
});

describe('an address', () => {
  const of = (text: string) => resolveAddress(index, parseAddressKey(text)!);
  const running = (name: string, ip: string, annotations = {}, spec = {}): Pod => {
    const object = pod(name, { meshed: false });
    object.metadata.annotations = annotations;
    return {
      ...object,
      spec: { ...object.spec, ...spec },
      status: { ...object.status, phase: 'Running', podIPs: [{ ip }] },
    };
  };

  test('of a Service stands for it, port by port and in each family', () => {
    const clusterIPs = ['10.96.0.1', 'FD00:0::1'];
    index.set({ kind: 'Service', object: service('web', { clusterIP: '10.96.0.1', clusterIPs }) });
    expect(of('10.96.0.1:80')).toEqual({ destination: null, alias: 'web.shop:80' });
    expect(of('[fd00::1]:80')).toEqual({ destination: null, alias: 'web.shop:80' });
    expect(of('10.96.0.1:81')).toEqual({ destination: null });
    index.set({ kind: 'Service', object: service('web', { clusterIP: 'None' }) });
    expect(of('10.96.0.1:80')).toEqual({ destination: null });
  });

  test('of a pod is that pod, as who it is; past its proxy where it takes no part', () => {
    const skipped = { 'weir.dev/not-intercepted': '4191,9000-9100' };
    index.set({ kind: 'Pod', object: running('a', '10.0.0.1', skipped) });
    expect(of('10.0.0.1:8080')).toEqual({
      destination: {
        key: '10.0.0.1:8080',
        namespace: 'shop',
        protocol: 'detect',
        policy: {},
        backends: [
          {
            name: 'a',
            weight: 1,
            endpoints: [
              {
                address: '10.0.0.1:8080',
                identity: 'spiffe://weir.local/ns/shop/sa/web',
                pod: 'a',
                revision: 'v1',
                deployment: 'web',
              },
            ],
          },
        ],
      },
    });
    const endpoint = (text: string) => of(text).destination!.backends[0]!.endpoints[0]!;
    for (const port of [4191, 9050]) expect(endpoint(`10.0.0.1:${port}`).identity).toBeUndefined();
    // With explicit listeners the peer's mesh port is another one.
    index.set({
      kind: 'Pod',
      object: running('a', '10.0.0.1', { 'weir.dev/inbound-ports': '{"8080":4143}' }),
    });
    expect(endpoint('10.0.0.1:8080')).toMatchObject({
      address: '10.0.0.1:4143',
      identity: expect.any(String),
    });
  });

  test('of the node, of a pod that has ended, or of nobody is nothing the mesh knows', () => {
    index.set({ kind: 'Pod', object: running('a', '10.0.0.1', {}, { hostNetwork: true }) });
    expect(of('10.0.0.1:80')).toEqual({ destination: null });
    const ended = running('b', '10.0.0.2');
    index.set({ kind: 'Pod', object: { ...ended, status: { ...ended.status, phase: 'Succeeded' } } });
    index.set({ kind: 'Pod', object: running('c', '10.0.0.2') });
    expect(of('10.0.0.2:80').destination?.backends[0]?.name).toBe('c');
    index.remove({ kind: 'Pod', object: running('c', '10.0.0.2') });
    expect(of('10.0.0.2:80')).toEqual({ destination: null });
  });

  test('of a pod speaks what a Service of it says, or its own annotation', () => {
    const object = service('web', { ports: [{ port: 80, targetPort: 8080, appProtocol: 'tcp' }] });
    object.spec!.ports![0]!.name = '';
    index.set({ kind: 'Service', object });
    index.set({ kind: 'EndpointSlice', object: slice('web', [{ ip: '10.0.0.1', pod: 'a' }]) });
    index.set({ kind: 'Pod', object: running('a', '10.0.0.1', { 'config.weir.dev/opaque-ports': '9000' }) });
    expect(of('10.0.0.1:8080').destination!.protocol).toBe('tcp');
    expect(of('10.0.0.1:9000').destination!.protocol).toBe('tcp');
    expect(of('10.0.0.1:6379').destination!.protocol).toBe('tcp');
    expect(of('10.0.0.1:8081').destination!.protocol).toBe('detect');
  });

  test('is another one for the pods that an EndpointSlice begins or ends to name, or names for other ports', () => {
    const ports = (port: number) => ({ ports: [{ name: '', port }] });
    const named = (...ips: string[]) =>
      slice(
        'web',
        ips.map((ip) => ({ ip, pod: ip })),
      );
    const set = (object: ReturnType<typeof slice>) => index.set({ kind: 'EndpointSlice', object });
    expect(set(named('10.0.0.1'))).toEqual(new Set(['shop/web', 'ip 10.0.0.1']));
    expect(set(named('10.0.0.1', '10.0.0.2'))).toEqual(new Set(['shop/web', 'ip 10.0.0.2']));
    expect(set({ ...named('10.0.0.2'), ...ports(9090) })).toEqual(
      new Set(['shop/web', 'ip 10.0.0.1', 'ip 10.0.0.2']),
    );
    expect(index.remove({ kind: 'EndpointSlice', object: named('10.0.0.2') })).toEqual(
      new Set(['shop/web', 'ip 10.0.0.2']),
    );
  });

  test('is written in one way', () => {
    expect(parseAddressKey('[fd00:0:0::A]:80')).toEqual({ ip: 'fd00::a', port: 80 });
    for (const text of [
      '10.0.0.1',
      'fd00::1:80',
      '[10.0.0.1]:80',
      '10.0.0:80',
      '10.0.0.1:0',
      '10.0.0.1:65536',
    ])
      expect(parseAddressKey(text)).toBeUndefined();
  });
});

describe('TrafficPolicies', () => {
  const set = (...args: Parameters<typeof trafficPolicy>) =>
    index.set({ kind: 'TrafficPolicy', object: trafficPolicy(...args) });

  test('rule the destinations of their Service, split or not, and no other', () => {
    shop();
    expect(set('base', { timeouts: { request: '2s' } })).toEqual(new Set(['shop/web']));
    expect(at('web.shop:80').destination!.policy).toEqual({ timeout: 2000 });
    index.set({ kind: 'TrafficSplit', object: split('1', { 'web-stable': 1, 'web-canary': 0 }) });
    expect(at('web.shop:80').destination!.policy).toEqual({ timeout: 2000 });
    expect(at('web-stable.shop:80').destination!.policy).toEqual({});
    expect(
      index.remove({ kind: 'TrafficPolicy', object: trafficPolicy('base', { maxInFlight: 1 }) }),
    ).toEqual(new Set(['shop/web']));
    expect(at('web.shop:80').destination!.policy).toEqual({});
  });

  test('that change their targets affect those before and after; their status affects nothing', () => {
    set('base', { maxInFlight: 1 });
    expect(
      set('base', { maxInFlight: 1 }, { targetRefs: [{ name: 'api' }, { name: 'web', port: 80 }] }),
    ).toEqual(new Set(['shop/web', 'shop/api']));
    expect(set('base', { maxInFlight: 1 }, { targetRefs: [{ name: 'api' }] })).toEqual(
      new Set(['shop/web', 'shop/api']),
    );
    const same = trafficPolicy('base', { maxInFlight: 1 }, { targetRefs: [{ name: 'api' }] });
    const told = { ...same, status: { conditions: [], ancestors: [] } };
    expect(index.set({ kind: 'TrafficPolicy', object: told })).toEqual(new Set());
    expect(index.policy('shop/base')!.object).toBe(told);
  });

  test('that cannot be understood rule nothing, until they can', () => {
    shop();
    expect(set('base', { breaker: { consecutive: 0 } })).toEqual(new Set());
    expect(at('web.shop:80').destination!.policy).toEqual({});
    set('base', { breaker: { consecutive: 1 } });
    expect(at('web.shop:80').destination!.policy.breaker).toMatchObject({ consecutive: 1 });
    expect(set('base', { breaker: { consecutive: 0 } })).toEqual(new Set(['shop/web']));
    expect(at('web.shop:80').destination!.policy).toEqual({});
  });

  test('of a headless Service rule its pods’ addresses at its port, those of others do not', () => {
    const address = (text: string) => resolveAddress(index, parseAddressKey(text)!).destination!.policy;
    const running = pod('a', { meshed: false });
    running.status = { ...running.status, phase: 'Running', podIPs: [{ ip: '10.0.0.1' }] };
    index.set({ kind: 'Pod', object: running });
    const named = (clusterIP: string) => {
      const object = service('web', { clusterIP });
      object.spec!.ports![0]!.name = '';
      return object;
    };
    index.set({ kind: 'Service', object: named('None') });
    index.set({ kind: 'EndpointSlice', object: slice('web', [{ ip: '10.0.0.1', pod: 'a' }]) });
    expect(set('base', { maxInFlight: 3 })).toEqual(new Set(['shop/web', 'ip 10.0.0.1']));
    expect(address('10.0.0.1:8080')).toEqual({ maxInFlight: 3 });
    expect(address('10.0.0.1:9000')).toEqual({});
    index.set({ kind: 'Service', object: named('10.96.0.9') });
    expect(address('10.0.0.1:8080')).toEqual({});
  });
});

test('keys are name.namespace:port and nothing else', () => {
  expect(parseDestinationKey('web.shop:80')).toEqual({ name: 'web', namespace: 'shop', port: 80 });
  for (const text of ['web:80', 'web.shop', 'web.shop:0', 'web.shop:65536', 'Web.shop:80', 'a.b.c:1', ''])
    expect(parseDestinationKey(text)).toBeUndefined();
});
