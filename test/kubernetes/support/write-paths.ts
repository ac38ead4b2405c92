import { afterEach, describe, expect, test } from '@jest/globals';
import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import { GATE_CONFIG_MAP, PINS_CONFIG_MAP } from '../../../src/api/names.ts';
import { App, type AppOptions } from '../../e2e/support/app.ts';
import { eventually, type TestCluster } from '../../e2e/support/cluster.ts';
import { ALWAYS_GOOD, HOLD, type Kubectl, kubectlFor, manifestOf, nativeSets, QUICK } from './kubectl.ts';
import { startThirdParty } from './third-party.ts';

const image = (version: string) => `weir-sample:${version}`;
const containers = (version: string) => ({
  spec: { template: { spec: { containers: [{ name: 'app', image: image(version) }] } } },
});

type Write = (kubectl: Kubectl, app: App, version: string) => Promise<unknown>;

/** Every way that a person or a tool changes a Deployment's template with kubectl. */
const TEMPLATE_WRITES: [string, Write][] = [
  ['set image', (kubectl, _, to) => kubectl(['set', 'image', 'deployment/web', `app=${image(to)}`])],
  ['client-side apply', (kubectl, app, to) => kubectl(['apply', '-f', '-'], manifestOf(app, to))],
  [
    'forced server-side apply',
    (kubectl, app, to) =>
      kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], manifestOf(app, to)),
  ],
  [
    'JSON patch',
    (kubectl, _, to) =>
      kubectl([
        'patch',
        'deployment',
        'web',
        '--type=json',
        `-p=${JSON.stringify([{ op: 'replace', path: '/spec/template/spec/containers/0/image', value: image(to) }])}`,
      ]),
  ],
  [
    'merge patch',
    async (kubectl, app, to) => {
      const { spec } = app.deploymentManifest(to) as unknown as {
        spec: { template: { spec: { containers: unknown } } };
      };
      const body = { spec: { template: { spec: { containers: spec.template.spec.containers } } } };
      return kubectl(['patch', 'deployment', 'web', '--type=merge', `-p=${JSON.stringify(body)}`]);
    },
  ],
  [
    'strategic merge patch',
    (kubectl, _, to) =>
      kubectl(['patch', 'deployment', 'web', '--type=strategic', `-p=${JSON.stringify(containers(to))}`]),
  ],
  [
    'replace, twice',
    async (kubectl, app, to) => {
      await kubectl(['replace', '-f', '-'], manifestOf(app, to));
      await kubectl(['replace', '-f', '-'], manifestOf(app, to));
    },
  ],
  [
    'apply with paused: false in the manifest',
    (kubectl, app, to) => kubectl(['apply', '-f', '-'], manifestOf(app, to, { paused: false })),
  ],
  [
    'apply with paused: true in the manifest',
    (kubectl, app, to) => kubectl(['apply', '-f', '-'], manifestOf(app, to, { paused: true })),
  ],
  [
    'replace that also scales',
    (kubectl, app, to) => kubectl(['replace', '-f', '-'], manifestOf(app, to, { replicas: 3 })),
  ],
];

/** The gate's promises on a real API server, whichever way it is enforced. */
export function gateScenarios(how: string, clusterOf: () => TestCluster): void {
  let app: App;
  let kubectl: Kubectl;
  const create = async (name: string, options: AppOptions) => {
    const namespace = `${how}-${name}`;
    app = await App.create(clusterOf(), namespace, { rps: 0, analysis: ALWAYS_GOOD, ...options });
    kubectl = kubectlFor(clusterOf(), namespace);
  };
  const judged = (version: string) =>
    app.until(
      `${version} is judged as a canary`,
      ({ status }) =>
        status?.canary?.images.includes(image(version)) === true && status.traffic?.canary === 10,
    );
  /** The change is stored, held, and runs nowhere but in Weir's own ReplicaSet. */
  const held = async (version: string) => {
    const { spec } = await app.deployment();
    expect(spec).toMatchObject({ paused: true, ...containers(version).spec });
    const running = (await nativeSets(app)).map((set) => JSON.stringify(set.spec));
    expect(running).toHaveLength(1);
    expect(running[0]).toContain(image('v1'));
  };
  afterEach(() => app?.remove());

  describe(`the gate by ${how}`, () => {
    test('every way of writing a template is held, judged, and runs nowhere else', async () => {
      await create('writes', { strategy: HOLD });
      const stable = (await app.podsOf('v1')).map(({ metadata }) => metadata.uid).sort();
      for (const [index, [name, write]] of TEMPLATE_WRITES.entries()) {
        const version = `w${index}`;
        await write(kubectl, app, version);
        await held(version).catch((error) => {
          throw new Error(`${name}: ${String(error)}`, { cause: error });
        });
        await judged(version);
        await held(version);
      }
      const still = (await app.podsOf('v1')).map(({ metadata }) => metadata.uid);
      expect(still).toEqual(expect.arrayContaining(stable));
    });

    test('what is no template passes, and opens nothing', async () => {
      await create('other', { strategy: HOLD });
      await app.deploy('v2');
      await judged('v2');
      const writes: [string, () => Promise<unknown>][] = [
        ['scale', () => kubectl(['scale', 'deployment/web', '--replicas=3'])],
        ['label', () => kubectl(['label', 'deployment/web', 'team=shop'])],
        ['annotate', () => kubectl(['annotate', 'deployment/web', 'note=hello'])],
        ['resume', () => kubectl(['rollout', 'resume', 'deployment/web'])],
        [
          'paused: false',
          () => kubectl(['patch', 'deployment', 'web', '--type=merge', '-p', '{"spec":{"paused":false}}']),
        ],
        [
          'removing paused',
          () =>
            kubectl([
              'patch',
              'deployment',
              'web',
              '--type=json',
              '-p',
              '[{"op":"remove","path":"/spec/paused"}]',
            ]),
        ],
      ];
      for (const [name, write] of writes) {
        await write();
        await held('v2').catch((error) => {
          throw new Error(`${name}: ${String(error)}`, { cause: error });
        });
      }
      const { metadata, spec } = await app.deployment();
      expect([metadata.labels?.team, metadata.annotations?.note, spec.replicas]).toEqual([
        'shop',
        'hello',
        3,
      ]);
      await eventually('three stable pods', async () => (await app.podsOf('v1')).length === 3);
    });

    test('undo and restart at rest are judged like any other change, and the tested pods stay', async () => {
      await create('undo', { strategy: QUICK });
      await app.deploy('v2');
      await app.promoted('v2');
      await kubectl(['rollout', 'undo', 'deployment/web']);
      await app.promoted('v1');
      expect((await app.podsOf('v1')).length).toBe(2);
      expect(app.weights.map(({ canary }) => canary)).toEqual([0, 50, 100, 0, 50, 100, 0]);

      const before = (await app.rollout()).status?.stable?.digest;
      await kubectl(['rollout', 'restart', 'deployment/web']);
      await app.until('the restarted pods are half', ({ status }) => status?.traffic?.canary === 50);
      const tested = (await app.pods())
        .filter(({ metadata }) => metadata.annotations?.['kubectl.kubernetes.io/restartedAt'])
        .map(({ metadata }) => metadata.uid);
      expect(tested.length).toBeGreaterThan(0);
      await app.until(
        'the restart is promoted',
        ({ status }) => status?.phase === 'Healthy' && status.stable?.digest !== before,
      );
      const pods = await app.podsOf('v1');
      expect(pods.map(({ metadata }) => metadata.uid)).toEqual(expect.arrayContaining(tested));
      expect(pods.every(({ metadata }) => metadata.annotations?.['kubectl.kubernetes.io/restartedAt'])).toBe(
        true,
      );
      await kubectl(['rollout', 'status', 'deployment/web', '--timeout=20s']);
    });

    test('replace --force deletes and creates: not gated, the run ends, nothing is left over', async () => {
      await create('force', { strategy: HOLD });
      await app.deploy('v2');
      await judged('v2');
      await kubectl(['replace', '--force', '-f', '-'], manifestOf(app, 'v3'));
      await app.promoted('v3');
      await eventually(
        'one ReplicaSet and its two pods are left',
        async () => (await app.replicaSets()).length === 1 && (await app.pods()).length === 2,
        { describe: () => app.describe() },
      );
      await app.deploy('v4');
      await judged('v4');
      expect((await app.deployment()).spec.paused).toBe(true);
    });

    test('paused: true in Git: unpaused, and after the third time left alone with the manager named', async () => {
      await create('paused', { strategy: QUICK });
      await app.deploy('v1', {}, { paused: true });
      // As a GitOps engine does: whenever its field has been changed, it puts it back.
      const stalled = await eventually(
        'Stalled',
        async () => {
          if (!(await app.deployment()).spec.paused) await app.deploy('v1', {}, { paused: true });
          const { status } = await app.rollout();
          return status?.conditions.find(({ type, status: value }) => type === 'Stalled' && value === 'True');
        },
        { timeoutMs: 60_000, describe: () => app.describe() },
      );
      expect(stalled).toMatchObject({ reason: 'PausedByOther' });
      expect(stalled.message).toContain('gitops');
      await app.deploy('v1');
      await app.applyRollout({ retry: '1' });
      await app.healthy();
      await eventually('unpaused', async () => !(await app.deployment()).spec.paused);
    });

    test('a plug-in that changes the template with every update, after the gate: nothing of it goes live', async () => {
      await create('late', { strategy: HOLD });
      const template = '/spec/template/metadata/annotations';
      let count = 0;
      const plugin = await startThirdParty(clusterOf(), app.namespace, {
        resource: 'deployments',
        group: 'apps',
        operations: ['UPDATE'],
        mutate: () => {
          count += 1;
          return [{ op: 'add', path: template, value: { 'restamp.example.com/count': String(count) } }];
        },
      });
      try {
        await eventually('the plug-in is asked', async () => {
          await kubectl(['label', 'deployment/web', 'warm=up', '--dry-run=server']).catch(() => {});
          return plugin.calls > 0;
        });
        const before = await app.deployment();
        const label = kubectl(['label', 'deployment/web', 'team=shop']);
        if (how === 'policies') {
          // They run before every webhook: only the backstop sees what came after them.
          await expect(label).rejects.toThrow(
            /Rollout web guards this Deployment, but an admission plug-in changed its template after the gate/,
          );
          await expect(kubectl(['scale', 'deployment/web', '--replicas=3'])).resolves.toContain('scaled');
          expect((await app.deployment()).spec).toEqual({ ...before.spec, replicas: 3 });
        } else {
          // A webhook is asked again after others have changed the object.
          await label;
          expect((await app.deployment()).spec.paused).toBe(true);
        }
        const running = await nativeSets(app);
        expect(running).toHaveLength(1);
        expect(JSON.stringify(running)).not.toContain('restamp');
      } finally {
        await plugin.remove();
      }
      await eventually('let through again', async () => {
        await kubectl(['label', 'deployment/web', 'team=payments', '--overwrite']);
        return true;
      });
    });

    test('the gate that a person has edited or deleted is put back, and holds', async () => {
      await create('gate-data', { strategy: HOLD, replicas: 1 });
      const { client } = clusterOf();
      const guards = () =>
        eventually('the Deployment is guarded again', async () => {
          const map = await client.find<KubeObject>(kinds.ConfigMap, app.namespace, GATE_CONFIG_MAP);
          return (map?.data as Record<string, string> | undefined)?.['deployment.web'] === 'web';
        });
      await guards();
      await kubectl([
        'patch',
        'configmap',
        GATE_CONFIG_MAP,
        '--type=merge',
        '-p',
        '{"data":{"deployment.web":null}}',
      ]);
      await guards();
      await kubectl(['delete', 'configmap', GATE_CONFIG_MAP]);
      await guards();
      await app.healthy();
      await app.deploy('v2');
      await held('v2');
      await judged('v2');
      // Also amid a run.
      await kubectl(['delete', 'configmap', GATE_CONFIG_MAP]);
      await guards();
      await kubectl(['rollout', 'resume', 'deployment/web']);
      await held('v2');
    });

    test('the pinned Service keeps its pin through apply, replace and creation anew, until the run is over', async () => {
      await create('pin', { strategy: HOLD });
      await app.deploy('v2');
      await judged('v2');
      const service = { apiVersion: 'v1', kind: 'Service', ...app.service() };
      const pin = async () =>
        (
          (await clusterOf().client.get<KubeObject>(kinds.Service, app.namespace, 'web')).spec as {
            selector: Record<string, string>;
          }
        ).selector['pod-template-hash'];
      const hash = await pin();
      expect(hash).toBe((await app.rollout()).status?.stable?.hash);
      await kubectl(['apply', '-f', '-'], service);
      expect(await pin()).toBe(hash);
      await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], service);
      expect(await pin()).toBe(hash);
      await kubectl(['replace', '-f', '-'], service);
      expect(await pin()).toBe(hash);
      // What says so comes back too.
      await kubectl(['delete', 'configmap', PINS_CONFIG_MAP]);
      await eventually('the pin is recorded again', async () => {
        const map = await clusterOf().client.find<KubeObject>(
          kinds.ConfigMap,
          app.namespace,
          PINS_CONFIG_MAP,
        );
        return (map?.data as Record<string, string> | undefined)?.['pin.web']?.startsWith(`${hash}|`);
      });
      await kubectl(['replace', '-f', '-'], service);
      expect(await pin()).toBe(hash);
      // The selector is one field, and atomic: without force a person is told of the other manager.
      await expect(
        kubectl(['apply', '--server-side', '--field-manager=ann', '-f', '-'], service),
      ).rejects.toThrow(/conflict[\s\S]*selector/);
      await kubectl(['delete', 'service/web']);
      await kubectl(['create', '-f', '-'], service);
      expect(await pin()).toBe(hash);
      await app.applyRollout({ approve: 'v2' });
      await app.promoted('v2');
      await eventually('no pin', async () => (await pin()) === undefined);
    });
  });
}
