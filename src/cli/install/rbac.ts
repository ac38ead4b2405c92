import type { KubeObject } from '../../api/meta.ts';
import { GATE_CONFIG_MAP, GROUP, ISSUER_SECRET, PINS_CONFIG_MAP, TRUST_CONFIG_MAP } from '../../api/names.ts';
import { componentLabels, type InstallOptions } from './options.ts';

interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
  resourceNames?: string[];
}

const READ = ['get', 'list', 'watch'];
const WRITE = ['create', 'update', 'patch'];

const rule = (group: string, resources: string[], verbs: string[], resourceNames?: string[]): Rule => ({
  apiGroups: [group],
  resources,
  verbs,
  ...(resourceNames ? { resourceNames } : {}),
});

const GATE_RESOURCES = [
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
];

/** What each component may do in the whole cluster, and what only in Weir's own namespace. */
const grants: Record<'controller' | 'mesh' | 'metrics', { cluster: Rule[]; own: Rule[] }> = {
  controller: {
    cluster: [
      rule(GROUP, ['rollouts'], [...READ, 'update', 'patch']),
      rule(GROUP, ['rollouts/status', 'rollouts/finalizers'], ['get', 'update', 'patch']),
      rule(GROUP, ['metrictemplates'], READ),
      rule('split.smi-spec.io', ['trafficsplits'], [...READ, ...WRITE, 'delete']),
      rule('apps', ['deployments'], [...READ, 'update', 'patch']),
      // Owner references that block deletion need the right to the owner's finalizers.
      rule('apps', ['deployments/finalizers', 'deployments/scale'], ['get', 'update', 'patch']),
      rule('apps', ['replicasets'], [...READ, ...WRITE, 'delete']),
      rule('apps', ['replicasets/scale'], ['get', 'update', 'patch']),
      rule('', ['services'], [...READ, ...WRITE, 'delete']),
      rule('', ['pods', 'namespaces'], READ),
      rule('discovery.k8s.io', ['endpointslices'], READ),
      // The gate's ConfigMaps in each guarded namespace; `create` cannot be narrowed to a name.
      rule('', ['configmaps'], [...READ, 'create']),
      rule('', ['configmaps'], ['update', 'patch', 'delete'], [GATE_CONFIG_MAP, PINS_CONFIG_MAP]),
      rule('', ['events'], ['create', 'patch', 'update']),
      // Whether the gate is still there: read only.
      rule('admissionregistration.k8s.io', GATE_RESOURCES, READ),
    ],
    own: [
      rule('coordination.k8s.io', ['leases'], [...READ, ...WRITE]),
      // Where the replicas of `weir mesh` are.
      rule('discovery.k8s.io', ['endpointslices'], READ),
    ],
  },
  mesh: {
    cluster: [
      rule('', ['services', 'pods', 'namespaces'], READ),
      rule('discovery.k8s.io', ['endpointslices'], READ),
      rule('split.smi-spec.io', ['trafficsplits'], READ),
      rule(GROUP, ['trafficpolicies'], READ),
      rule(GROUP, ['trafficpolicies/status'], ['update']),
      // Reads the gate live, hands the trust bundle to every namespace.
      rule('', ['configmaps'], [...READ, 'create']),
      rule('', ['configmaps'], ['update', 'patch', 'delete'], [TRUST_CONFIG_MAP]),
      rule('authentication.k8s.io', ['tokenreviews'], ['create']),
      rule(
        'admissionregistration.k8s.io',
        ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
        READ,
      ),
      rule(
        'admissionregistration.k8s.io',
        ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
        ['update', 'patch'],
        ['gate.weir.dev', 'gate-backstop.weir.dev', 'inject.weir.dev'],
      ),
      rule('', ['events'], ['create', 'patch', 'update']),
    ],
    own: [
      rule('', ['secrets'], ['create']),
      rule('', ['secrets'], ['get', 'update', 'patch'], [ISSUER_SECRET]),
      rule('coordination.k8s.io', ['leases'], [...READ, ...WRITE]),
    ],
  },
  metrics: { cluster: [rule('', ['pods', 'namespaces'], READ)], own: [] },
};

/** A Role cannot grant what lives in no namespace. */
const withoutClusterScoped = (each: Rule): Rule => ({
  ...each,
  resources: each.resources.filter((resource) => resource !== 'namespaces'),
});

/** ServiceAccount, roles and bindings of one component. */
export function componentAccess(
  component: keyof typeof grants,
  { namespace, namespaces }: Pick<InstallOptions, 'namespace' | 'namespaces'>,
): KubeObject[] {
  const name = `weir-${component}`;
  const labels = componentLabels(component);
  const { cluster, own } = grants[component];
  const subjects = [{ kind: 'ServiceAccount', name, namespace }];
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const roleRef = (kind: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name });
  // The controller of some namespaces has the same rights there and none elsewhere; what is in no namespace it may read.
  const everywhere =
    component === 'controller' && namespaces.length > 0
      ? cluster.filter(({ apiGroups }) => apiGroups[0] === 'admissionregistration.k8s.io')
      : cluster;
  const there = cluster.filter((each) => !everywhere.includes(each)).map(withoutClusterScoped);
  const objects: KubeObject[] = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace, labels } },
    { apiVersion, kind: 'ClusterRole', metadata: { name, labels }, rules: everywhere },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { name, labels },
      roleRef: roleRef('ClusterRole'),
      subjects,
    },
  ];
  const inside = (where: string, rules: Rule[]) => {
    const metadata = { name, namespace: where, labels };
    objects.push(
      { apiVersion, kind: 'Role', metadata, rules },
      { apiVersion, kind: 'RoleBinding', metadata, roleRef: roleRef('Role'), subjects },
    );
  };
  if (own.length > 0) inside(namespace, namespaces.includes(namespace) ? [...own, ...there] : own);
  if (there.length > 0) for (const each of namespaces) if (each !== namespace) inside(each, there);
  return objects;
}
