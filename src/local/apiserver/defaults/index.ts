import type { KubeObject } from '../../../api/meta.ts';
import { applyDefaults, dropNulls } from '../crd/structural.ts';
import { asJson, isObject, type JsonObject } from '../json.ts';
import type { Served } from '../kinds.ts';
import { defaultPodSpec, objectsIn, setDefault } from './pod.ts';

const objectAt = (object: JsonObject, key: string): JsonObject => {
  setDefault(object, key, {});
  return object[key] as JsonObject;
};

function defaultTemplate(spec: JsonObject): void {
  const template = objectAt(spec, 'template');
  // The real codec always writes this null; equality of templates over servers must not depend on it, so it is left out.
  const metadata = objectAt(template, 'metadata');
  if (metadata.creationTimestamp === null) delete metadata.creationTimestamp;
  defaultPodSpec(objectAt(template, 'spec'));
}

const DEFAULTS: Record<string, (object: JsonObject, spec: JsonObject) => void> = {
  '/Pod': (_pod, spec) => {
    setDefault(spec, 'enableServiceLinks', true);
    defaultPodSpec(spec);
  },
  'apps/Deployment': (_object, spec) => {
    setDefault(spec, 'replicas', 1);
    defaultTemplate(spec);
    const strategy = objectAt(spec, 'strategy');
    setDefault(strategy, 'type', 'RollingUpdate');
    if (strategy.type === 'RollingUpdate') {
      const rolling = objectAt(strategy, 'rollingUpdate');
      setDefault(rolling, 'maxUnavailable', '25%');
      setDefault(rolling, 'maxSurge', '25%');
    }
    setDefault(spec, 'revisionHistoryLimit', 10);
    setDefault(spec, 'progressDeadlineSeconds', 600);
    // Optional booleans without a pointer are omitted when false.
    if (spec.paused === false) delete spec.paused;
    if (spec.minReadySeconds === 0) delete spec.minReadySeconds;
  },
  'apps/ReplicaSet': (_object, spec) => {
    setDefault(spec, 'replicas', 1);
    defaultTemplate(spec);
  },
  'apps/StatefulSet': (_object, spec) => {
    setDefault(spec, 'replicas', 1);
    defaultTemplate(spec);
    setDefault(spec, 'podManagementPolicy', 'OrderedReady');
    setDefault(spec, 'revisionHistoryLimit', 10);
    const strategy = objectAt(spec, 'updateStrategy');
    setDefault(strategy, 'type', 'RollingUpdate');
    if (strategy.type === 'RollingUpdate') setDefault(objectAt(strategy, 'rollingUpdate'), 'partition', 0);
    setDefault(spec, 'persistentVolumeClaimRetentionPolicy', { whenDeleted: 'Retain', whenScaled: 'Retain' });
  },
  'apps/DaemonSet': (_object, spec) => {
    defaultTemplate(spec);
    setDefault(spec, 'revisionHistoryLimit', 10);
    const strategy = objectAt(spec, 'updateStrategy');
    setDefault(strategy, 'type', 'RollingUpdate');
    if (strategy.type === 'RollingUpdate')
      setDefault(strategy, 'rollingUpdate', { maxSurge: 0, maxUnavailable: 1 });
  },
  'batch/Job': (_object, spec) => {
    setDefault(spec, 'completions', 1);
    setDefault(spec, 'parallelism', 1);
    setDefault(spec, 'backoffLimit', 6);
    defaultTemplate(spec);
  },
  '/Service': (_object, spec) => {
    setDefault(spec, 'type', 'ClusterIP');
    setDefault(spec, 'sessionAffinity', 'None');
    for (const port of objectsIn(spec.ports)) {
      setDefault(port, 'protocol', 'TCP');
      if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '')
        port.targetPort = port.port!;
    }
    if (spec.type !== 'ExternalName') {
      setDefault(spec, 'internalTrafficPolicy', 'Cluster');
      setDefault(spec, 'ipFamilies', ['IPv4']);
      setDefault(spec, 'ipFamilyPolicy', 'SingleStack');
    }
  },
  '/Namespace': (object, spec) => {
    const metadata = object.metadata as JsonObject;
    objectAt(metadata, 'labels')['kubernetes.io/metadata.name'] = metadata.name!;
    if (metadata.deletionTimestamp === undefined) setDefault(spec, 'finalizers', ['kubernetes']);
    setDefault(objectAt(object, 'status'), 'phase', 'Active');
  },
  '/Secret': (object) => {
    setDefault(object, 'type', 'Opaque');
    if (isObject(object.stringData)) {
      const data = objectAt(object, 'data');
      for (const [key, text] of Object.entries(object.stringData))
        data[key] = Buffer.from(String(text)).toString('base64');
      delete object.stringData;
    }
    delete object.spec;
  },
  'discovery.k8s.io/EndpointSlice': (object) => {
    for (const port of objectsIn(object.ports)) {
      setDefault(port, 'name', '');
      setDefault(port, 'protocol', 'TCP');
    }
  },
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': (object) => defaultWebhooks(object, true),
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': (object) => defaultWebhooks(object, false),
  'rbac.authorization.k8s.io/RoleBinding': defaultSubjects,
  'rbac.authorization.k8s.io/ClusterRoleBinding': defaultSubjects,
  'apiextensions.k8s.io/CustomResourceDefinition': (_object, spec) => {
    const names = spec.names as JsonObject | undefined;
    if (names && typeof names.kind === 'string') {
      setDefault(names, 'singular', names.kind.toLowerCase());
      setDefault(names, 'listKind', `${names.kind}List`);
    }
    setDefault(spec, 'conversion', { strategy: 'None' });
  },
};

const WITHOUT_SPEC = new Set([
  'Secret',
  'EndpointSlice',
  'MutatingWebhookConfiguration',
  'ValidatingWebhookConfiguration',
  'RoleBinding',
  'ClusterRoleBinding',
]);

function defaultSubjects(object: JsonObject): void {
  for (const subject of objectsIn(object.subjects))
    setDefault(subject, 'apiGroup', subject.kind === 'ServiceAccount' ? '' : 'rbac.authorization.k8s.io');
  for (const subject of objectsIn(object.subjects)) if (subject.apiGroup === '') delete subject.apiGroup;
  if (isObject(object.roleRef)) setDefault(object.roleRef, 'apiGroup', 'rbac.authorization.k8s.io');
}

function defaultWebhooks(object: JsonObject, mutating: boolean): void {
  for (const hook of objectsIn(object.webhooks)) {
    setDefault(hook, 'failurePolicy', 'Fail');
    setDefault(hook, 'matchPolicy', 'Equivalent');
    setDefault(hook, 'namespaceSelector', {});
    setDefault(hook, 'objectSelector', {});
    setDefault(hook, 'timeoutSeconds', 10);
    if (mutating) setDefault(hook, 'reinvocationPolicy', 'Never');
    for (const rule of objectsIn(hook.rules)) setDefault(rule, 'scope', '*');
    const service = isObject(hook.clientConfig) ? hook.clientConfig.service : undefined;
    if (isObject(service)) setDefault(service, 'port', 443);
  }
}

/** Completes an object in place, as the API server does after decoding and again after every patch. */
export function setDefaults(object: KubeObject, served: Served): void {
  const json = asJson(object);
  if (!served.builtin) {
    applyDefaults(json, served.schema);
    return;
  }
  dropNulls(json);
  const apply = DEFAULTS[`${served.group}/${served.kind}`];
  if (apply) apply(json, WITHOUT_SPEC.has(served.kind) ? {} : objectAt(json, 'spec'));
}
