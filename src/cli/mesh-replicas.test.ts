import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../api/meta.ts';
import { MESH_SERVICE } from '../api/names.ts';
import { connect } from '../kube/index.ts';
import { silentLogger } from '../lib/log.ts';
import { startControlPlane } from '../mesh/control-plane.ts';
import { FakeApi } from '../mesh/fake-api.ts';
import { IdentityClient } from '../mesh/identity/client.ts';
import { followMesh, replicasOf } from './mesh-replicas.ts';

const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';

let api: FakeApi;
const stops: (() => unknown)[] = [];

beforeEach(async () => {
  api = await new FakeApi().start();
  api.tokens.set('token', {
    username: 'system:serviceaccount:weir:weir-controller',
    audiences: ['weir-identity'],
  });
});

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  api.stop();
});

async function until<T>(read: () => T | undefined | false): Promise<T> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; ) {
    const value = read();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`still not so after 20 s: ${read}`);
}

const slice = (port: number, conditions: object = { ready: true }): KubeObject => ({
  metadata: {
    name: `${MESH_SERVICE}-a`,
    namespace: 'weir',
    labels: { 'kubernetes.io/service-name': MESH_SERVICE },
  },
  endpoints: [{ addresses: ['127.0.0.1'], conditions }],
  ports: [{ name: 'discovery', port }],
});

/** A real `weir mesh`, and what the controller follows it with; nothing of it started. */
async function given() {
  const stop = new AbortController();
  const client = await connect({ kubeconfig: api.kubeconfig });
  stops.push(() => {
    stop.abort();
    client.close();
  });
  const plane = await startControlPlane({
    client,
    namespace: 'weir',
    replica: 'mesh',
    trustDomain: 'weir.local',
    listen: { host: '127.0.0.1', port: 0 },
    image: 'weir:1',
    sidecar: 'container',
    certificateLifetime: 3_600_000,
    log: silentLogger,
    signal: stop.signal,
  });
  stops.push(() => plane.stop());
  const bundle = await until(
    () =>
      (api.get('/api/v1/configmaps', 'weir/weir-trust') as { data?: Record<string, string> } | undefined)
        ?.data?.['ca.pem'],
  );
  const directory = await mkdtemp(join(tmpdir(), 'weir-mesh-'));
  stops.push(() => rm(directory, { recursive: true }));
  const [trustFile, tokenFile] = [join(directory, 'ca.pem'), join(directory, 'token')];
  await writeFile(trustFile, bundle);
  await writeFile(tokenFile, 'token');
  const identity = new IdentityClient({
    address: `https://127.0.0.1:${plane.port}`,
    servername: `${MESH_SERVICE}.weir.svc`,
    trustFile,
    tokenFile,
    trustDomain: 'weir.local',
    log: silentLogger,
  });
  stops.push(() => identity.stop());
  const mesh = followMesh({ client, identity, namespace: 'weir', log: silentLogger });
  stops.push(() => mesh.acknowledgements.stop());
  return { plane, identity, ...mesh, signal: stop.signal };
}

describe('the acknowledgement stream is opened', () => {
  test.each(['the certificate', 'the first list'])('when %s comes first', async (first) => {
    const { plane, identity, slices, acknowledgements, signal } = await given();
    api.set(SLICES, slice(plane.port));
    const list = async () => {
      slices.start(signal);
      await slices.synced;
    };
    if (first === 'the certificate') {
      await identity.start();
      await list();
    } else {
      await list();
      await identity.start();
    }
    // Nothing changes from here on: what opens the stream was the later of the two.
    await until(() => acknowledgements.of('shop/web', '1').why?.includes('has not seen TrafficSplit'));
  });

  test('and a replica that dies mid-stream is unknown, no crash', async () => {
    const { plane, identity, slices, acknowledgements, signal } = await given();
    api.set(SLICES, slice(plane.port));
    slices.start(signal);
    await identity.start();
    await until(() => acknowledgements.of('shop/web', '1').why?.includes('has not seen TrafficSplit'));
    await plane.stop();
    await until(() => acknowledgements.of('shop/web', '1').why?.includes('does not answer'));
    expect(acknowledgements.of('shop/web', '1').done).toBe(false);
  });
});

test('every replica that may hold a proxy is asked, ready or not', () => {
  const asked = (conditions: object | undefined) =>
    replicasOf([slice(8443, conditions) as Parameters<typeof replicasOf>[0][number]]).length === 1;
  expect(asked({})).toBe(true);
  expect(asked({ ready: null, serving: null, terminating: null })).toBe(true);
  expect(asked({ ready: true, serving: true, terminating: false })).toBe(true);
  expect(asked({ ready: false, serving: false, terminating: false })).toBe(true);
  expect(asked({ ready: false, serving: true, terminating: true })).toBe(true);
  expect(asked({ ready: false, serving: false, terminating: true })).toBe(false);
});

test('a replica that turns unready is asked on, over the same stream; silent, it holds', async () => {
  const { plane, identity, slices, acknowledgements, signal } = await given();
  api.set(SLICES, slice(plane.port));
  slices.start(signal);
  await identity.start();
  const says = (text: string) => until(() => acknowledgements.of('shop/web', '1').why?.includes(text));
  await says('has not seen TrafficSplit');
  let told = 0;
  acknowledgements.onChange(() => {
    told += 1;
  });
  api.set(SLICES, slice(plane.port, { ready: false, serving: false, terminating: false }));
  await until(() => slices.store.list()[0]?.endpoints?.[0]?.conditions?.ready === false);
  expect(told).toBe(0);
  expect(acknowledgements.of('shop/web', '1').why).toContain('has not seen TrafficSplit');
  await plane.stop();
  await says('does not answer');
  api.set(SLICES, slice(plane.port, { ready: false, serving: false, terminating: true }));
  await says('no replica of weir mesh');
});
