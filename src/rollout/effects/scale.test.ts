import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { rolloutSpecSchema } from '../../api/rollout.ts';
import { type Client, connect } from '../../kube/client.ts';
import { plainKubeconfig } from '../../kube/fixtures.ts';
import { raiseScale } from './scale.ts';

let server: Server;
let client: Client;
afterEach(() => {
  client.close();
  server.close();
});

test('what an autoscaler has raised since it was looked at is not lowered', async () => {
  const live = { resourceVersion: '7', replicas: 20 };
  server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { metadata, spec } = JSON.parse(text) as {
      metadata?: { resourceVersion?: string };
      spec: { replicas: number };
    };
    // As an API server does: a version that is given must be the one there is.
    const of = metadata?.resourceVersion ?? live.resourceVersion;
    response.statusCode = of === live.resourceVersion ? 200 : 409;
    if (response.statusCode === 200) live.replicas = spec.replicas;
    response.setHeader('content-type', 'application/json').end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  client = await connect({ kubeconfig: plainKubeconfig((server.address() as AddressInfo).port) });
  const spec = rolloutSpecSchema.parse({
    targetRef: { name: 'web' },
    service: { name: 'web', port: 80 },
    strategy: { canary: { weights: [10] } },
  });
  const context = { client, namespace: 'shop', spec };
  const raise = (resourceVersion: string) =>
    raiseScale(context, { kind: 'raise-scale', replicas: 8, resourceVersion }, AbortSignal.timeout(10_000));
  await expect(raise('5')).rejects.toMatchObject({ code: 'Conflict' });
  expect(live.replicas).toBe(20);
  await raise('7');
  expect(live.replicas).toBe(8);
});
