/** A collector that takes OTLP/HTTP on a real socket, and a chain of two proxies, for tests. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type net from 'node:net';
import { text } from 'node:stream/consumers';
import { silentLogger } from '../../../lib/log.ts';
import { seededRandom } from '../balance/split.ts';
import type { ProxyConfig } from '../config.ts';
import { cleanups, destination, transport } from '../fixtures.ts';
import { DataPlane } from '../proxy.ts';

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status: { code?: number };
  /** `attributes` as a plain object. */
  is: Record<string, string>;
  service: string;
}

interface Keyed {
  key: string;
  value: { stringValue?: string; intValue?: string };
}
const plain = (attributes: Keyed[]) =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? '']),
  ) as Record<string, string>;

export async function collector(answer: () => number = () => 200) {
  const spans: ReceivedSpan[] = [];
  const requests: { path: string; type: string | undefined }[] = [];
  let wake = () => {};
  const server = createServer(async (request, response) => {
    const body = JSON.parse(await text(request));
    requests.push({ path: request.url!, type: request.headers['content-type'] });
    const status = answer();
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
    if (status === 200)
      for (const { resource, scopeSpans } of body.resourceSpans)
        for (const scope of scopeSpans)
          for (const span of scope.spans)
            spans.push({
              ...span,
              is: plain(span.attributes),
              service: plain(resource.attributes)['service.name'],
            });
    wake();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const received = async (condition: () => boolean) => {
    while (!condition())
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}/v1/traces`,
    spans,
    requests,
    /** Until so many have come. */
    async got(count: number): Promise<ReceivedSpan[]> {
      await received(() => spans.length >= count);
      return spans;
    },
    async asked(count: number): Promise<void> {
      await received(() => requests.length >= count);
    },
  };
}

export async function plane(config: Partial<ProxyConfig>, seed = 1): Promise<DataPlane> {
  const started = new DataPlane({
    transport: transport(),
    log: silentLogger,
    random: seededRandom(seed),
    config: { inbound: [], outbound: [], destinations: {}, limits: {}, ...config },
  });
  await started.start();
  cleanups.push(async () => {
    started.destroy();
    await started.observers.stop();
  });
  return started;
}

/** client -> outbound proxy -> inbound proxy -> server, each with settings of its own. */
export async function chain(
  server: string,
  [outbound, inbound]: [Partial<ProxyConfig>, Partial<ProxyConfig>],
): Promise<{ outbound: DataPlane; inbound: DataPlane }> {
  const inner = await plane(
    {
      inbound: [{ listen: '127.0.0.1:0', forward: server, tls: 'off' }],
      labels: { deployment: 'web', namespace: 'shop', revision: 'v2' },
      ...inbound,
    },
    11,
  );
  const to = destination([`127.0.0.1:${inner.ports[0]}`]);
  const outer = await plane(
    {
      outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
      destinations: { [to.key]: to },
      labels: { deployment: 'front', namespace: 'shop' },
      ...outbound,
    },
    7,
  );
  return { outbound: outer, inbound: inner };
}
