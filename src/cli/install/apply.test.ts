import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { plainKubeconfig } from '../../kube/fixtures.ts';
import { connect } from '../../kube/index.ts';
import type { KubeClient } from '../../kube/types.ts';
import { applyManifests, available } from './apply.ts';
import { generateManifests } from './manifests.ts';
import { until } from './until.ts';

const applied: string[] = [];
let client: KubeClient;
/** How many answers are 503 before the server works, and how many looks a CRD needs to be established. */
let refusals = 0;
let looks = 0;

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://cluster');
  let text = '';
  for await (const chunk of request) text += chunk;
  const answer = (status: number, body: object) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  if (request.method === 'PATCH') {
    if (refusals > 0) {
      refusals -= 1;
      return answer(503, { kind: 'Status', code: 503, reason: 'ServiceUnavailable', message: 'starting' });
    }
    const object = JSON.parse(text);
    applied.push(object.kind);
    return answer(200, object);
  }
  looks -= 1;
  const conditions = looks < 0 ? [{ type: 'Established', status: 'True' }] : [];
  return answer(200, { metadata: { name: pathname.split('/').at(-1) }, status: { conditions } });
});

beforeEach(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const kubeconfig = plainKubeconfig((server.address() as AddressInfo).port, 'test');
  client = await connect({ kubeconfig });
  applied.length = 0;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test('applies everything in stages, waits for CRDs, and tries again what may work a moment later', async () => {
  refusals = 3;
  looks = 5;
  const objects = generateManifests({ profile: 'local' });
  await applyManifests(client, objects);
  expect(applied.toSorted()).toEqual(objects.map(({ kind }) => kind).toSorted());
  expect(applied[0]).toBe('Namespace');
  expect(looks).toBeLessThan(0);
  expect(applied.lastIndexOf('CustomResourceDefinition')).toBeLessThan(applied.indexOf('ServiceAccount'));
  expect(applied.lastIndexOf('ServiceAccount')).toBeLessThan(applied.indexOf('Deployment'));
  expect(applied.lastIndexOf('Deployment')).toBeLessThan(applied.indexOf('MutatingWebhookConfiguration'));
});

test('waiting in vain says what it was waiting for', async () => {
  await expect(until('the tide', AbortSignal.timeout(100), async () => 'still low', 10)).rejects.toThrow(
    'the tide: still low',
  );
});

test('a Deployment is available only with its newest spec seen', () => {
  const deployment = (observedGeneration: number) => ({
    metadata: { name: 'x', generation: 2 },
    spec: { replicas: 1 },
    status: { observedGeneration, availableReplicas: 1, updatedReplicas: 1 },
  });
  expect([available(deployment(1)), available(deployment(2))]).toEqual([false, true]);
});
