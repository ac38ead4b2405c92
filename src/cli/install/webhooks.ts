import type { KubeObject } from '../../api/meta.ts';
import { labels, MESH_SERVICE, ports } from '../../api/names.ts';
import { type InstallOptions, PART_OF } from './options.ts';

interface Hook {
  name: string;
  path: string;
  rules: object[];
  failurePolicy: 'Fail' | 'Ignore';
  namespaceSelector: object;
  objectSelector?: object;
  reinvocationPolicy?: 'IfNeeded';
}

/** `caBundle` is left out on purpose: `weir mesh` fills it in, and applying the manifests again keeps it. */
const hook = ({ namespace }: { namespace: string }, { path, ...rest }: Hook): object => ({
  ...rest,
  matchPolicy: 'Equivalent',
  admissionReviewVersions: ['v1'],
  sideEffects: 'None',
  timeoutSeconds: 5,
  clientConfig: { service: { namespace, name: MESH_SERVICE, path, port: ports.webhook } },
});

const configuration = (
  kind: 'MutatingWebhookConfiguration' | 'ValidatingWebhookConfiguration',
  name: string,
  webhooks: object[],
): KubeObject => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind,
  metadata: { name, labels: PART_OF },
  webhooks,
});

/** Never the namespaces that must come up before Weir does. */
const outside = (namespace: string) => ({
  key: 'kubernetes.io/metadata.name',
  operator: 'NotIn',
  values: ['kube-system', namespace],
});

/**
 * The same rules as the policies, for API servers without MutatingAdmissionPolicy v1. While `weir mesh` is down,
 * changes of Deployments are refused (GitOps tries again) instead of held.
 */
export function gateWebhooks(options: Pick<InstallOptions, 'namespace' | 'namespaces'>): KubeObject[] {
  const { namespace, namespaces } = options;
  const only = { key: 'kubernetes.io/metadata.name', operator: 'In', values: namespaces };
  const namespaceSelector = {
    matchExpressions: [outside(namespace), ...(namespaces.length > 0 ? [only] : [])],
  };
  const deployments = {
    apiGroups: ['apps'],
    apiVersions: ['v1'],
    operations: ['UPDATE'],
    resources: ['deployments'],
    scope: 'Namespaced',
  };
  const services = {
    apiGroups: [''],
    apiVersions: ['v1'],
    operations: ['CREATE', 'UPDATE'],
    resources: ['services'],
    scope: 'Namespaced',
  };
  return [
    configuration('MutatingWebhookConfiguration', 'gate.weir.dev', [
      hook(options, {
        name: 'gate.weir.dev',
        path: '/gate',
        rules: [deployments],
        failurePolicy: 'Fail',
        namespaceSelector,
        reinvocationPolicy: 'IfNeeded',
      }),
      hook(options, {
        name: 'pin.weir.dev',
        path: '/gate',
        rules: [services],
        failurePolicy: 'Ignore',
        namespaceSelector,
        reinvocationPolicy: 'IfNeeded',
      }),
    ]),
    configuration('ValidatingWebhookConfiguration', 'gate-backstop.weir.dev', [
      hook(options, {
        name: 'gate-backstop.weir.dev',
        path: '/gate-backstop',
        rules: [deployments],
        failurePolicy: 'Fail',
        namespaceSelector,
      }),
    ]),
  ];
}

/** The sidecar injector: whole namespaces by label, or single pods by label in the others. */
export function injectWebhook(options: Pick<InstallOptions, 'namespace'>): KubeObject {
  const pods = {
    apiGroups: [''],
    apiVersions: ['v1'],
    operations: ['CREATE'],
    resources: ['pods'],
    scope: 'Namespaced',
  };
  const notDisabled = { key: labels.inject, operator: 'NotIn', values: ['disabled'] };
  const shared = {
    path: '/inject',
    rules: [pods],
    failurePolicy: 'Fail' as const,
    reinvocationPolicy: 'IfNeeded' as const,
  };
  return configuration('MutatingWebhookConfiguration', 'inject.weir.dev', [
    hook(options, {
      ...shared,
      name: 'namespace.inject.weir.dev',
      namespaceSelector: {
        matchExpressions: [
          outside(options.namespace),
          { key: labels.inject, operator: 'In', values: ['enabled'] },
        ],
      },
      objectSelector: { matchExpressions: [notDisabled] },
    }),
    hook(options, {
      ...shared,
      name: 'pod.inject.weir.dev',
      namespaceSelector: {
        matchExpressions: [
          outside(options.namespace),
          { key: labels.inject, operator: 'NotIn', values: ['enabled'] },
        ],
      },
      objectSelector: { matchLabels: { [labels.inject]: 'enabled' } },
    }),
  ]);
}
