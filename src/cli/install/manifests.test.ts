import { describe, expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../api/meta.ts';
import { parseConfig } from '../../metrics/index.ts';
import { toYaml } from '../install.ts';
import { generateManifests, removalOrder } from './manifests.ts';
import type { InstallOptions } from './options.ts';

const variants: Partial<InstallOptions>[] = [
  {},
  { admission: 'policies' },
  { ha: true },
  { profile: 'local' },
  { namespaces: ['shop', 'payments'] },
  { namespaces: ['shop'], admission: 'policies' },
  { namespace: 'delivery', prometheusUrl: 'http://prometheus.monitoring.svc:9090' },
];

const named = (objects: KubeObject[], kind: string, name: string) =>
  objects.find((object) => object.kind === kind && object.metadata.name === name)!;
const containers = (object: KubeObject) =>
  (object.spec as { template: { spec: { containers: Record<string, unknown>[] } } }).template.spec.containers;

describe.each(variants.map((options) => [JSON.stringify(options), options] as const))(
  '%s',
  (_name, options) => {
    const objects = generateManifests(options);

    test('same options, same text; every object has a name of its own and belongs to Weir', () => {
      expect(toYaml(generateManifests(options))).toBe(toYaml(objects));
      const keys = objects.map(
        ({ kind, metadata }) => `${kind}/${metadata.namespace ?? ''}/${metadata.name}`,
      );
      expect(new Set(keys).size).toBe(keys.length);
      for (const { metadata } of objects) expect(metadata.labels?.['app.kubernetes.io/part-of']).toBe('weir');
      expect(parseAllDocuments(toYaml(objects)).map((document) => document.toJS())).toEqual(objects);
    });

    test('what is named comes first: the namespace, CRDs, accounts; admission is last', () => {
      const kinds = objects.map(({ kind }) => kind ?? '');
      const last = (pattern: RegExp) => kinds.findLastIndex((kind) => pattern.test(kind));
      const first = (pattern: RegExp) => kinds.findIndex((kind) => pattern.test(kind));
      expect(kinds[0]).toBe('Namespace');
      expect(last(/^CustomResourceDefinition$/)).toBeLessThan(first(/^ServiceAccount$/));
      expect(last(/^(Cluster)?Role/)).toBeLessThan(first(/^Deployment$/));
      expect(last(/^Deployment$/)).toBeLessThan(first(/Webhook|Admission/));
    });

    test('the lease of the controller is renewed in the API server’s own lane for leader election', () => {
      const namespace = options.namespace ?? 'weir';
      expect(named(objects, 'FlowSchema', 'weir-leader-election').spec).toMatchObject({
        priorityLevelConfiguration: { name: 'leader-election' },
        rules: [
          {
            subjects: [{ serviceAccount: { name: 'weir-controller', namespace } }],
            resourceRules: [{ resources: ['leases'], namespaces: [namespace] }],
          },
        ],
      });
    });

    test('least privilege: nothing for everything, Secrets only by name, only what is in the namespace', () => {
      for (const object of objects.filter(({ kind }) => /^(Cluster)?Role$/.test(kind ?? ''))) {
        const rules = object.rules as {
          apiGroups: string[];
          resources: string[];
          verbs: string[];
          resourceNames?: string[];
        }[];
        for (const rule of rules) {
          expect([...rule.apiGroups, ...rule.resources, ...rule.verbs]).not.toContain('*');
          if (rule.resources.includes('secrets')) {
            expect(object.kind).toBe('Role');
            if (!rule.verbs.every((verb) => verb === 'create'))
              expect(rule.resourceNames).toEqual(['weir-identity-issuer']);
          }
        }
      }
    });

    test('every pod is restricted, probed, and runs as its own account', () => {
      const deployments = objects.filter(({ kind }) => kind === 'Deployment');
      expect(deployments.map(({ metadata }) => metadata.name)).toEqual(
        expect.arrayContaining(['weir-mesh', 'weir-controller']),
      );
      for (const deployment of deployments) {
        const { spec } = (deployment.spec as { template: { spec: Record<string, unknown> } }).template;
        expect(spec).toMatchObject({
          serviceAccountName: deployment.metadata.name,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        });
        expect(containers(deployment)[0]).toMatchObject({
          readinessProbe: { httpGet: { path: '/ready' } },
          livenessProbe: { httpGet: { path: '/live' } },
          securityContext: {
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
          },
        });
      }
    });

    test('everything namespaced is in the namespace of the installation', () => {
      const namespace = options.namespace ?? 'weir';
      for (const { kind, metadata } of objects) {
        if (metadata.namespace === undefined) continue;
        const granted = /^Role/.test(kind ?? '') ? (options.namespaces ?? []) : [];
        expect([namespace, ...granted]).toContain(metadata.namespace);
      }
    });
  },
);

test('a controller of some namespaces may act there and nowhere else, and the gate holds there alone', () => {
  const namespaces = ['shop', 'payments'];
  for (const admission of ['policies', 'webhooks'] as const) {
    const objects = generateManifests({ namespaces, admission });
    const everywhere = named(objects, 'ClusterRole', 'weir-controller').rules as {
      apiGroups: string[];
      verbs: string[];
    }[];
    expect(everywhere.flatMap(({ apiGroups }) => apiGroups)).toEqual(['admissionregistration.k8s.io']);
    expect(everywhere.flatMap(({ verbs }) => verbs)).toEqual(['get', 'list', 'watch']);
    const roles = objects.filter(
      ({ kind, metadata }) => kind === 'Role' && metadata.name === 'weir-controller',
    );
    expect(roles.map(({ metadata }) => metadata.namespace)).toEqual(['weir', ...namespaces]);
    expect(JSON.stringify(roles[0])).not.toContain('deployments');
    expect(JSON.stringify(roles[1]?.rules)).toContain('"deployments"');
    expect(containers(named(objects, 'Deployment', 'weir-controller'))[0]?.args).toEqual(
      expect.arrayContaining(['--namespace=shop', '--namespace=payments']),
    );
    const gate =
      admission === 'policies'
        ? named(objects, 'MutatingAdmissionPolicyBinding', 'gate.weir.dev')
        : named(objects, 'MutatingWebhookConfiguration', 'gate.weir.dev');
    expect(JSON.stringify(gate)).toContain('"operator":"In","values":["shop","payments"]');
  }
});

test('of TrafficPolicies the mesh reads all and writes the status alone, nobody else does anything', () => {
  const granted = generateManifests()
    .filter(({ kind }) => /^(Cluster)?Role$/.test(kind ?? ''))
    .flatMap(({ metadata, rules }) =>
      (rules as { resources: string[]; verbs: string[] }[])
        .filter(({ resources }) => JSON.stringify(resources).includes('trafficpolicies'))
        .map(({ resources, verbs }) => [metadata.name, resources, verbs]),
    );
  expect(granted).toEqual([
    ['weir-mesh', ['trafficpolicies'], ['get', 'list', 'watch']],
    ['weir-mesh', ['trafficpolicies/status'], ['update']],
  ]);
});

test('the gate trusts the controller of this installation, and no other', () => {
  const text = toYaml(generateManifests({ namespace: 'delivery', admission: 'policies' }));
  expect(text).toContain("'system:serviceaccount:delivery:weir-controller'");
  expect(text).not.toContain('system:serviceaccount:weir:');
});

test('webhooks: Deployments fail closed, Services open; never in kube-system or the own namespace', () => {
  const objects = generateManifests({ namespace: 'delivery' });
  const gate = named(objects, 'MutatingWebhookConfiguration', 'gate.weir.dev');
  expect(gate.webhooks).toMatchObject([
    {
      failurePolicy: 'Fail',
      clientConfig: { service: { namespace: 'delivery', name: 'weir-mesh', path: '/gate', port: 9443 } },
    },
    { failurePolicy: 'Ignore', clientConfig: { service: { path: '/gate' } } },
  ]);
  for (const { namespaceSelector, clientConfig } of gate.webhooks as {
    namespaceSelector: object;
    clientConfig: object;
  }[]) {
    expect(JSON.stringify(namespaceSelector)).toContain('["kube-system","delivery"]');
    expect(clientConfig).not.toHaveProperty('caBundle');
  }
});

test("the store's configuration is one that the store reads, and the controller is told where it is", () => {
  const objects = generateManifests({ profile: 'local' });
  const { data } = named(objects, 'ConfigMap', 'weir-metrics') as unknown as { data: Record<string, string> };
  expect(parseConfig(data['prometheus.yaml']!)).toMatchObject({ ignored: [] });
  expect(parse(data['prometheus.yaml']!)).toMatchObject({ global: { scrape_interval: '1s' } });
  expect(containers(named(objects, 'Deployment', 'weir-controller'))[0]?.args).toContain(
    '--prometheus-url=http://weir-metrics.weir.svc:9090',
  );
});

test('with a Prometheus of your own there is no store', () => {
  const objects = generateManifests({ prometheusUrl: 'http://prometheus:9090' });
  expect(objects.filter(({ metadata }) => metadata.name === 'weir-metrics')).toEqual([]);
});

test('removal begins with what can hold or refuse a change and ends with CRDs and the namespace', () => {
  const kinds = removalOrder().map(({ kind }) => kind);
  expect(kinds.slice(0, 3).every((kind) => kind?.endsWith('AdmissionPolicyBinding'))).toBe(true);
  expect(kinds.indexOf('Deployment')).toBeGreaterThan(kinds.lastIndexOf('ValidatingWebhookConfiguration'));
  expect(kinds.indexOf('CustomResourceDefinition')).toBeGreaterThan(kinds.lastIndexOf('ServiceAccount'));
  expect(kinds.at(-1)).toBe('Namespace');
  const installed = generateManifests({ ha: true, admission: 'policies' }).length;
  expect(kinds.length).toBeGreaterThan(installed);
});
