import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { type Client, connect } from '../../kube/client.ts';
import { plainKubeconfig } from '../../kube/fixtures.ts';
import { GateWriter } from './gate-data.ts';

let server: Server;
let client: Client;
afterEach(() => {
  client.close();
  server.close();
});

test('what comes together is written together, and a slow server has as long a rest as a write took', async () => {
  const data: Record<string, string | null> = {};
  const spans: { from: number; to: number }[] = [];
  server = createServer(async (request, response) => {
    const from = performance.now();
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = JSON.parse(text) as { metadata: object; data: typeof data };
    expect(body.metadata).toEqual({ managedFields: [{}] });
    Object.assign(data, body.data);
    setTimeout(() => {
      spans.push({ from, to: performance.now() });
      response.setHeader('content-type', 'application/json').end('{}');
    }, 40);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  client = await connect({ kubeconfig: plainKubeconfig((server.address() as AddressInfo).port) });
  const writer = new GateWriter(client, 'weir-pins');
  const signal = AbortSignal.timeout(10_000);
  const write = (index: number) => writer.write('shop', { [`pin.${index}`]: 'a' }, signal);
  await Promise.all(Array.from({ length: 50 }, (_, index) => write(index)));
  expect(Object.keys(data)).toHaveLength(50);
  // The first at once and alone, all others in the next one.
  expect(spans).toHaveLength(2);
  expect(spans[1]!.from - spans[0]!.to).toBeGreaterThanOrEqual(35);
});
