import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import type { Rollout } from '../api/rollout.ts';
import { MetricsRegistry } from '../controller/index.ts';
import { RolloutMetrics } from './metrics.ts';

const rollout = (name: string, status?: object): Rollout =>
  ({
    apiVersion: 'weir.dev/v1alpha1',
    kind: 'Rollout',
    metadata: { name, namespace: 'shop', creationTimestamp: '2026-01-05T12:00:00Z' },
    ...(status ? { status: { conditions: [], history: [], ...status } } : {}),
  }) as unknown as Rollout;

test('each Rollout has its series, and a change of one shows in the next scrape', () => {
  const registry = new MetricsRegistry();
  let list = [rollout('new'), rollout('web', { phase: 'Healthy' })];
  new RolloutMetrics(registry, { list: () => list });
  const lines = () => registry.text().split('\n');
  const began = Date.parse('2026-01-05T12:00:00Z') / 1000;
  expect(lines()).toEqual(
    expect.arrayContaining([
      'weir_rollout_phase{namespace="shop",phase="Healthy",rollout="web"} 1',
      'weir_rollout_stuck{namespace="shop",rollout="new"} 0',
      `weir_rollout_phase_start_time_seconds{namespace="shop",rollout="web"} ${began}`,
      'weir_rollout_gated{namespace="shop",rollout="web"} 0',
    ]),
  );
  expect(lines().filter((line) => line.startsWith('weir_rollout_phase{'))).toHaveLength(1);
  const changed = rollout('web', {
    phase: 'Progressing',
    traffic: { stable: 90, canary: 10 },
    conditions: [{ type: 'Gated', status: 'True' }],
    history: [
      { at: '2026-01-05T13:00:00Z', from: 'Preparing', to: 'Progressing' },
      { at: '2026-01-05T14:00:00Z', from: 'Progressing', to: 'Progressing' },
    ],
  });
  list = [list[0]!, changed];
  expect(lines()).toEqual(
    expect.arrayContaining([
      'weir_rollout_phase{namespace="shop",phase="Progressing",rollout="web"} 1',
      `weir_rollout_phase_start_time_seconds{namespace="shop",rollout="web"} ${began + 3600}`,
      'weir_rollout_canary_weight{namespace="shop",rollout="web"} 10',
      'weir_rollout_gated{namespace="shop",rollout="web"} 1',
    ]),
  );
  list = [];
  expect(lines().some((line) => line.startsWith('weir_rollout_'))).toBe(false);
});

test('the documentation names every metric', () => {
  const all = [rollout('web', { phase: 'Healthy' })];
  const registry = new MetricsRegistry();
  new RolloutMetrics(registry, { list: () => all });
  const page = readFileSync(join(import.meta.dirname, '../../docs/metrics.md'), 'utf8');
  const names = [...registry.text().matchAll(/^# HELP (\S+)/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(8);
  for (const name of names) expect(page).toContain(`\`${name}\``);
});
