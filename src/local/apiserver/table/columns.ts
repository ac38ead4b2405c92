import type { KubeObject } from '../../../api/meta.ts';
import { at, isObject, type Json, type JsonObject } from '../json.ts';

export interface Column {
  name: string;
  type: string;
  format?: string;
  description?: string;
  priority?: number;
  cell: (object: KubeObject, now: number) => unknown;
}

/** Go's `duration.HumanDuration`. */
export function age(time: unknown, now: number): string {
  if (typeof time !== 'string') return '<unknown>';
  const seconds = Math.max(0, Math.floor((now - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 ? `${minutes}m${seconds % 60}s` : `${minutes}m`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 ? `${hours}h${minutes % 60}m` : `${hours}h`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return hours % 24 ? `${days}d${hours % 24}h` : `${days}d`;
  return days < 730 ? `${days}d` : `${Math.floor(days / 365)}y`;
}

const column = (name: string, cell: Column['cell'], type = 'string', priority = 0): Column => ({
  name,
  type,
  priority,
  cell,
});
export const NAME: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  priority: 0,
  cell: ({ metadata }) => metadata.name,
};
export const AGE = column('Age', ({ metadata }, now) => age(metadata.creationTimestamp, now));

const number =
  (...path: string[]) =>
  (object: KubeObject) =>
    Number(at(object, ...path) ?? 0);
const text =
  (...path: string[]) =>
  (object: KubeObject) =>
    String(at(object, ...path) ?? '<none>');
const size =
  (...path: string[]) =>
  (object: KubeObject) =>
    Object.keys(at(object, ...path) ?? {}).length;
const list = (value: Json | undefined): JsonObject[] => (Array.isArray(value) ? value.filter(isObject) : []);
const joined = (labels: Json | undefined): string =>
  Object.entries((isObject(labels) ? labels : {}) as Record<string, Json>)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(',') || '<none>';
const template = (object: KubeObject, key: string) =>
  list(at(object, 'spec', 'template', 'spec', 'containers'))
    .map((each) => each[key])
    .join(',');
const wide = (name: string, cell: Column['cell']) => column(name, cell, 'string', 1);

const CONTAINERS = [
  wide('Containers', (object) => template(object, 'name')),
  wide('Images', (object) => template(object, 'image')),
  wide('Selector', (object) => joined(at(object, 'spec', 'selector', 'matchLabels'))),
];

function podStatus(pod: KubeObject): string {
  let status = String(at(pod, 'status', 'reason') ?? at(pod, 'status', 'phase') ?? 'Unknown');
  for (const { state } of list(at(pod, 'status', 'containerStatuses'))) {
    const waiting = at(state, 'waiting', 'reason');
    const ended = at(state, 'terminated');
    if (waiting) status = String(waiting);
    else if (isObject(ended)) status = String(ended.reason ?? `ExitCode:${String(ended.exitCode)}`);
  }
  return pod.metadata.deletionTimestamp ? 'Terminating' : status;
}

const ready = (pod: KubeObject): string => {
  const statuses = list(at(pod, 'status', 'containerStatuses'));
  return `${statuses.filter((each) => each.ready === true).length}/${list(at(pod, 'spec', 'containers')).length}`;
};

const servicePorts = (service: KubeObject): string =>
  list(at(service, 'spec', 'ports'))
    .map(
      ({ port, nodePort, protocol }) =>
        `${String(port)}${nodePort ? `:${String(nodePort)}` : ''}/${String(protocol)}`,
    )
    .join(',') || '<none>';

const nodeReady = (node: KubeObject): string => {
  const condition = list(at(node, 'status', 'conditions')).find(({ type }) => type === 'Ready');
  return `${condition?.status === 'True' ? 'Ready' : condition ? 'NotReady' : 'Unknown'}${at(node, 'spec', 'unschedulable') ? ',SchedulingDisabled' : ''}`;
};

/** Printer columns of the built-in kinds, as the real server prints them. */
export const COLUMNS: Record<string, Column[]> = {
  '/Pod': [
    NAME,
    column('Ready', ready),
    column('Status', podStatus),
    column('Restarts', (pod) =>
      String(
        list(at(pod, 'status', 'containerStatuses')).reduce(
          (sum, each) => sum + Number(each.restartCount ?? 0),
          0,
        ),
      ),
    ),
    AGE,
    wide('IP', text('status', 'podIP')),
    wide('Node', text('spec', 'nodeName')),
    wide('Nominated Node', text('status', 'nominatedNodeName')),
    wide('Readiness Gates', () => '<none>'),
  ],
  'apps/Deployment': [
    NAME,
    column(
      'Ready',
      (object) => `${number('status', 'readyReplicas')(object)}/${number('spec', 'replicas')(object)}`,
    ),
    column('Up-to-date', number('status', 'updatedReplicas'), 'integer'),
    column('Available', number('status', 'availableReplicas'), 'integer'),
    AGE,
    ...CONTAINERS,
  ],
  'apps/ReplicaSet': [
    NAME,
    column('Desired', number('spec', 'replicas'), 'integer'),
    column('Current', number('status', 'replicas'), 'integer'),
    column('Ready', number('status', 'readyReplicas'), 'integer'),
    AGE,
    ...CONTAINERS,
  ],
  'apps/StatefulSet': [
    NAME,
    column(
      'Ready',
      (object) => `${number('status', 'readyReplicas')(object)}/${number('spec', 'replicas')(object)}`,
    ),
    AGE,
    ...CONTAINERS.slice(0, 2),
  ],
  'apps/DaemonSet': [
    NAME,
    ...[
      'desiredNumberScheduled',
      'currentNumberScheduled',
      'numberReady',
      'updatedNumberScheduled',
      'numberAvailable',
    ].map((key, index) =>
      column(
        ['Desired', 'Current', 'Ready', 'Up-to-date', 'Available'][index]!,
        number('status', key),
        'integer',
      ),
    ),
    column('Node Selector', (object) => joined(at(object, 'spec', 'template', 'spec', 'nodeSelector'))),
    AGE,
    ...CONTAINERS,
  ],
  '/Service': [
    NAME,
    column('Type', text('spec', 'type')),
    column('Cluster-IP', text('spec', 'clusterIP')),
    column('External-IP', (object) =>
      at(object, 'spec', 'type') === 'ExternalName' ? text('spec', 'externalName')(object) : '<none>',
    ),
    column('Port(s)', servicePorts),
    AGE,
    wide('Selector', (object) => joined(at(object, 'spec', 'selector'))),
  ],
  '/Namespace': [NAME, column('Status', text('status', 'phase')), AGE],
  '/Node': [
    NAME,
    column('Status', nodeReady),
    column(
      'Roles',
      ({ metadata }) =>
        Object.keys(metadata.labels ?? {})
          .flatMap((key) => (key.startsWith('node-role.kubernetes.io/') ? [key.slice(24)] : []))
          .sort()
          .join(',') || '<none>',
    ),
    AGE,
    column('Version', text('status', 'nodeInfo', 'kubeletVersion')),
    wide('Internal-IP', (object) =>
      String(
        list(at(object, 'status', 'addresses')).find(({ type }) => type === 'InternalIP')?.address ??
          '<none>',
      ),
    ),
  ],
  '/ConfigMap': [
    NAME,
    column('Data', (object) => size('data')(object) + size('binaryData')(object), 'integer'),
    AGE,
  ],
  '/Secret': [NAME, column('Type', text('type')), column('Data', size('data'), 'integer'), AGE],
  '/ServiceAccount': [
    NAME,
    column('Secrets', (object) => list(object.secrets as Json).length, 'integer'),
    AGE,
  ],
  '/Event': [
    column('Last Seen', (event, now) =>
      age(event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp, now),
    ),
    column('Type', text('type')),
    column('Reason', text('reason')),
    column(
      'Object',
      (event) =>
        `${String(at(event, 'involvedObject', 'kind') ?? '').toLowerCase()}/${String(at(event, 'involvedObject', 'name') ?? '')}`,
    ),
    wide('Source', text('source', 'component')),
    column('Message', (event) => String(event.message ?? '').trim()),
    wide('Count', number('count')),
    { ...NAME, priority: 1 },
  ],
  'discovery.k8s.io/EndpointSlice': [
    NAME,
    column('AddressType', text('addressType')),
    column(
      'Ports',
      (object) =>
        list(object.ports as Json)
          .map(({ port }) => String(port ?? '*'))
          .join(',') || '<unset>',
    ),
    column(
      'Endpoints',
      (object) =>
        list(object.endpoints as Json)
          .flatMap(({ addresses }) => addresses as string[])
          .join(',') || '<unset>',
    ),
    AGE,
  ],
  'coordination.k8s.io/Lease': [NAME, column('Holder', text('spec', 'holderIdentity')), AGE],
  'apiextensions.k8s.io/CustomResourceDefinition': [
    NAME,
    column('Created At', ({ metadata }) => metadata.creationTimestamp, 'date'),
  ],
  'rbac.authorization.k8s.io/Role': [
    NAME,
    column('Created At', ({ metadata }) => metadata.creationTimestamp),
  ],
  'rbac.authorization.k8s.io/ClusterRole': [
    NAME,
    column('Created At', ({ metadata }) => metadata.creationTimestamp),
  ],
  'rbac.authorization.k8s.io/RoleBinding': [
    NAME,
    column(
      'Role',
      (object) => `${String(at(object, 'roleRef', 'kind'))}/${String(at(object, 'roleRef', 'name'))}`,
    ),
    AGE,
  ],
  'rbac.authorization.k8s.io/ClusterRoleBinding': [
    NAME,
    column(
      'Role',
      (object) => `${String(at(object, 'roleRef', 'kind'))}/${String(at(object, 'roleRef', 'name'))}`,
    ),
    AGE,
  ],
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': [
    NAME,
    column('Webhooks', (object) => list(object.webhooks as Json).length, 'integer'),
    AGE,
  ],
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': [
    NAME,
    column('Webhooks', (object) => list(object.webhooks as Json).length, 'integer'),
    AGE,
  ],
  'policy/PodDisruptionBudget': [
    NAME,
    column('Min Available', (object) => String(at(object, 'spec', 'minAvailable') ?? 'N/A')),
    column('Max Unavailable', (object) => String(at(object, 'spec', 'maxUnavailable') ?? 'N/A')),
    column('Allowed Disruptions', number('status', 'disruptionsAllowed'), 'integer'),
    AGE,
  ],
};
