import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { App } from '../e2e/support/app.ts';
import { type ApiProxy, NO_FAULTS, startApiProxy } from './support/api-proxy.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { ownCluster } from './support/own.ts';

const SEED = Number(process.env.WEIR_SEED ?? 20_261_125);

/** Weir, its node and every pod reach the API server through a proxy that misbehaves; the tests go past it. */
let cluster: KubernetesCluster;
let proxy: ApiProxy;
let app: App;

beforeAll(async () => {
  cluster = await ownCluster({
    nodeVia: async ({ server, kubeconfig }) => {
      const dir = join(kubeconfig, '..');
      const upstreamCa = readFileSync(join(dir, 'pki/apiserver.crt'), 'utf8');
      const host = new URL(server).hostname.replace(/\d+$/, '2');
      proxy = await startApiProxy({ upstream: server, upstreamCa, host, dir, seed: SEED });
      return proxy;
    },
  });
}, 150_000);
afterEach(async () => {
  proxy.faults = NO_FAULTS;
  await app?.remove();
});
afterAll(async () => {
  await cluster?.stop();
  await proxy?.stop();
}, 30_000);

describe(`a slow and faulty API server (seed ${SEED})`, () => {
  test.each([
    ['slow', 'half a second for each answer', { ...NO_FAULTS, latencyMs: [200, 600] as [number, number] }],
    ['refusing', 'one of ten', { ...NO_FAULTS, refused: 0.1 }],
    ['losing', 'one answer of ten', { ...NO_FAULTS, lost: 0.1 }],
    [
      'all',
      'slow, refusing, cutting, losing, and ending its watches',
      { latencyMs: [50, 300] as [number, number], refused: 0.05, cut: 0.03, lost: 0.03, watchMs: 4000 },
    ],
  ])(
    '%s: %s; a good version is promoted, a bad one is rolled back',
    async (short, _, faults) => {
      app = await App.create(cluster, `api-${short}`, {
        strategy: { canary: { weights: [20, 50], dwell: '1s' } },
      });
      const before = { ...proxy.counts };
      proxy.faults = faults;
      await app.deploy('v2');
      await app.promoted('v2', 110_000);
      expect((await app.podsOf('v2')).length).toBe(2);
      expect((await app.load()).failed).toBe(0);
      expect(app.weights.map(({ canary }) => canary)).toEqual([0, 20, 50, 100, 0]);
      await app.deploy('v3', { ERROR_RATE: '1' });
      const failed = await app.phase('Failed', 110_000);
      expect(failed.status?.stable?.images).toEqual(['weir-sample:v2']);
      proxy.faults = NO_FAULTS;
      const sets = await app.replicaSets();
      // However often a write was lost and tried again: never two canaries, and v2 runs whole.
      expect(
        sets.filter(({ spec }) => JSON.stringify(spec).includes('weir-sample:v3')).length,
      ).toBeLessThanOrEqual(1);
      expect((await app.podsOf('v2')).length).toBe(2);
      const { passed, refused, cut, lost, watchesEnded } = proxy.counts;
      const done = {
        passed: passed - before.passed,
        refused: refused - before.refused,
        cut: cut - before.cut,
        lost: lost - before.lost,
        watchesEnded: watchesEnded - before.watchesEnded,
      };
      expect(done.passed).toBeGreaterThan(20);
      for (const kind of ['refused', 'cut', 'lost'] as const) {
        if (faults[kind] > 0) expect({ kind, count: done[kind] > 0 }).toEqual({ kind, count: true });
      }
      if ('watchMs' in faults) expect(done.watchesEnded).toBeGreaterThan(0);
    },
    240_000,
  );
});
