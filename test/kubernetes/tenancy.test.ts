import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { generateManifests } from '../../src/cli/install/manifests.ts';
import type { InstallOptions } from '../../src/cli/install/options.ts';
import { injectManifests } from '../../src/mesh/index.ts';
import { App } from '../e2e/support/app.ts';
import { eventually, sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { ALWAYS_GOOD, type Kubectl, kubectlFor, manifestOf, may, QUICK } from './support/kubectl.ts';

let cluster: TestCluster;
let app: App | undefined;
const made: string[] = [];

beforeAll(async () => {
  cluster = await sharedCluster();
});
afterEach(async () => {
  await app?.remove();
  app = undefined;
  for (const name of made.splice(0)) await cluster.client.delete(kinds.Namespace, undefined, name);
});

async function namespaceOf(name: string, enforce?: string): Promise<Kubectl> {
  made.push(name);
  await cluster.client.create(kinds.Namespace, {
    metadata: { name, ...(enforce ? { labels: { 'pod-security.kubernetes.io/enforce': enforce } } : {}) },
  });
  return kubectlFor(cluster, name);
}

type Template = { metadata: object; spec: object };
const templateOf = ({ spec }: KubeObject) => (spec as { template: Template }).template;
/** What the strictest namespaces ask of an application. */
const RESTRICTED = {
  runAsNonRoot: true,
  runAsUser: 1000,
  seccompProfile: { type: 'RuntimeDefault' },
};
const UNPRIVILEGED = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };

describe('the restricted Pod Security level', () => {
  const installations: Partial<InstallOptions>[] = [
    { profile: 'cluster', ha: true, admission: 'policies' },
    { profile: 'cluster', admission: 'webhooks', interception: 'explicit' },
    { profile: 'cluster', namespaces: ['shop'], prometheusUrl: 'http://prometheus.monitoring.svc:9090' },
  ];

  test.each(installations)('takes every pod of `weir install` (%j)', async (options) => {
    const deployments = generateManifests(options).filter(({ kind }) => kind === 'Deployment');
    const kubectl = await namespaceOf(
      `restricted-weir-${deployments.length}-${options.admission}`,
      'restricted',
    );
    expect(deployments.length).toBeGreaterThanOrEqual(2);
    for (const deployment of deployments) {
      const { metadata, spec } = templateOf(deployment);
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { ...metadata, name: deployment.metadata.name },
        // The account is Weir's, in a namespace of its own.
        spec: { ...spec, serviceAccountName: 'default' },
      };
      const said = await kubectl(['create', '--dry-run=server', '-f', '-'], pod);
      expect(said).toContain(`pod/${deployment.metadata.name} created`);
    }
  });

  test("is enforced on Weir's own namespace, where it runs", async () => {
    const { metadata } = await cluster.client.get<KubeObject>(kinds.Namespace, undefined, 'weir');
    expect(metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    const kubectl = kubectlFor(cluster, 'weir');
    await expect(kubectl(['run', 'probe', '--image=weir-sample:v1', '--dry-run=server'])).rejects.toThrow(
      /violates PodSecurity "restricted/,
    );
  });

  test('takes an application with the sidecar of explicit listeners, through a whole rollout', async () => {
    app = await App.create(cluster, 'restricted-app', { analysis: ALWAYS_GOOD, strategy: QUICK });
    const kubectl = kubectlFor(cluster, app.namespace);
    await kubectl(['label', 'namespace', app.namespace, 'pod-security.kubernetes.io/enforce=restricted']);
    const manifest = manifestOf(app, 'v2') as { spec: { template: { spec: Record<string, unknown> } } };
    const pod = manifest.spec.template.spec as { containers: object[] };
    manifest.spec.template.spec = {
      ...pod,
      securityContext: RESTRICTED,
      containers: pod.containers.map((container) => ({ ...container, securityContext: UNPRIVILEGED })),
    };
    await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], manifest);
    await app.promoted('v2');
    const [one] = await app.podsOf('v2');
    const { containers } = one!.spec as { containers: { name: string }[] };
    expect(containers.map(({ name }) => name).sort()).toEqual(['app', 'weir-proxy']);
    expect((await app.load()).failed).toBe(0);
  });

  test('interception by iptables needs the privileged level for its init container, and only for that one', async () => {
    const application = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'intercepted' },
      spec: {
        securityContext: RESTRICTED,
        containers: [{ name: 'app', image: 'app:1', securityContext: UNPRIVILEGED }],
      },
    };
    const { yaml } = injectManifests(JSON.stringify(application), {
      namespace: 'default',
      image: 'weir:1',
      isService: () => true,
      interception: 'transparent',
      sidecar: 'native',
    });
    const create = ['create', '--dry-run=server', '-f', '-'];
    for (const level of ['restricted', 'baseline']) {
      const kubectl = await namespaceOf(`intercepted-${level}`, level);
      const refused = await kubectl(create, parse(yaml)).catch((error: Error) => error.message);
      expect(refused).toMatch(/violates PodSecurity.*"weir-init"/);
      expect(refused).not.toContain('weir-proxy');
    }
    const kubectl = await namespaceOf('intercepted-privileged', 'privileged');
    expect(await kubectl(create, parse(yaml))).toContain('created');
  });
});

describe('who may write Rollouts', () => {
  const SECRET = 'hunter2-of-the-neighbour';

  test('reads no Secret, and nothing of another namespace, through Weir', async () => {
    const other = await namespaceOf('tenant-other');
    await other(['create', 'secret', 'generic', 'password', `--from-literal=value=${SECRET}`]);
    await other(['create', '-f', '-'], {
      apiVersion: 'weir.dev/v1alpha1',
      kind: 'MetricTemplate',
      metadata: { name: 'theirs' },
      spec: { query: `vector(1) or ${SECRET.replaceAll('-', '_')}` },
    });
    app = await App.create(cluster, 'tenant', { rps: 0, withRollout: false });
    const admin = kubectlFor(cluster, 'tenant');
    await admin([
      'create',
      'role',
      'author',
      '--verb=*',
      '--resource=rollouts.weir.dev,metrictemplates.weir.dev',
    ]);
    await admin(['create', 'rolebinding', 'author', '--role=author', '--user=ann']);
    const ann: Kubectl = (args, input) => admin([...args, '--as=ann'], input);
    await expect(ann(['get', 'secrets'])).rejects.toThrow('forbidden');

    const rollout = (spec: object) => {
      const base = app!.rolloutManifest();
      return { ...base, spec: { ...(base.spec as object), ...spec } };
    };
    const analysis = (metric: object) => ({
      analysis: { ...ALWAYS_GOOD, metrics: [{ name: 'theirs', threshold: { min: 1 }, ...metric }] },
    });
    // No field for it: the API server knows the fields there are.
    for (const spec of [
      { targetRef: { name: 'web', namespace: 'tenant-other' } },
      { service: { name: 'web', port: 80, namespace: 'tenant-other' } },
      analysis({ templateRef: { name: 'theirs', namespace: 'tenant-other' } }),
      analysis({ prometheus: { query: 'vector(1)', url: 'http://198.51.100.1/' } }),
      analysis({ prometheus: { query: 'vector(1)', secretRef: { name: 'password' } } }),
    ])
      await expect(ann(['create', '-f', '-'], rollout(spec))).rejects.toThrow('unknown field');
    // Nor a way to write one into a name.
    for (const spec of [
      { targetRef: { name: 'tenant-other/web' } },
      { service: { name: '../tenant-other/services/web', port: 80 } },
      analysis({ templateRef: { name: 'tenant-other/theirs' } }),
    ])
      await expect(ann(['create', '-f', '-'], rollout(spec))).rejects.toThrow(/Invalid value/);

    // A name that only the neighbour has is nobody's; what is told of it holds nothing of theirs.
    await ann(['create', '-f', '-'], rollout(analysis({ templateRef: { name: 'theirs' } })));
    await app.healthy();
    await app.deploy('v2');
    const told = await app.until(
      'the metric is not found',
      ({ status }) => status?.analysis?.metrics?.some(({ message }) => /theirs/.test(message ?? '')) === true,
    );
    expect(told.status?.phase).toBe('Progressing');
    const everything = [
      JSON.stringify(told),
      await admin(['get', 'events,configmaps,services,replicasets,pods', '-o', 'yaml']),
    ].join();
    expect(everything).not.toContain(SECRET);
    expect(everything).not.toContain(SECRET.replaceAll('-', '_'));
  });

  test.each([
    ['controller', 'tenant-other'],
    ['mesh', 'tenant-other'],
    ['metrics', 'tenant-other'],
    ['controller', 'weir'],
    ['metrics', 'weir'],
  ])('not even the %s may read Secrets of %s', async (component, namespace) => {
    const kubectl = kubectlFor(cluster, namespace);
    const as = `system:serviceaccount:weir:weir-${component}`;
    for (const verb of ['get', 'list', 'watch', 'create', 'update', 'delete'])
      expect([verb, await may(kubectl, as, verb, 'secrets')]).toEqual([verb, false]);
  });

  test('the mesh reads one Secret: the one it signs with', async () => {
    const kubectl = kubectlFor(cluster, 'weir');
    const as = 'system:serviceaccount:weir:weir-mesh';
    expect(await may(kubectl, as, 'get', 'secrets/weir-identity-issuer')).toBe(true);
    expect(await may(kubectl, as, 'get', 'secrets/another')).toBe(false);
    expect(await may(kubectl, as, 'list', 'secrets')).toBe(false);
    await eventually('it is there', () => cluster.client.find(kinds.Secret, 'weir', 'weir-identity-issuer'));
  });
});
