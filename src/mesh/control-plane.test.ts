import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../api/meta.ts';
import type { TrafficPolicy } from '../api/traffic-policy.ts';
import { connect } from '../kube/index.ts';
import { isCode } from '../lib/errors.ts';
import { silentLogger } from '../lib/log.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { DiscoveryClient } from './discovery/client.ts';
import { pod, service, slice, split } from './discovery/fixtures.ts';
import type { Destination } from './discovery/model.ts';
import { FakeApi } from './fake-api.ts';
import { createRequest } from './identity/client/csr.ts';
import { HttpsCaller, postJson } from './identity/client/request.ts';
import { IdentityClient } from './identity/client.ts';
import { trafficPolicy } from './policy/fixtures.ts';
import { withCaBundle } from './webhook-bundles.ts';

const CORE = '/api/v1';
const SPLITS = '/apis/split.smi-spec.io/v1alpha4/trafficsplits';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const POLICIES = '/apis/weir.dev/v1alpha1/trafficpolicies';
const LEASES = '/apis/coordination.k8s.io/v1/leases';
const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

let api: FakeApi;
const stops: (() => unknown)[] = [];

beforeEach(async () => {
  api = await new FakeApi().start();
  api.tokens.set('web', { username: 'system:serviceaccount:shop:web', audiences: ['weir-identity'] });
  api.set(`${CORE}/namespaces`, { metadata: { name: 'shop', labels: { 'weir.dev/inject': 'enabled' } } });
});

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  api.stop();
});

async function start(replica = 'mesh-1'): Promise<ControlPlane> {
  const stop = new AbortController();
  const client = await connect({ kubeconfig: api.kubeconfig });
  stops.push(() => stop.abort());
  const plane = await startControlPlane({
    client,
    namespace: 'weir',
    replica,
    trustDomain: 'weir.local',
    listen: { host: '127.0.0.1', port: 0 },
    image: 'weir:1',
    sidecar: 'container',
    certificateLifetime: 3_600_000,
    log: silentLogger,
    signal: stop.signal,
  });
  stops.push(() => plane.stop());
  return plane;
}

/** Polls what another process would see. */
async function until<T>(read: () => T | undefined | false): Promise<T> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; ) {
    const value = read();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`still not so after 20 s: ${read}`);
}

const bundleIn = (namespace: string) =>
  (api.get(`${CORE}/configmaps`, `${namespace}/weir-trust`) as { data?: Record<string, string> } | undefined)
    ?.data?.['ca.pem'];

describe('the issuer', () => {
  test('is made once; replicas that start together agree; a broken one is left alone', async () => {
    await Promise.all([start(), start()]);
    const secret = JSON.stringify(api.get(`${CORE}/secrets`, 'weir/weir-identity-issuer'));
    await start();
    expect(JSON.stringify(api.get(`${CORE}/secrets`, 'weir/weir-identity-issuer'))).toBe(secret);
    api.set(`${CORE}/secrets`, {
      metadata: { name: 'weir-identity-issuer', namespace: 'weir' },
      data: {},
    });
    await expect(start()).rejects.toThrow(/lacks tls.crt or tls.key: restore it/);
  });
});

describe('trust', () => {
  test('reaches the system namespace, labelled namespaces and those with injected pods, and is put back', async () => {
    await start();
    const bundle = await until(() => bundleIn('weir'));
    await until(() => bundleIn('shop') === bundle);
    const injected = pod('a');
    injected.metadata.namespace = 'pay';
    api.set(`${CORE}/pods`, injected);
    await until(() => bundleIn('pay') === bundle);
    api.delete(`${CORE}/configmaps`, 'shop/weir-trust');
    await until(() => bundleIn('shop') === bundle);
    api.set(`${CORE}/configmaps`, {
      metadata: { name: 'weir-trust', namespace: 'shop' },
      data: { 'ca.pem': 'x' },
    });
    await until(() => bundleIn('shop') === bundle);
    expect(bundleIn('other')).toBeUndefined();
  });

  test('is in the webhook configurations before the process is ready, and stays there', async () => {
    const webhook = (caBundle?: string) => ({
      metadata: { name: 'inject.weir.dev', labels: { 'app.kubernetes.io/part-of': 'weir' } },
      webhooks: [
        {
          name: 'a',
          clientConfig: {
            service: { namespace: 'weir', name: 'weir-mesh' },
            ...(caBundle ? { caBundle } : {}),
          },
        },
      ],
    });
    api.set(WEBHOOKS, webhook());
    const plane = await start();
    const filled = () =>
      (api.get(WEBHOOKS, '/inject.weir.dev') as ReturnType<typeof webhook> | undefined)?.webhooks[0]
        ?.clientConfig.caBundle;
    await until(() => plane.ready());
    const expected = Buffer.from((await until(() => bundleIn('weir')))!).toString('base64');
    expect(filled()).toBe(expected);
    api.set(WEBHOOKS, webhook('b3RoZXI='));
    await until(() => filled() === expected);

    // Written by somebody else, and that seen, before our own write is answered.
    api.replaced = async (collection) => {
      if (collection !== WEBHOOKS) return;
      api.replaced = async () => {};
      api.set(WEBHOOKS, webhook('b3RoZXI='));
      // The watch has brought what comes after it.
      api.set(`${CORE}/namespaces`, { metadata: { name: 'next', labels: { 'weir.dev/inject': 'enabled' } } });
      while (!bundleIn('next')) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    api.set(WEBHOOKS, webhook());
    await until(() => bundleIn('next') && filled() === expected);
  });

  test('webhooks of others in the same configuration are not touched', () => {
    const service = { namespace: 'weir', name: 'weir-mesh' };
    const configuration = {
      metadata: { name: 'x' },
      webhooks: [
        { name: 'a', clientConfig: { service: { namespace: 'other', name: 'weir-mesh' }, caBundle: 'o' } },
        { name: 'b', clientConfig: { service } },
      ],
    };
    const next = withCaBundle(configuration, service, 'PEM')!;
    expect(next.webhooks!.map(({ clientConfig }) => clientConfig!.caBundle)).toEqual(['o', 'UEVN']);
    expect(withCaBundle(next, service, 'PEM')).toBeUndefined();
  });
});

test('a TrafficSplit that has no effect is told why, in an Event', async () => {
  await start();
  const told = () =>
    [...api.all(`${CORE}/events`)].map(({ reason, message, involvedObject }) => [
      (involvedObject as { name: string }).name,
      reason,
      message,
    ]);
  const matches = [{ kind: 'HTTPRouteGroup', name: 'testers' }];
  const plain = split('0', { 'web-canary': 100 });
  api.set(SPLITS, { ...plain, spec: { ...plain.spec, matches } } as KubeObject);
  await until(() => told().length === 1);
  expect(told()).toEqual([
    ['web', 'SplitIgnored', expect.stringMatching(/^spec\.matches .* has no effect$/)],
  ]);
});

describe('certificates', () => {
  const post = async (plane: ControlPlane, token: string) =>
    (await postJson(
      new HttpsCaller({ address: `https://127.0.0.1:${plane.port}`, servername: 'weir-mesh.weir.svc' }),
      {
        path: '/v1/certificates',
        credentials: { trust: (await until(() => bundleIn('weir')))! },
        body: { csr: createRequest().csr, token },
      },
    )) as { certificate: string; trust: string; notAfter: string };

  test('go to ServiceAccounts with a token of the right audience, under the name of the token', async () => {
    const plane = await start();
    const answer = await post(plane, 'web');
    expect(new X509Certificate(answer.certificate).subjectAltName).toBe(
      'URI:spiffe://weir.local/ns/shop/sa/web, DNS:web.shop.weir.local',
    );
    expect(answer.trust).toBe(bundleIn('weir'));
    api.tokens.set('api', { username: 'system:serviceaccount:shop:web', audiences: ['kubernetes'] });
    api.tokens.set('human', { username: 'alice', audiences: ['weir-identity'] });
    const code = async (token: string) => {
      const thrown = await post(plane, token).catch((error: unknown) => error);
      return ['Unauthorized', 'Forbidden'].find((each) => isCode(thrown, each as 'Forbidden'));
    };
    expect(await code('nonsense')).toBe('Unauthorized');
    expect(await code('api')).toBe('Unauthorized');
    expect(await code('human')).toBe('Forbidden');
    expect(plane.stats()).toMatchObject({ certificatesIssued: 1, certificatesRefused: 3 });
  });
});

describe('the status of TrafficPolicies', () => {
  const stored = (name: string) =>
    api.get(POLICIES, `shop/${name}`) as
      | (TrafficPolicy & { metadata: { resourceVersion: string } })
      | undefined;
  const condition = (name: string, type: string) =>
    stored(name)?.status?.conditions.find((each) => each.type === type);
  const set = (...args: Parameters<typeof trafficPolicy>) =>
    api.set(POLICIES, trafficPolicy(...args) as KubeObject);
  const leader = () =>
    (api.get(LEASES, 'weir/weir-mesh-status')?.spec as { holderIdentity?: string } | undefined)
      ?.holderIdentity;

  test('is told when a policy, another one or the Service changes', async () => {
    const plane = await start();
    expect(leader()).toBeUndefined();
    set('mine', { maxInFlight: 9 }, { created: '2026-02-01T00:00:00Z' });
    expect((await until(() => condition('mine', 'Accepted'))).reason).toBe('TargetNotFound');
    api.set(`${CORE}/services`, service('web'));
    await until(() => condition('mine', 'Accepted')?.status === 'True');
    set('base', { maxInFlight: 5 });
    await until(() => condition('mine', 'Accepted')?.reason === 'Conflicted');
    expect(condition('mine', 'Conflicted')!.message).toContain('maxInFlight (TrafficPolicy base)');
    await until(() => condition('base', 'Accepted')?.status === 'True');
    api.delete(POLICIES, 'shop/base');
    await until(() => condition('mine', 'Accepted')?.status === 'True');
    expect(condition('mine', 'Conflicted')).toBeUndefined();
    set('mine', { breaker: { consecutive: 0 } });
    await until(() => condition('mine', 'Accepted')?.reason === 'Invalid');
    expect(leader()).toBe('mesh-1');
    await plane.stop();
    expect(leader()).toBe('');
  });

  test('is written by one replica, and not again when nothing has changed; another one goes on', async () => {
    api.set(`${CORE}/services`, service('web'));
    const planes = { 'mesh-1': await start('mesh-1'), 'mesh-2': await start('mesh-2') };
    set('base', { maxInFlight: 5 });
    await until(() => condition('base', 'Accepted'));
    const { resourceVersion } = stored('base')!.metadata;
    const first = leader() as 'mesh-1' | 'mesh-2';
    // A change elsewhere goes the same way and is written after: had this one been written again, that had come before.
    set('next', { retries: { max: 1 } });
    await until(() => condition('next', 'Accepted'));
    expect(stored('base')!.metadata.resourceVersion).toBe(resourceVersion);
    await planes[first].stop();
    set('last', { balancer: { zones: 'ignore' } });
    await until(() => condition('last', 'Accepted'));
    expect(leader()).toBe(first === 'mesh-1' ? 'mesh-2' : 'mesh-1');
    expect(stored('base')!.metadata.resourceVersion).toBe(resourceVersion);
  });
});

test('a proxy’s own clients get a certificate, follow a Service and its split', async () => {
  api.set(`${CORE}/services`, service('web'));
  api.set(`${CORE}/services`, service('web-stable', { role: 'stable' }));
  api.set(`${CORE}/services`, service('web-canary'));
  api.set(`${CORE}/pods`, pod('a'));
  api.set(SLICES, slice('web-stable', [{ ip: '10.0.0.1', pod: 'a' }]));
  api.set(SPLITS, split('0', { 'web-stable': 100, 'web-canary': 0 }));
  const plane = await start();
  const directory = await mkdtemp(join(tmpdir(), 'weir-mesh-'));
  stops.push(() => rm(directory, { recursive: true }));
  const [trustFile, tokenFile] = [join(directory, 'ca.pem'), join(directory, 'token')];
  await writeFile(trustFile, (await until(() => bundleIn('weir')))!);
  await writeFile(tokenFile, 'web');
  const where = { address: `https://127.0.0.1:${plane.port}`, servername: 'weir-mesh.weir.svc' };
  const identity = new IdentityClient({
    ...where,
    trustFile,
    tokenFile,
    trustDomain: 'weir.local',
    log: silentLogger,
  });
  stops.push(() => identity.stop());
  await identity.start();
  let current: Destination | undefined;
  const discovery = new DiscoveryClient({
    ...where,
    credentials: identity,
    pod: 'a',
    keys: ['web.shop:80'],
    apply: (_key, destination) => {
      current = destination;
    },
    heard: () => {},
    trust: () => {},
    log: silentLogger,
  });
  stops.push(() => discovery.stop());
  discovery.start();
  await discovery.synced;
  expect(current!.backends.map(({ name, weight }) => [name, weight])).toEqual([
    ['web-canary', 0],
    ['web-stable', 100],
  ]);
  api.set(SPLITS, split('0', { 'web-stable': 80, 'web-canary': 20 }));
  await until(() => current!.backends[0]!.weight === 20);
  api.set(SLICES, slice('web-canary', [{ ip: '10.0.0.2', pod: 'b' }]));
  await until(() => current!.backends[0]!.endpoints.length === 1);
  expect(plane.stats()).toMatchObject({ connected: 1, settled: true });
});
