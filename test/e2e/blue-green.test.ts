import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { App } from './support/app.ts';
import { eventually, sharedCluster, type TestCluster } from './support/cluster.ts';

let cluster: TestCluster;
let app: App;

beforeAll(async () => {
  cluster = await sharedCluster();
});
afterEach(() => app?.remove());

/** Judges green before it goes live by the number of its pods that are up: needs no traffic. */
const upQuery = { name: 'pods-up', prometheus: { query: 'vector(1)' }, threshold: { min: 1 } };

describe('blue/green scenarios', () => {
  test('8: pre-promotion analysis fails: active stays blue; a fix goes live', async () => {
    app = await App.create(cluster, 's08', {
      replicas: 1,
      strategy: { blueGreen: { preview: { service: 'web-preview' }, dwell: '500ms' } },
      analysis: {
        interval: '500ms',
        minRequests: 0,
        metrics: [
          { name: 'gatekeeper', prometheus: { query: 'vector(0)' }, threshold: { min: 1 }, failureLimit: 1 },
        ],
      },
    });
    await app.deploy('v2');
    await app.phase('Failed');
    expect(app.weights.every(({ canary }) => canary === 0)).toBe(true);
    app.options.analysis = { interval: '500ms', minRequests: 0, metrics: [upQuery] };
    await app.applyRollout();
    await app.deploy('v3');
    await app.promoted('v3');
    expect((await app.load()).failed).toBe(0);
  });

  test('9: a failure during keepBlue flips back without starting a pod', async () => {
    app = await App.create(cluster, 's09', {
      strategy: { blueGreen: { dwell: '500ms', keepBlue: '60s' } },
      analysis: {
        interval: '500ms',
        minRequests: 0,
        noData: 'pass',
        metrics: [{ name: 'success-rate', threshold: { min: '99%' }, over: '10s', failureLimit: 1 }],
      },
    });
    const blue = (await app.podsOf('v1')).map(({ metadata }) => metadata.uid).sort();
    await app.deploy('v2', { ERROR_RATE: '1' });
    await app.until(
      'green is live',
      ({ status }) =>
        status?.phase === 'Watching' || status?.phase === 'RollingBack' || status?.phase === 'Failed',
    );
    await app.phase('Failed');
    expect(app.weights.map(({ canary }) => canary)).toEqual([0, 100, 0]);
    expect((await app.podsOf('v1')).map(({ metadata }) => metadata.uid).sort()).toEqual(blue);
    await eventually('green is gone', async () => (await app.podsOf('v2')).length === 0);
  });
});
