import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import type { TrafficSplit } from '../api/traffic-split.ts';
import { type Client, connect } from '../kube/client.ts';
import { plainKubeconfig } from '../kube/fixtures.ts';
import { meshRouter } from './mesh.ts';

const route = {
  namespace: 'shop',
  rollout: 'web',
  rolloutUid: 'u1',
  service: 'web',
  port: 80,
  stableService: 'web-stable',
  canaryService: 'web-canary',
};

let server: Server;
let client: Client;
afterEach(() => {
  client.close();
  server.close();
});

/** An API server of one TrafficSplit, whose patched fields take the place of those that are there (RFC 7396). */
test('a split that somebody gave matches is seen as not Weir’s, and the next write takes them away', async () => {
  let split = {
    metadata: { name: 'web', namespace: 'shop', resourceVersion: '1' },
    spec: {
      service: 'web',
      backends: [
        { service: 'web-stable', weight: 100 },
        { service: 'web-canary', weight: 0 },
      ],
      matches: [{ kind: 'HTTPRouteGroup', name: 'some' }],
    },
  } as unknown as TrafficSplit;
  const versions: unknown[] = [];
  server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { spec, metadata } = JSON.parse(text) as TrafficSplit;
    versions.push(metadata.resourceVersion);
    split = {
      ...split,
      metadata: { ...split.metadata, resourceVersion: '2' },
      spec: { ...split.spec, ...spec },
    };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(split));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  client = await connect({ kubeconfig: plainKubeconfig((server.address() as AddressInfo).port) });
  const router = meshRouter({
    client,
    splits: { get: () => split, onChange: () => () => {} },
    acknowledgements: { of: () => ({ done: true, proxies: 0, of: 0 }), onChange: () => () => {} },
  });
  expect(router.observe(route).weights).toBeUndefined();
  await router.ensure(route, AbortSignal.timeout(5000));
  expect(router.observe(route)).toMatchObject({ version: '2', weights: { stable: 100, canary: 0 } });
  // Written onto the state that was seen and no other.
  expect(versions).toEqual(['1']);
});
