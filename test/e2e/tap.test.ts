import { afterEach, beforeAll, expect, test } from '@jest/globals';
import { App } from './support/app.ts';
import { weir as run } from './support/cli.ts';
import { eventually, sharedCluster, type TestCluster } from './support/cluster.ts';

let cluster: TestCluster;
let app: App | undefined;

beforeAll(async () => {
  cluster = await sharedCluster();
});
afterEach(() => app?.remove());

const weir = (...args: string[]) => run(cluster.kubeconfig, ...args);

test('weir tap shows what passes a workload, from both sides, with who asked and who answered', async () => {
  app = await App.create(cluster, 'tap', { replicas: 1, withRollout: false });
  const { namespace } = app;
  await eventually('load reaches the application', async () => (await app!.load()).ok > 0);

  const inbound = (await weir('tap', 'deploy/web', '-n', namespace, '-c', '5', '-o', 'json'))
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text));
  expect(inbound).toHaveLength(5);
  for (const seen of inbound.filter(({ clientId }) => clientId)) {
    expect(seen).toMatchObject({
      direction: 'inbound',
      clientId: `spiffe://weir.local/ns/${namespace}/sa/default`,
      pod: expect.stringMatching(/^web-/),
      status: 200,
    });
  }

  const outbound = (
    await weir('tap', 'deploy/load', '-n', namespace, '--to', `web.${namespace}`, '-c', '5', '-o', 'json')
  )
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text));
  for (const seen of outbound) {
    expect(seen).toMatchObject({
      direction: 'outbound',
      destination: `web.${namespace}:80`,
      tls: true,
      pod: expect.stringMatching(/^load-/),
      revision: expect.stringMatching(/^\w+$/),
    });
  }

  const table = await weir('tap', 'deploy/load', '-n', namespace, '--status', '2xx', '-c', '2', '-o', 'wide');
  expect(table.split('\n')[0]).toMatch(/^TIME +POD +DIR +STATUS +DURATION +METHOD +REQUEST +UPSTREAM/);
  expect(table.trim().split('\n')).toHaveLength(3);

  expect(await weir('tap', 'deploy/nobody', '-n', namespace)).toMatch(/there is no pod of deploy nobody/);
  expect(await weir('tap', 'deploy/web', '-n', namespace, '--status', '9xx')).toMatch(/status: write/);
});
