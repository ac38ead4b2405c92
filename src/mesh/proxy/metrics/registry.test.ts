import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from '@jest/globals';
import { ProxyMetrics } from './registry.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('an idle series goes when nobody counts in it, and stays with its count when someone does', async () => {
  const metrics = new ProxyMetrics({}, 100, 0);
  const held = metrics.http({ dst_revision: 'held' });
  held.requests += 5;
  (() => {
    metrics.http({ dst_revision: 'gone' }).requests += 1;
  })();
  expect(metrics.expose()).toContain('request_total{dst_revision="gone"} 1');
  // Unchanged since: from here on the registry does not keep them.
  metrics.expose();
  // A weak reference that was looked at stays until the job is over.
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  const text = metrics.expose();
  expect(text).not.toContain('gone');
  expect(text).toContain('request_total{dst_revision="held"} 5');
  held.requests += 1;
  expect(metrics.http({ dst_revision: 'held' })).toBe(held);
  expect(metrics.expose()).toContain('request_total{dst_revision="held"} 6');
});

test('label sets beyond the cap share a series', () => {
  const metrics = new ProxyMetrics({}, 2);
  for (const name of ['a', 'b', 'c', 'd']) metrics.tcp({ direction: 'inbound', name }).opened += 1;
  expect(metrics.expose()).toContain('tcp_open_total{direction="inbound",overflow="true"} 2');
});
