import { expect, test } from '@jest/globals';
import { createLineLogger } from './log.ts';
import { ProxyMetrics } from './metrics/registry.ts';
import { Refusals } from './refusals.ts';

test('a line per cause in ten seconds, with how many were left out; all are counted', () => {
  let now = 5;
  const lines: { cause: string; peer?: string; untold?: number }[] = [];
  const log = createLineLogger({}, { write: (line) => void lines.push(JSON.parse(line)) });
  const metrics = new ProxyMetrics();
  const { refused } = new Refusals(metrics, log, () => now);
  for (const peer of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) refused({ cause: 'gone', peer, detail: 'reset' });
  refused({ cause: 'certificate', peer: undefined, detail: 'expired' });
  now += 9_999;
  refused({ cause: 'gone', peer: '10.0.0.4', detail: 'reset' });
  expect(lines.map(({ cause, peer, untold }) => [cause, peer, untold])).toEqual([
    ['gone', '10.0.0.1', undefined],
    ['certificate', undefined, undefined],
  ]);
  now += 1;
  refused({ cause: 'gone', peer: '10.0.0.5', detail: 'reset' });
  expect(lines.at(-1)).toMatchObject({ cause: 'gone', peer: '10.0.0.5', untold: 3 });
  expect(metrics.expose()).toContain('weir_tls_handshake_failures_total{cause="gone"} 5\n');
});
