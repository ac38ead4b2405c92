import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { App, type AppOptions } from './support/app.ts';
import { eventually, sharedCluster, type TestCluster } from './support/cluster.ts';

let cluster: TestCluster;
let app: App;
const UP: AppOptions = {
  replicas: 1,
  rps: 0,
  analysis: {
    interval: '500ms',
    minRequests: 0,
    metrics: [{ name: 'up', prometheus: { query: 'vector(1)' }, threshold: { min: 1 } }],
  },
};
const TEN = { canary: { steps: [{ weight: 10 }, { pause: {} }], dwell: '200ms' } };

beforeAll(async () => {
  cluster = await sharedCluster();
});
afterEach(() => app?.remove());

const service = async (name: string) =>
  (await cluster.client.find<KubeObject>(kinds.Service, app.namespace, name))?.spec as
    | { selector: Record<string, string> }
    | undefined;
const entries = async (map: 'weir-gate' | 'weir-pins') =>
  Object.keys(
    (await cluster.client.find<KubeObject & { data?: object }>(kinds.ConfigMap, app.namespace, map))?.data ??
      {},
  ).sort();
const apply = (kind: typeof kinds.Service, object: KubeObject) =>
  cluster.client.apply(kind, object, { fieldManager: 'gitops', force: true });
const serviceNamed = (name: string) =>
  apply(kinds.Service, { ...app.service(), metadata: { name, namespace: app.namespace } });
const ADOPTED = 'is stable';

describe('a Rollout that names other objects than before', () => {
  test('another Service mid-run, and another Deployment at rest: the first ones are as if it had never named them', async () => {
    app = await App.create(cluster, 'renamed', { ...UP, strategy: TEN });
    await serviceNamed('shop');
    await app.deploy('v2');
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
    expect((await service('web'))?.selector).toHaveProperty('pod-template-hash');

    await app.applyRollout({ service: { name: 'shop', port: 80 } });
    await app.until('a new run', ({ status }) => {
      const { history = [], traffic } = status ?? {};
      return (
        history.filter(({ message }) => message.endsWith(ADOPTED)).length === 2 && traffic?.canary === 10
      );
    });
    expect((await service('web'))?.selector).toEqual({ app: 'web' });
    expect([await service('web-stable'), await service('web-canary')]).toEqual([undefined, undefined]);
    expect([await entries('weir-gate'), await entries('weir-pins')]).toEqual([
      ['deployment.web'],
      ['pin.shop'],
    ]);
    expect((await app.deployment()).spec.paused).toBe(true);
    await app.applyRollout({ service: { name: 'shop', port: 80 }, approve: 'v2' });
    await app.promoted('v2');

    const other = app.deploymentManifest('v1');
    await apply(kinds.Deployment, { ...other, metadata: { ...other.metadata, name: 'other' } });
    await app.applyRollout({ service: { name: 'shop', port: 80 }, targetRef: { name: 'other' } });
    await eventually('the gate is about the other one', async () => {
      expect(await entries('weir-gate')).toEqual(['deployment.other']);
      return true;
    });
    await app.healthy();
    await app.deploy('v3');
    expect((await app.deployment()).spec.paused ?? false).toBe(false);
  });

  test('no blue/green any more: the preview of the user’s own has no pin', async () => {
    const blueGreen = { dwell: '200ms', autoPromote: false, preview: { service: 'peek' } };
    app = await App.create(cluster, 'previewed', { ...UP, strategy: { blueGreen }, withRollout: false });
    await serviceNamed('peek');
    await app.applyRollout();
    await app.healthy();
    await app.deploy('v2');
    await app.until('green', ({ status }) => status?.message?.includes('until approved') ?? false);
    expect((await service('peek'))?.selector).toHaveProperty('pod-template-hash');
    await app.applyRollout({ strategy: TEN });
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
    expect((await service('peek'))?.selector).toEqual({ app: 'web' });
    expect(await entries('weir-pins')).toEqual(['pin.web']);
  });
});
