import { customResourceDefinitions } from '../../api/crd.ts';
import type { KubeObject } from '../../api/meta.ts';
import { labels } from '../../api/names.ts';
import { leaderElectionFlow } from './flow.ts';
import { type InstallOptions, installOptions, PART_OF } from './options.ts';
import { gatePolicies } from './policies.ts';
import { componentAccess } from './rbac.ts';
import { gateWebhooks, injectWebhook } from './webhooks.ts';
import { workloads } from './workloads.ts';

export const crdManifests = (): KubeObject[] =>
  customResourceDefinitions().map((crd) => ({
    ...crd,
    metadata: { ...crd.metadata, labels: { ...crd.metadata.labels, ...PART_OF } },
  }));

/**
 * Everything of an installation, in the order in which it can be applied: what is named before what names it, and
 * admission last, so that nothing waits for a webhook that has no server yet. Same options, same objects.
 */
export function generateManifests(given: Partial<InstallOptions> = {}): KubeObject[] {
  const options = installOptions(given);
  const components = ['controller', 'mesh', ...(options.prometheusUrl === undefined ? ['metrics'] : [])] as (
    | 'controller'
    | 'mesh'
    | 'metrics'
  )[];
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: options.namespace,
        labels: {
          ...PART_OF,
          [labels.inject]: 'disabled',
          // The API server holds these pods to it, whatever somebody changes in them.
          'pod-security.kubernetes.io/enforce': 'restricted',
        },
      },
    },
    ...crdManifests(),
    ...components.flatMap((component) => componentAccess(component, options)),
    leaderElectionFlow(options),
    ...workloads(options),
    ...(options.admission === 'policies' ? gatePolicies(options) : gateWebhooks(options)),
    injectWebhook(options),
  ];
}

const REMOVAL: string[][] = [
  ['MutatingAdmissionPolicyBinding', 'ValidatingAdmissionPolicyBinding'],
  ['MutatingAdmissionPolicy', 'ValidatingAdmissionPolicy'],
  ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'],
  ['Deployment', 'PodDisruptionBudget'],
  ['Service', 'ConfigMap'],
  ['FlowSchema', 'RoleBinding', 'Role', 'ClusterRoleBinding', 'ClusterRole', 'ServiceAccount'],
  ['CustomResourceDefinition'],
  ['Namespace'],
];

/**
 * What to delete, in the safe order: first what could refuse or hold a change, last what holds data. Both variants of
 * admission are in it, because nobody remembers which one was installed.
 */
export function removalOrder(given: Partial<InstallOptions> = {}): KubeObject[] {
  const all = new Map<string, KubeObject>();
  for (const admission of ['policies', 'webhooks'] as const) {
    for (const object of generateManifests({ ...given, ha: true, admission }))
      all.set(`${object.kind}/${object.metadata.namespace ?? ''}/${object.metadata.name}`, object);
  }
  return REMOVAL.flatMap((group) => [...all.values()].filter(({ kind }) => group.includes(kind ?? ''))).map(
    ({ apiVersion, kind, metadata: { name, namespace } }) => ({
      apiVersion,
      kind,
      metadata: { name, ...(namespace ? { namespace } : {}) },
    }),
  );
}
