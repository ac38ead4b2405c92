import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { AcknowledgementFrame } from '../../api/acknowledgement.ts';
import { silentLogger } from '../../lib/log.ts';
import { Authority, createRoot } from '../identity/authority.ts';
import { trafficPolicy } from '../policy/fixtures.ts';
import { Catalog } from './catalog.ts';
import { ClusterIndex } from './cluster-index.ts';
import { pod, service, slice, split } from './fixtures.ts';
import type { DownFrame } from './model.ts';
import { certificateRequest, DiscoveryClient } from './server.fixture.ts';
import { DiscoveryServer } from './server.ts';

let authority: Authority;
const identities = new Map<string, { cert: string; key: string }>();

beforeAll(async () => {
  authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
});

async function identity(spiffe: string) {
  let pair = identities.get(spiffe);
  if (!pair) {
    const { csr, key } = await certificateRequest();
    pair = { cert: (await authority.signRequest(csr, { spiffe, dns: 'x.y' })).certificate, key };
    identities.set(spiffe, pair);
  }
  return pair;
}

let index: ClusterIndex;
let catalog: Catalog;
let server: DiscoveryServer;
let port: number;
let clients: DiscoveryClient[] = [];

async function start(options: { leaseSeconds?: number; streamLimit?: number } = {}): Promise<void> {
  const tls = await authority.issueServer(['weir-mesh.weir.svc']);
  server = new DiscoveryServer({
    listen: { host: '127.0.0.1', port: port ?? 0 },
    tls: () => tls,
    trust: () => authority.bundle,
    trustDomain: 'weir.local',
    catalog,
    index,
    certificates: async (body) => ({ echoed: body }),
    log: silentLogger,
    ...options,
  });
  port = await server.start();
}

/** A client that shows this certificate, or none; closed after the test. */
function client(pair?: { cert: string; key: string }): DiscoveryClient {
  const made = new DiscoveryClient(port, authority.bundle, pair);
  clients.push(made);
  return made;
}

const clientOf = async (spiffe = 'spiffe://weir.local/ns/shop/sa/web') => client(await identity(spiffe));

beforeEach(() => {
  port = 0;
  index = new ClusterIndex({ trustDomain: 'weir.local' });
  catalog = new Catalog({ index, leaseSeconds: 15 });
  catalog.set({ kind: 'Service', object: service('web') });
  catalog.set({ kind: 'Service', object: service('web-stable', { role: 'stable' }) });
  catalog.set({ kind: 'Service', object: service('web-canary') });
  catalog.set({ kind: 'Pod', object: pod('a') });
  catalog.set({ kind: 'EndpointSlice', object: slice('web-stable', [{ ip: '10.0.0.1', pod: 'a' }]) });
  catalog.set({ kind: 'TrafficSplit', object: split('1', { 'web-stable': 100, 'web-canary': 0 }) });
});

afterEach(async () => {
  for (const client of clients) client.close();
  clients = [];
  await server.stop();
});

type Snapshot = Extract<DownFrame, { type: 'snapshot' }>;
type Delta = Extract<DownFrame, { type: 'delta' }>;
const counts = (matches: Partial<AcknowledgementFrame>) => (each: DownFrame | AcknowledgementFrame) =>
  each.type === 'acknowledgement' &&
  Object.entries(matches).every(([key, value]) => each[key as keyof AcknowledgementFrame] === value);

const CONTROLLER = 'spiffe://weir.local/ns/weir/sa/weir-controller';

describe('who may do what', () => {
  test('streams need a certificate of the trust domain, acknowledgements the controller’s', async () => {
    await start();
    const nobody = client();
    expect(await nobody.open('/v1/discover')).toBe(401);
    expect((await nobody.post('/v1/acks', { session: 'x', acks: [] })).status).toBe(401);
    expect((await nobody.post('/v1/certificates', { csr: 'c' })).status).toBe(200);
    const foreign = await clientOf('spiffe://other/ns/shop/sa/web');
    expect(await foreign.open('/v1/discover')).toBe(401);
    const proxy = await clientOf();
    expect(await proxy.open('/v1/acknowledgements')).toBe(403);
    const controller = await clientOf(CONTROLLER);
    expect(await controller.open('/v1/acknowledgements')).toBe(200);
  });

  test('a session belongs to the identity that opened it', async () => {
    await start();
    const proxy = await clientOf();
    await proxy.discover();
    const other = await clientOf('spiffe://weir.local/ns/shop/sa/other');
    other.session = proxy.session;
    expect((await other.subscribe('web.shop:80')).status).toBe(404);
    expect((await other.discover(`?session=${proxy.session}`)).resumed).toBe(false);
  });

  test('a session has room for what it follows already, however often it asks', async () => {
    await start();
    const proxy = await clientOf();
    await proxy.discover();
    const keys = Array.from({ length: 1500 }, (_, index) => `web.shop:${index + 1}`);
    expect((await proxy.subscribe(...keys)).status).toBe(204);
    expect((await proxy.subscribe(...keys)).status).toBe(204);
    const more = keys.map((key) => key.replace('web', 'api'));
    expect((await proxy.subscribe(...more)).status).toBe(400);
  });

  test('a pod’s session is not taken from it by another ServiceAccount that gives its name', async () => {
    await start();
    const proxy = await clientOf();
    await proxy.discover('?pod=a');
    await proxy.subscribe('web.shop:80');
    const other = await clientOf('spiffe://weir.local/ns/shop/sa/other');
    await other.discover('?pod=a');
    expect(server.registry.size).toBe(2);
    expect((await proxy.subscribe('web-stable.shop:80')).status).toBe(204);
  });

  test('malformed requests say what to send', async () => {
    await start();
    const proxy = await clientOf();
    await proxy.discover();
    expect(await proxy.post('/v1/acks', { session: 1 })).toMatchObject({ status: 400 });
    expect(await proxy.post('/v1/nothing', {})).toMatchObject({ status: 404 });
    expect(await client().open('//')).toBe(400);
    await proxy.subscribe('nonsense');
    expect(await proxy.until((each) => each.type === 'error')).toMatchObject({
      key: 'nonsense',
      code: 'Invalid',
    });
  });
});

test('a node’s clock that is set forward ends no lease: nobody was silent for that long', async () => {
  await start();
  const proxy = await clientOf();
  await proxy.discover('?pod=a');
  await proxy.post('/v1/acks', { session: proxy.session, acks: [], ping: 1 });
  const now = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000);
  try {
    server.registry.expire();
  } finally {
    now.mockRestore();
  }
  expect([server.registry.connected, server.registry.size]).toEqual([1, 1]);
});

describe('a stream', () => {
  test('hello, trust, snapshot, then deltas on top of one another', async () => {
    await start();
    const proxy = await clientOf();
    expect(await proxy.discover('?pod=a')).toMatchObject({ resumed: false, leaseSeconds: 15 });
    expect(await proxy.until((each) => each.type === 'trust')).toMatchObject({ bundle: authority.bundle });
    expect((await proxy.subscribe('web.shop:80')).status).toBe(204);
    const snapshot = await proxy.until<Snapshot>((each) => each.type === 'snapshot');
    expect(snapshot.destination!.split!.version).toBe('1');
    catalog.set({ kind: 'TrafficSplit', object: split('2', { 'web-stable': 95, 'web-canary': 5 }) });
    const first = await proxy.until<Delta>((each) => each.type === 'delta');
    expect(first).toMatchObject({
      base: snapshot.version,
      changes: [{ set: 'split', split: { version: '2' }, weights: { 'web-stable': 95, 'web-canary': 5 } }],
    });
    catalog.set({ kind: 'EndpointSlice', object: slice('web-canary', [{ ip: '10.0.0.2', pod: 'b' }]) });
    const second = await proxy.until<Delta>((each) => each.type === 'delta' && each.base === first.version);
    expect(second.changes).toEqual([
      {
        set: 'endpoint',
        backend: 'web-canary',
        endpoint: { address: '10.0.0.2:8080', pod: 'b', zone: 'local' },
      },
    ]);
  });

  test('many changes of one turn are one frame', async () => {
    await start();
    const proxy = await clientOf();
    await proxy.discover();
    await proxy.subscribe('web.shop:80');
    await proxy.until((each) => each.type === 'snapshot');
    for (let version = 2; version <= 50; version++)
      catalog.set({
        kind: 'TrafficSplit',
        object: split(String(version), { 'web-stable': 100 - version, 'web-canary': version }),
      });
    expect(await proxy.until<Delta>((each) => each.type === 'delta')).toMatchObject({
      changes: [{ split: { version: '50' } }],
    });
  });

  test('a TrafficPolicy comes with the snapshot, its changes as deltas to those who follow, and nothing else comes', async () => {
    await start();
    const set = (...args: Parameters<typeof trafficPolicy>) => {
      catalog.set({ kind: 'TrafficPolicy', object: trafficPolicy(...args) });
      catalog.flush();
    };
    set('base', { timeouts: { request: '2s' } });
    catalog.set({ kind: 'Service', object: service('orders') });
    const [web, orders] = [await clientOf(), await clientOf('spiffe://weir.local/ns/shop/sa/orders')];
    await web.discover('?pod=a');
    await web.subscribe('web.shop:80');
    await orders.discover('?pod=b');
    await orders.subscribe('orders.shop:80');
    const snapshot = await web.until<Snapshot>((each) => each.type === 'snapshot');
    expect(snapshot.destination!.policy).toEqual({ timeout: 2000 });
    await orders.until((each) => each.type === 'snapshot');

    const fault = { abort: { percent: 100, status: 503 } };
    set('chaos', { fault });
    const first = await web.until<Delta>((each) => each.type === 'delta');
    expect(first).toMatchObject({
      base: snapshot.version,
      changes: [{ set: 'policy', policy: { timeout: 2000, fault } }],
    });
    // The same again, one that loses, one of another Service that nobody follows: nothing to tell.
    set('chaos', { fault });
    set('late', { fault: { abort: { percent: 1 } } }, { created: '2026-02-01T00:00:00Z' });
    set('other', { maxInFlight: 1 }, { targetRefs: [{ name: 'payments' }] });
    catalog.remove({ kind: 'TrafficPolicy', object: trafficPolicy('late', {}) });
    catalog.flush();
    catalog.remove({ kind: 'TrafficPolicy', object: trafficPolicy('chaos', {}) });
    catalog.flush();
    const second = await web.until<Delta>((each) => each.type === 'delta' && each.version > first.version);
    expect(second).toMatchObject({ base: first.version, changes: [{ policy: { timeout: 2000 } }] });
    expect(web.frames.filter(({ type }) => type === 'delta')).toHaveLength(2);
    // What comes to the other one now is the first since its snapshot.
    set('orders', { maxInFlight: 7 }, { targetRefs: [{ name: 'orders', port: 80 }] });
    const delta = await orders.until<Delta>((each) => each.type === 'delta');
    expect(delta.changes).toEqual([{ set: 'policy', policy: { maxInFlight: 7 } }]);
    expect(orders.frames.filter(({ type }) => type === 'delta')).toHaveLength(1);
  });

  test('a Service that does not exist yet is null with the reason, then a snapshot', async () => {
    await start();
    const proxy = await clientOf();
    await proxy.discover();
    await proxy.subscribe('orders.shop:80');
    expect(await proxy.until((each) => each.type === 'snapshot')).toMatchObject({ destination: null });
    expect(await proxy.until((each) => each.type === 'error')).toMatchObject({ code: 'NoSuchService' });
    catalog.set({ kind: 'Service', object: service('orders') });
    await proxy.until((each) => each.type === 'snapshot' && each.destination !== null);
  });

  test('a known session continues without repeating what was acknowledged', async () => {
    await start();
    const proxy = await clientOf();
    await proxy.discover('?pod=a');
    await proxy.subscribe('web.shop:80', 'orders.shop:80');
    const web = await proxy.until<Snapshot>((each) => each.type === 'snapshot' && each.key === 'web.shop:80');
    await proxy.until((each) => each.type === 'snapshot' && each.key === 'orders.shop:80');
    await proxy.ack('web.shop:80', web.version, '1');
    const again = await clientOf();
    expect(await again.discover(`?session=${proxy.session}&pod=a`)).toMatchObject({
      resumed: true,
      session: proxy.session,
    });
    await proxy.end();
    await again.until((each) => each.type === 'snapshot' && each.key === 'orders.shop:80');
    expect(again.frames.some((each) => each.type === 'snapshot' && each.key === 'web.shop:80')).toBe(false);
    catalog.set({ kind: 'TrafficSplit', object: split('2', { 'web-stable': 1 }) });
    expect(await again.until<Delta>((each) => each.type === 'delta')).toMatchObject({ base: web.version });
  });

  test('a proxy that does not read gets one snapshot once it does', async () => {
    await start({ streamLimit: 1024 });
    const proxy = await clientOf();
    await proxy.discover();
    await proxy.subscribe('web.shop:80');
    await proxy.until((each) => each.type === 'snapshot');
    proxy.pause();
    const bulk = (round: number) =>
      slice(
        'web-canary',
        Array.from({ length: 500 }, (_, n) => ({
          ip: `10.${round % 250}.${n >> 8}.${n & 255}`,
          pod: `p${round}-${n}`,
        })),
      );
    for (let round = 1; round <= 120; round++) {
      catalog.set({ kind: 'EndpointSlice', object: bulk(round) });
      catalog.flush();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const last = catalog.get('web.shop:80')!.version;
    proxy.resume();
    await proxy.until((each) => 'version' in each && each.version === last && each.type === 'snapshot');
    expect(proxy.frames.length).toBeLessThan(120);
  });
});

describe('acknowledgements', () => {
  test('follow subscriptions, acks, new versions and the end of a pod', async () => {
    await start();
    const controller = await clientOf(CONTROLLER);
    await controller.open('/v1/acknowledgements');
    await controller.until(counts({ version: '1', subscribed: 0, acknowledged: 0, split: 'shop/web' }));
    const proxy = await clientOf();
    await proxy.discover('?pod=a');
    await proxy.subscribe('web.shop:80');
    await controller.until(counts({ version: '1', subscribed: 1, acknowledged: 0 }));
    const snapshot = await proxy.until<Snapshot>((each) => each.type === 'snapshot');
    await proxy.ack('web.shop:80', snapshot.version, '1');
    await controller.until(counts({ version: '1', subscribed: 1, acknowledged: 1, settled: true }));
    catalog.set({ kind: 'TrafficSplit', object: split('2', { 'web-stable': 9, 'web-canary': 1 }) });
    await controller.until(counts({ version: '2', subscribed: 1, acknowledged: 0 }));
    const delta = await proxy.until<Delta>((each) => each.type === 'delta');
    await proxy.ack('web.shop:80', delta.version, '1');
    await proxy.ack('web.shop:80', delta.version, '2');
    await controller.until(counts({ version: '2', subscribed: 1, acknowledged: 1 }));
    server.registry.podGone('shop/a');
    await controller.until(counts({ version: '2', subscribed: 0, acknowledged: 0 }));
    await proxy.end();
  });

  test('a disconnected proxy counts until its lease is over', async () => {
    await start({ leaseSeconds: 0.5 });
    const controller = await clientOf(CONTROLLER);
    await controller.open('/v1/acknowledgements');
    const proxy = await clientOf();
    await proxy.discover('?pod=a');
    await proxy.subscribe('web.shop:80');
    await controller.until(counts({ subscribed: 1 }));
    const left = Date.now();
    proxy.close();
    const from = controller.frames.length;
    await controller.until(
      (each) => controller.frames.indexOf(each) >= from && counts({ subscribed: 0 })(each),
    );
    expect(Date.now() - left).toBeGreaterThanOrEqual(490);
  });

  test('a proxy that stops answering pings is dropped, one that never promised to is not', async () => {
    await start({ leaseSeconds: 0.3 });
    const [silent, simple] = [await clientOf(), await clientOf()];
    await silent.discover('?pod=a');
    await simple.discover('?pod=b');
    const ping = await silent.until<Extract<DownFrame, { type: 'ping' }>>((each) => each.type === 'ping');
    await silent.post('/v1/acks', { session: silent.session, acks: [], ping: ping.version });
    await silent.end();
    expect(simple.ended).toBe(false);
    await simple.until(() => simple.frames.filter((each) => each.type === 'ping').length >= 3);
  });

  test('after a restart counts are unsettled until every meshed pod has been heard', async () => {
    await start();
    const controller = await clientOf(CONTROLLER);
    await controller.open('/v1/acknowledgements');
    await controller.until(counts({ subscribed: 0, settled: false }));
    const proxy = await clientOf();
    await proxy.discover('?pod=a');
    await proxy.subscribe('web.shop:80');
    await controller.until(counts({ subscribed: 1, acknowledged: 0, settled: true }));
    expect(
      controller.frames.some((each) => counts({ settled: true })(each) && counts({ subscribed: 0 })(each)),
    ).toBe(false);
  });
});

test('stop ends the streams, and a new server takes the proxies back', async () => {
  await start();
  const proxy = await clientOf();
  await proxy.discover('?pod=a');
  await server.stop();
  await proxy.end();
  await start();
  const again = await clientOf();
  expect((await again.discover(`?session=${proxy.session}&pod=a`)).resumed).toBe(false);
});
