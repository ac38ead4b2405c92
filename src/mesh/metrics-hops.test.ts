/** What the two ends of a request over mutual TLS tell of it on `/metrics`, as a Prometheus reads it. */
import { afterEach, expect, test } from '@jest/globals';
import { hops, ID } from './hops-fixtures.ts';
import { startAdmin } from './proxy/admin.ts';
import { answer, Client, cleanUp, cleanups, destination, GET, outbound, upstream } from './proxy/fixtures.ts';
import type { DataPlane } from './proxy/proxy.ts';

afterEach(cleanUp);

type Labels = Record<string, string>;

class Page {
  readonly #samples: { name: string; labels: Labels; value: number }[];

  constructor(text: string) {
    this.#samples = [...text.matchAll(/^(\w+)\{(.*)\} (\S+)$/gm)].map(([, name, labels, value]) => ({
      name: name!,
      labels: Object.fromEntries(
        [...labels!.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, each]) => [label!, each!]),
      ),
      value: Number(value),
    }));
  }

  of(name: string, wanted: Labels) {
    return this.#samples.filter(
      (each) =>
        each.name === name && Object.entries(wanted).every(([label, value]) => each.labels[label] === value),
    );
  }
}

async function page(proxy: DataPlane): Promise<Page> {
  const admin = await startAdmin({
    listen: '127.0.0.1:0',
    host: '127.0.0.1',
    proxy,
    ready: () => true,
    started: () => true,
    shutdown: () => {},
  });
  cleanups.push(() => admin.close());
  return new Page(await (await fetch(`http://127.0.0.1:${admin.port}/metrics`)).text());
}

test('each end names the other; latency in the bounds of Linkerd, and in fine ones where there is a split', async () => {
  const app = await upstream((socket) => socket.write(answer('ok')));
  const split = { name: 'web', version: '1', leaseSeconds: 15, fallback: 'web' };
  const ends = await hops(app, destination([], { split }));
  const client = new Client(ends.outbound);
  client.socket.write(GET);
  await client.until((text) => text.endsWith('ok'));

  const [near, far] = [await page(ends.outbound), await page(ends.inbound)];
  const sent = {
    direction: 'outbound',
    tls: 'true',
    authority: 'web.shop:80',
    dst_namespace: 'shop',
    dst_service: 'web',
    dst_backend: 'web',
    dst_revision: 'v1',
    server_id: ID,
  };
  const came = { direction: 'inbound', tls: 'true', client_id: ID };
  for (const [seen, labels] of [
    [near, sent],
    [far, came],
  ] as const) {
    expect(seen.of('request_total', labels)).toMatchObject([{ value: 1 }]);
    const success = { ...labels, classification: 'success', status_code: '200' };
    expect(seen.of('response_total', success)).toMatchObject([{ value: 1 }]);
    const buckets = seen.of('response_latency_ms_bucket', labels);
    expect(buckets.map(({ labels: { le } }) => le)).toEqual([
      ...[1, 10, 100, 1_000, 10_000].flatMap((scale) => [1, 2, 3, 4, 5].map((step) => String(step * scale))),
      '+Inf',
    ]);
    expect(buckets.at(-1)!.value).toBe(1);
  }
  // Bytes of connections belong to the same two.
  expect(near.of('tcp_open_total', { peer: 'dst', server_id: ID })).toMatchObject([{ value: 1 }]);
  expect(far.of('request_total', { server_id: ID })).toEqual([]);
  expect(near.of('request_total', { client_id: ID })).toEqual([]);

  const fine = near.of('weir_response_latency_ms_bucket', sent);
  const bounds = fine.map(({ labels: { le } }) => Number(le === '+Inf' ? Number.POSITIVE_INFINITY : le));
  expect(bounds.slice(0, -1).map((bound) => bound.toPrecision(6))).toEqual(
    Array.from({ length: 161 }, (_, n) => (2 ** (n / 8 - 4)).toPrecision(6)),
  );
  expect(bounds.at(-1)).toBe(Number.POSITIVE_INFINITY);
  expect(near.of('weir_response_latency_ms_count', sent)).toMatchObject([{ value: 1 }]);
  // One request: in every bucket from the one that holds it on, and that is the one of the sum.
  const took = near.of('weir_response_latency_ms_sum', sent)[0]!.value;
  expect(fine.map(({ value }) => value)).toEqual(bounds.map((bound) => (took <= bound ? 1 : 0)));
  expect(far.of('weir_response_latency_ms_bucket', {})).toEqual([]);
});

test('a server in no mesh has no name', async () => {
  const plane = await outbound(destination([await upstream((socket) => socket.write(answer('ok')))]));
  const client = new Client(plane);
  client.socket.write(GET);
  await client.until((text) => text.endsWith('ok'));
  const [series] = (await page(plane)).of('request_total', { tls: 'false', dst_backend: 'web' });
  expect(series?.value).toBe(1);
  expect(series?.labels).not.toHaveProperty('server_id');
});
