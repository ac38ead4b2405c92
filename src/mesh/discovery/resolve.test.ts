import { beforeEach, describe, expect, test } from '@jest/globals';
import { ClusterIndex } from './cluster-index.ts';
import { parseDestinationKey } from './destination-key.ts';
import { pod, service, slice, split } from './fixtures.ts';
import { resolve } from './resolve.ts';

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
      new Set(['shop/web-stable', 'shop/web']),
    );
    expect(index.set({ kind: 'Pod', object: pod('b') })).toEqual(new Set(['shop/web-stable', 'shop/web']));
    expect(index.set({ kind: 'Pod', object: pod('b', { ready: false }) })).toEqual(new Set());
    expect(index.set({ kind: 'Service', object: service('orders') })).toEqual(new Set(['shop/orders']));
  });

  test('a slice that moves to another Service affects both', () => {
    index.set({ kind: 'EndpointSlice', object: slice('web', []) });
    const moved = slice('orders', []);
    moved.metadata.name = 'web-1';
    expect(index.set({ kind: 'EndpointSlice', object: moved })).toEqual(new Set(['shop/web', 'shop/orders']));
    expect(index.slicesOf('shop/web')).toEqual([]);
  });
});

test('keys are name.namespace:port and nothing else', () => {
  expect(parseDestinationKey('web.shop:80')).toEqual({ name: 'web', namespace: 'shop', port: 80 });
  for (const text of ['web:80', 'web.shop', 'web.shop:0', 'web.shop:65536', 'Web.shop:80', 'a.b.c:1', ''])
    expect(parseDestinationKey(text)).toBeUndefined();
});
