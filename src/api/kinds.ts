import type { ResourceKind } from './meta.ts';
import { GROUP } from './names.ts';

const kind = (
  group: string,
  version: string,
  name: string,
  plural: string,
  namespaced = true,
): ResourceKind => ({
  group,
  version,
  kind: name,
  plural,
  namespaced,
});

/** Every kind that Weir, its local cluster and its installer address by name. */
export const kinds = {
  Rollout: kind(GROUP, 'v1alpha1', 'Rollout', 'rollouts'),
  MetricTemplate: kind(GROUP, 'v1alpha1', 'MetricTemplate', 'metrictemplates'),
  TrafficPolicy: kind(GROUP, 'v1alpha1', 'TrafficPolicy', 'trafficpolicies'),
  /** The version Weir writes; v1alpha2 is served too. */
  TrafficSplit: kind('split.smi-spec.io', 'v1alpha4', 'TrafficSplit', 'trafficsplits'),
  Namespace: kind('', 'v1', 'Namespace', 'namespaces', false),
  Node: kind('', 'v1', 'Node', 'nodes', false),
  Pod: kind('', 'v1', 'Pod', 'pods'),
  Service: kind('', 'v1', 'Service', 'services'),
  ConfigMap: kind('', 'v1', 'ConfigMap', 'configmaps'),
  Secret: kind('', 'v1', 'Secret', 'secrets'),
  ServiceAccount: kind('', 'v1', 'ServiceAccount', 'serviceaccounts'),
  Event: kind('', 'v1', 'Event', 'events'),
  EndpointSlice: kind('discovery.k8s.io', 'v1', 'EndpointSlice', 'endpointslices'),
  Deployment: kind('apps', 'v1', 'Deployment', 'deployments'),
  ReplicaSet: kind('apps', 'v1', 'ReplicaSet', 'replicasets'),
  StatefulSet: kind('apps', 'v1', 'StatefulSet', 'statefulsets'),
  DaemonSet: kind('apps', 'v1', 'DaemonSet', 'daemonsets'),
  Lease: kind('coordination.k8s.io', 'v1', 'Lease', 'leases'),
  FlowSchema: kind('flowcontrol.apiserver.k8s.io', 'v1', 'FlowSchema', 'flowschemas', false),
  CustomResourceDefinition: kind(
    'apiextensions.k8s.io',
    'v1',
    'CustomResourceDefinition',
    'customresourcedefinitions',
    false,
  ),
  MutatingWebhookConfiguration: kind(
    'admissionregistration.k8s.io',
    'v1',
    'MutatingWebhookConfiguration',
    'mutatingwebhookconfigurations',
    false,
  ),
  ValidatingWebhookConfiguration: kind(
    'admissionregistration.k8s.io',
    'v1',
    'ValidatingWebhookConfiguration',
    'validatingwebhookconfigurations',
    false,
  ),
  MutatingAdmissionPolicy: kind(
    'admissionregistration.k8s.io',
    'v1',
    'MutatingAdmissionPolicy',
    'mutatingadmissionpolicies',
    false,
  ),
  MutatingAdmissionPolicyBinding: kind(
    'admissionregistration.k8s.io',
    'v1',
    'MutatingAdmissionPolicyBinding',
    'mutatingadmissionpolicybindings',
    false,
  ),
  ValidatingAdmissionPolicy: kind(
    'admissionregistration.k8s.io',
    'v1',
    'ValidatingAdmissionPolicy',
    'validatingadmissionpolicies',
    false,
  ),
  ValidatingAdmissionPolicyBinding: kind(
    'admissionregistration.k8s.io',
    'v1',
    'ValidatingAdmissionPolicyBinding',
    'validatingadmissionpolicybindings',
    false,
  ),
  ClusterRole: kind('rbac.authorization.k8s.io', 'v1', 'ClusterRole', 'clusterroles', false),
  ClusterRoleBinding: kind(
    'rbac.authorization.k8s.io',
    'v1',
    'ClusterRoleBinding',
    'clusterrolebindings',
    false,
  ),
  Role: kind('rbac.authorization.k8s.io', 'v1', 'Role', 'roles'),
  RoleBinding: kind('rbac.authorization.k8s.io', 'v1', 'RoleBinding', 'rolebindings'),
} satisfies Record<string, ResourceKind>;
