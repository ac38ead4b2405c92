import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject, ResourceKind } from '../../src/api/meta.ts';
import type { Rollout } from '../../src/api/rollout.ts';
import { App } from './support/app.ts';
import { eventually, sharedCluster, type TestCluster } from './support/cluster.ts';

let cluster: TestCluster;
let app: App;

beforeAll(async () => {
  cluster = await sharedCluster();
  app = await App.create(cluster, 'inputs', { replicas: 1 });
});
afterAll(() => app?.remove());

const manifest = (name: string, spec: object): KubeObject => ({
  ...(app.rolloutManifest(spec) as KubeObject),
  metadata: { name, namespace: 'inputs' },
});

/** The server refuses it, naming the field. */
async function refused(name: string, spec: object, field: RegExp): Promise<void> {
  await expect(cluster.client.create(kinds.Rollout, manifest(name, spec))).rejects.toThrow(field);
}

/** The server takes it and the controller says what is wrong. */
async function stalled(name: string, spec: object, message: RegExp): Promise<void> {
  await cluster.client.create(kinds.Rollout, manifest(name, spec));
  await eventually(
    `${name} is Stalled`,
    async () => {
      const rollout = await cluster.client.get<Rollout>(kinds.Rollout, 'inputs', name);
      const condition = rollout.status?.conditions.find(({ type }) => type === 'Stalled');
      return condition?.status === 'True' && message.test(condition.message);
    },
    {
      describe: async () =>
        JSON.stringify((await cluster.client.get<Rollout>(kinds.Rollout, 'inputs', name)).status?.conditions),
    },
  );
  await cluster.client.delete(kinds.Rollout, 'inputs', name);
}

describe('bad input', () => {
  test('weights over 100 name the field', () =>
    refused('w', { strategy: { canary: { weights: [10, 150] } } }, /strategy\.canary\.weights/));
  test('a malformed service port names the field', () =>
    refused('p', { service: { name: 'web', port: 'http' } }, /service\.port/));
  test('a missing target names the field', () => refused('t', { targetRef: {} }, /targetRef\.name/));
  test('a bad duration names the field', () =>
    refused('d', { progressDeadline: 'soon' }, /progressDeadline/));
  test('an unknown router names the field', () =>
    refused('r', { traffic: { router: 'carrier-pigeon' } }, /traffic\.router/));
  test('fields that nobody knows are told by their names to who applies them', async () => {
    const apply = (kind: ResourceKind, object: KubeObject) =>
      cluster.client.apply(kind, object, { fieldManager: 'inputs', force: true, dryRun: true });
    await expect(apply(kinds.Rollout, manifest('u', { stragety: {} }))).rejects.toThrow(
      '(inputs/u; weir.dev/v1alpha1, Kind=Rollout): .spec.stragety: field not declared in schema',
    );
    const service = {
      metadata: { name: 'u', namespace: 'inputs' },
      spec: { ports: [{ port: 80, nme: 'http' }] },
    };
    await expect(apply(kinds.Service, service)).rejects.toThrow(
      '(inputs/u; /v1, Kind=Service): .spec.ports[port=80,protocol="TCP"].nme: field not declared in schema',
    );
  });
  test('a target that does not exist', () =>
    stalled(
      'missing',
      { targetRef: { name: 'nobody' }, service: { name: 'nobody', port: 80 } },
      /no Deployment nobody/,
    ));
  test('a Service without the port', () =>
    stalled('port', { targetRef: { name: 'load' }, service: { name: 'web', port: 81 } }, /81/));
  test('two Rollouts on one Deployment: the younger one stands back', () =>
    stalled('second', {}, /Deployment web belongs to the older Rollout web/));
  test('two Rollouts on one Service: the same', () =>
    stalled('sharing', { targetRef: { name: 'load' } }, /Service web belongs to the older Rollout web/));
  test.each(['StatefulSet', 'DaemonSet'])('a %s is refused clearly', (kind) =>
    stalled(
      kind.toLowerCase(),
      { targetRef: { kind, name: 'db' } },
      new RegExp(`${kind} db .* nothing to hold`),
    ),
  );
  test('a bad cron expression', () =>
    stalled('cron', { targetRef: { name: 'load' }, windows: [{ allow: 'whenever', for: '1h' }] }, /windows/));

  test('a change mid-run that cannot be understood holds the run, which is judged and rolled back as ever', async () => {
    const held = await App.create(cluster, 'inputs-held', {
      replicas: 1,
      analysis: {
        interval: '500ms',
        minRequests: 10,
        // Time to make the mistake before the canary is found out.
        metrics: [{ name: 'success-rate', threshold: { min: '99%' }, over: '10s', failureLimit: 8 }],
      },
    });
    await held.deploy('v2', { ERROR_RATE: '1' });
    await held.until(
      '10 %',
      ({ status }) => status?.phase === 'Progressing' && status.traffic?.canary === 10,
    );
    // The API server knows no cron: this passes it.
    await held.applyRollout({ windows: [{ allow: '61 * * * *', for: '1h' }] });
    const told = (type: string) =>
      held.until(
        type,
        ({ status }) =>
          status?.conditions.some(
            (each) =>
              each.type === type &&
              each.status === 'True' &&
              each.reason === 'InvalidSpec' &&
              each.message.includes('spec.windows[0].allow'),
          ) ?? false,
      );
    await told('Held');
    await told('Stalled');
    expect((await held.rollout()).status?.phase).toBe('Failed');
    expect((await held.split()).spec.backends).toContainEqual({ service: 'web-canary', weight: 0 });
    await held.remove();
  });

  test('a PromQL typo holds with the server’s message, and every other Rollout goes on', async () => {
    const typo = await App.create(cluster, 'inputs-typo', {
      replicas: 1,
      analysis: {
        interval: '500ms',
        minRequests: 0,
        metrics: [{ name: 'typo', prometheus: { query: 'sum(rate(' }, threshold: { min: 1 } }],
      },
    });
    await typo.deploy('v2');
    await typo.until(
      'the typo is told',
      ({ status }) =>
        status?.analysis?.metrics.some(
          ({ verdict, message }) => verdict === 'error' && /parse|syntax|unexpected/i.test(message ?? ''),
        ) ?? false,
    );
    await app.deploy('v2');
    await app.promoted('v2');
    expect((await typo.rollout()).status?.phase).toBe('Progressing');
    await typo.remove();
  });
});
