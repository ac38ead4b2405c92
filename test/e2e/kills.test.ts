import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { App } from './support/app.ts';
import { eventually, kill } from './support/cluster.ts';
import { type RunningCluster, startWithWeir } from './support/start.ts';

/** A cluster of its own: these scenarios kill what the others rely on. */
let cluster: RunningCluster;
let app: App;

beforeAll(async () => {
  cluster = await startWithWeir(mkdtempSync(join(tmpdir(), 'weir-kills-')));
}, 60_000);
afterEach(() => app?.remove());
afterAll(() => cluster?.stop(), 30_000);

describe('kills', () => {
  test.each([
    ['API server', 'local apiserver'],
    ['workload controllers', 'local workloads'],
    ['node', 'local node'],
    ['mesh control plane', 'main.js mesh'],
    ['metrics store', 'main.js metrics'],
    ["caller's sidecar", 'WEIR_INBOUND=', 'POD_NAME=load-'],
  ])('SIGKILL of the %s mid-rollout loses nothing', async (name, ...words) => {
    app = await App.create(cluster, `kill-${name.toLowerCase().replaceAll(/\W/g, '-')}`, {
      strategy: { canary: { weights: [20, 50], dwell: '1s' } },
    });
    await app.deploy('v2');
    await app.until('20 %', ({ status }) => status?.traffic?.canary === 20);
    kill(cluster.dir, ...words);
    await app.promoted('v2', 90_000);
    expect((await app.podsOf('v2')).length).toBe(2);
    expect((await app.podsOf('v1')).length).toBe(0);
    await eventually('exactly the new pods are endpoints', async () => {
      const slices = await cluster.client.list<KubeObject>(kinds.EndpointSlice, app.namespace, {
        labelSelector: 'kubernetes.io/service-name=web',
      });
      return slices.items.flatMap(({ endpoints }) => (endpoints ?? []) as unknown[]).length === 2;
    });
  });
});
