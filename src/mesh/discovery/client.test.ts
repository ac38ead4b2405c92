import { once } from 'node:events';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { Authority, createRoot } from '../identity/authority.ts';
import { createRequest } from '../identity/client/csr.ts';
import type { IdentityMaterial } from '../identity/client.ts';
import { Catalog } from './catalog.ts';
import { applyChanges } from './client/apply.ts';
import { LineReader } from './client/lines.ts';
import { DiscoveryClient } from './client.ts';
import { ClusterIndex } from './cluster-index.ts';
import { diffDestination } from './diff.ts';
import { pod, service, slice, split } from './fixtures.ts';
import type { Backend, Destination } from './model.ts';
import { DiscoveryServer } from './server.ts';

const KEY = 'web.shop:80';
let authority: Authority;
let material: IdentityMaterial;

beforeAll(async () => {
  authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
  const { key, csr } = createRequest();
  const names = { spiffe: 'spiffe://weir.local/ns/shop/sa/client', dns: 'client.shop.weir.local' };
  material = { key, cert: (await authority.signRequest(csr, names)).certificate, trust: authority.bundle };
});

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function cluster(): Catalog {
  const index = new ClusterIndex({ trustDomain: 'weir.local' });
  const catalog = new Catalog({ index, leaseSeconds: 15 });
  for (const name of ['web', 'web-stable', 'web-canary'])
    catalog.set({ kind: 'Service', object: service(name) });
  catalog.set({ kind: 'Pod', object: pod('a') });
  catalog.set({ kind: 'EndpointSlice', object: slice('web-stable', [{ ip: '10.0.0.1', pod: 'a' }]) });
  catalog.set({ kind: 'TrafficSplit', object: split('1', { 'web-stable': 100, 'web-canary': 0 }) });
  indexes.set(catalog, index);
  return catalog;
}
const indexes = new WeakMap<Catalog, ClusterIndex>();

/**
 * A bad network: passes the client's requests on to the real server, and every line of its stream, unless told
 * otherwise.
 */
async function between(target: number) {
  const faults = {
    /** Whether a line of the stream is lost. */
    loses: (_line: string) => false,
    /** What becomes of a request to subscribe: undefined = it is passed on. */
    subscribe: (): number | undefined => undefined,
  };
  const seen = { subscriptions: 0, streams: 0 };
  const { key, cert, trust: ca } = material;
  const server = createServer(
    { ...(await authority.issueServer(['weir-mesh.weir.svc'])), ca, requestCert: true },
    (incoming, outgoing) => {
      const stream = incoming.url!.startsWith('/v1/discover');
      if (stream) seen.streams += 1;
      if (incoming.url === '/v1/subscriptions') {
        seen.subscriptions += 1;
        const status = faults.subscribe();
        if (status !== undefined) {
          incoming.resume();
          return void outgoing.writeHead(status).end();
        }
      }
      const { method, url: path, headers } = incoming;
      const to = { host: '127.0.0.1', port: target, servername: 'weir-mesh.weir.svc', agent: false as const };
      const onward = request({ ...to, method, path, headers, key, cert, ca }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        if (!stream) return void answer.pipe(outgoing);
        const lines = new LineReader((line) => {
          if (!faults.loses(line)) outgoing.write(`${line}\n`);
        });
        answer.on('data', (chunk: Buffer) => lines.push(chunk));
        answer.on('error', () => outgoing.destroy());
        answer.on('end', () => outgoing.end());
      });
      onward.on('error', () => outgoing.destroy());
      outgoing.on('close', () => onward.destroy());
      incoming.pipe(onward);
    },
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  const cut = () => server.closeAllConnections();
  return { port: (server.address() as AddressInfo).port, faults, seen, cut };
}

async function serve(catalog: Catalog, port = 0): Promise<{ server: DiscoveryServer; port: number }> {
  const tls = await authority.issueServer(['weir-mesh.weir.svc']);
  const server = new DiscoveryServer({
    listen: { host: '127.0.0.1', port },
    tls: () => tls,
    trust: () => authority.bundle,
    trustDomain: 'weir.local',
    catalog,
    index: indexes.get(catalog)!,
    certificates: async () => ({}),
    log: silentLogger,
    leaseSeconds: 3,
  });
  return { server, port: await server.start() };
}

function follow(port: number, clock: Clock = systemClock) {
  const applied: (Destination | undefined)[] = [];
  const others: { key: string; alias?: string; destination?: Destination | undefined }[] = [];
  let wake = () => {};
  let words = 0;
  const client = new DiscoveryClient({
    address: `https://127.0.0.1:${port}`,
    servername: 'weir-mesh.weir.svc',
    credentials: { current: () => material },
    pod: 'client-1',
    keys: [KEY],
    apply: (key, destination, alias) => {
      if (key === KEY) applied.push(destination);
      else others.push(alias ? { key, alias } : { key, destination });
      wake();
    },
    heard: () => {
      words += 1;
    },
    trust: () => {},
    log: silentLogger,
    clock,
  });
  cleanups.push(() => client.stop());
  client.start();
  const until = async (condition: (destination: Destination | undefined) => boolean) => {
    while (applied.length === 0 || !condition(applied.at(-1))) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  /** The next answer about another key. */
  const other = async () => {
    while (others.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return others.shift()!;
  };
  return { client, applied, until, other, words: () => words };
}

/** A real clock that tells how long each wait between streams was; `pass` lets time pass at once. */
function waits() {
  const slept: number[] = [];
  let passed = 0;
  let wake = () => {};
  const clock: Clock = {
    now: () => systemClock.now() + passed,
    sleep: (milliseconds, signal) => {
      slept.push(milliseconds);
      wake();
      return systemClock.sleep(milliseconds, signal);
    },
  };
  const atLeast = async (count: number) => {
    while (slept.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const pass = (milliseconds: number) => {
    passed += milliseconds;
  };
  return { clock, slept, atLeast, pass };
}

const weightOf = (destination: Destination | undefined, name: string) =>
  destination?.backends.find((backend) => backend.name === name)?.weight;

describe('with a control plane', () => {
  test('follows snapshots and deltas, and what it acknowledges is counted', async () => {
    const catalog = cluster();
    const { server, port } = await serve(catalog);
    cleanups.push(() => server.stop());
    const { client, until, words } = follow(port);
    await client.synced;
    await until((destination) => weightOf(destination, 'web-stable') === 100);
    catalog.set({ kind: 'TrafficSplit', object: split('2', { 'web-stable': 80, 'web-canary': 20 }) });
    await until(
      (destination) => weightOf(destination, 'web-canary') === 20 && destination?.split?.version === '2',
    );
    expect(words()).toBeGreaterThan(1);
    expect(client.connected).toBe(true);
  });

  test('a restarted control plane is found again; until then the last known state rules', async () => {
    const catalog = cluster();
    const first = await serve(catalog);
    const { until, applied } = follow(first.port);
    await until((destination) => weightOf(destination, 'web-stable') === 100);
    await first.server.stop();
    const before = applied.length;
    catalog.set({ kind: 'TrafficSplit', object: split('3', { 'web-stable': 50, 'web-canary': 50 }) });
    expect(applied.length).toBe(before);
    const second = await serve(catalog, first.port);
    cleanups.push(() => second.server.stop());
    await until((destination) => weightOf(destination, 'web-canary') === 50);
  });

  test('two that give the same pod’s name take the session from each other less and less often', async () => {
    const { server, port } = await serve(cluster());
    cleanups.push(() => server.stop());
    const [one, other] = [waits(), waits()];
    follow(port, one.clock);
    follow(port, other.clock);
    await Promise.all([one.atLeast(5), other.atLeast(5)]);
    // The fifth: between half and the whole of 50 ms doubled four times.
    for (const { slept } of [one, other]) expect(slept[4]).toBeGreaterThanOrEqual(400);
  });

  test('a stream that has lasted is followed by the next at once', async () => {
    const { server, port } = await serve(cluster());
    cleanups.push(() => server.stop());
    const network = await between(port);
    const { clock, slept, atLeast, pass } = waits();
    const { client } = follow(network.port, clock);
    for (let cut = 1; cut <= 4; cut += 1) {
      while (!client.connected) await new Promise((resolve) => setImmediate(resolve));
      if (cut === 4) pass(3_000);
      network.cut();
      await atLeast(cut);
    }
    expect(slept[2]).toBeGreaterThanOrEqual(100);
    expect(slept[3]).toBeLessThanOrEqual(50);
  });

  const weights = (catalog: Catalog, version: string, canary: number) =>
    catalog.set({
      kind: 'TrafficSplit',
      object: split(version, { 'web-stable': 100 - canary, 'web-canary': canary }),
    });

  /** A client behind a bad network that has lost one delta, so that the next does not fit. */
  async function afterLoss(subscribe: (attempt: number) => number | undefined) {
    const catalog = cluster();
    const { server, port } = await serve(catalog);
    const network = await between(port);
    cleanups.push(() => server.stop());
    const client = follow(network.port);
    await client.until((destination) => weightOf(destination, 'web-stable') === 100);
    let lost = 0;
    network.faults.loses = (line) => line.includes('"type":"delta"') && ++lost === 1;
    const before = network.seen.subscriptions;
    network.faults.subscribe = () => subscribe(network.seen.subscriptions - before);
    weights(catalog, '2', 10);
    // One by one: changes of one moment would share a delta.
    while (lost === 0) await new Promise((resolve) => setImmediate(resolve));
    weights(catalog, '3', 20);
    return { ...client, catalog, network, lost: () => lost };
  }

  test('a lost delta: the state is asked for anew', async () => {
    const { until, lost } = await afterLoss(() => undefined);
    await until((destination) => weightOf(destination, 'web-canary') === 20);
    expect(lost()).toBeGreaterThan(0);
  });

  test('a lost delta, and the request for the state fails: the resumed session asks again', async () => {
    const { until, network } = await afterLoss((attempt) => (attempt <= 2 ? 503 : undefined));
    await until((destination) => weightOf(destination, 'web-canary') === 20);
    expect(network.seen.streams).toBeGreaterThan(1);
  });

  test('a lost delta, and the request for the state is swallowed: asked again on the same stream', async () => {
    const { until, network, catalog } = await afterLoss((attempt) => (attempt === 1 ? 204 : undefined));
    await until((destination) => weightOf(destination, 'web-canary') === 20);
    expect(network.seen.streams).toBe(1);
    weights(catalog, '4', 30);
    await until((destination) => weightOf(destination, 'web-canary') === 30);
  });
});

describe('addresses', () => {
  const at = (clusterIP: string) => ({ kind: 'Service' as const, object: service('web', { clusterIP }) });

  test('are followed when they are first seen, and no longer when they are not', async () => {
    const catalog = cluster();
    const { server, port } = await serve(catalog);
    cleanups.push(() => server.stop());
    const { client, other, until } = follow(port);
    await client.synced;
    client.follow('10.96.0.1:80');
    expect(await other()).toEqual({ key: '10.96.0.1:80', destination: undefined });
    catalog.set(at('10.96.0.1'));
    expect(await other()).toEqual({ key: '10.96.0.1:80', alias: KEY });
    catalog.set(at('10.96.0.2'));
    expect(await other()).toEqual({ key: '10.96.0.1:80', destination: undefined });
    client.unfollow('10.96.0.1:80');
    while (catalog.get('10.96.0.1:80')) await new Promise((resolve) => setImmediate(resolve));
    // Everything else goes on as it did.
    catalog.set({ kind: 'TrafficSplit', object: split('2', { 'web-stable': 80, 'web-canary': 20 }) });
    await until((destination) => weightOf(destination, 'web-canary') === 20);
  });

  test('that are no longer followed do not stay because a request was lost: nobody waits for their proxy', async () => {
    const catalog = cluster();
    const { server, port } = await serve(catalog);
    const network = await between(port);
    cleanups.push(() => server.stop());
    const { client, other, until } = follow(network.port);
    await until((destination) => weightOf(destination, 'web-stable') === 100);
    client.follow('web-canary.shop:80');
    await other();
    const before = network.seen.subscriptions;
    network.faults.subscribe = () => (network.seen.subscriptions === before + 1 ? 204 : undefined);
    client.unfollow('web-canary.shop:80');
    while (network.seen.subscriptions === before) await new Promise((resolve) => setImmediate(resolve));
    expect(catalog.get('web-canary.shop:80')?.followers).toBe(1);
    catalog.set({ kind: 'EndpointSlice', object: slice('web-canary', [{ ip: '10.0.0.1', pod: 'a' }]) });
    while (catalog.get('web-canary.shop:80')) await new Promise((resolve) => setImmediate(resolve));
  });

  test('are followed again in a new session', async () => {
    const catalog = cluster();
    catalog.set(at('10.96.0.1'));
    const first = await serve(catalog);
    const { client, other, until } = follow(first.port);
    await until((destination) => weightOf(destination, 'web-stable') === 100);
    client.follow('10.96.0.1:80');
    await other();
    await first.server.stop();
    const second = await serve(catalog, first.port);
    cleanups.push(() => second.server.stop());
    expect(await other()).toEqual({ key: '10.96.0.1:80', alias: KEY });
  });
});

test('changes on top of one state give the next (property, against the server’s own diff)', () => {
  const endpoint = fc.record({
    address: fc.constantFrom('10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80'),
    zone: fc.constantFrom('a', 'b'),
  });
  const backend: fc.Arbitrary<Backend> = fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    weight: fc.nat(100),
    revision: fc.constantFrom('1', '2'),
    endpoints: fc
      .uniqueArray(endpoint, { selector: ({ address }) => address })
      .map((all) => all.sort((x, y) => (x.address < y.address ? -1 : 1))),
  });
  const state: fc.Arbitrary<Destination> = fc.record({
    key: fc.constant(KEY),
    namespace: fc.constant('shop'),
    protocol: fc.constant('detect' as const),
    policy: fc.constant({}),
    backends: fc
      .uniqueArray(backend, { selector: ({ name }) => name })
      .map((all) => all.sort((x, y) => (x.name < y.name ? -1 : 1))),
  });
  fc.assert(
    fc.property(state, state, (from, to) => {
      expect(applyChanges(from, diffDestination(from, to)!)).toEqual(to);
    }),
  );
});

test('lines are the same however the stream is cut (property)', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-zé]+$/)), fc.nat(9), (texts, step) => {
      const seen: string[] = [];
      const reader = new LineReader((text) => seen.push(text));
      const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(''));
      for (let at = 0; at < bytes.length; at += step + 1) reader.push(bytes.subarray(at, at + step + 1));
      expect(seen).toEqual(texts);
    }),
  );
});
