import { type LabelSelector, matchesLabels } from '../../api/label-selector.ts';
import type { KubeObject } from '../../api/meta.ts';
import { sameJson } from '../../lib/same-json.ts';
import { validateSchema } from './crd/validate.ts';
import { invalid, invalidValue, required, type Violation } from './errors.ts';
import { asJson, at, isObject, type Json, type JsonObject } from './json.ts';
import type { Served } from './kinds.ts';
import type { Schema } from './schema/schema.ts';

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN_NOTE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_NOTE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^(|[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$/;
const DNS_LABEL_KINDS = new Set(['Namespace', 'Service']);
/** RBAC names are path segments (`system:node`). */
const FREE_NAMES = new Set(['Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding']);

function validateMetadata(object: KubeObject, served: Served): Violation[] {
  const { name, labels = {}, annotations = {} } = object.metadata;
  const out: Violation[] = [];
  if (!name) out.push(required('metadata.name', 'name or generateName is required'));
  else if (DNS_LABEL_KINDS.has(served.kind)) {
    if (!LABEL.test(name) || name.length > 63) out.push(invalidValue('metadata.name', name, LABEL_NOTE));
  } else if (FREE_NAMES.has(served.kind)) {
    if (name.includes('/') || name.includes('%'))
      out.push(invalidValue('metadata.name', name, "may not contain '/' or '%'"));
  } else if (!SUBDOMAIN.test(name) || name.length > 253)
    out.push(invalidValue('metadata.name', name, SUBDOMAIN_NOTE));
  for (const [key, value] of Object.entries(labels)) {
    if (!LABEL_KEY.test(key))
      out.push(
        invalidValue(
          'metadata.labels',
          key,
          "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        ),
      );
    if (typeof value !== 'string' || !LABEL_VALUE.test(value))
      out.push(
        invalidValue(
          'metadata.labels',
          value,
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        ),
      );
  }
  const size = Object.entries(annotations).reduce(
    (sum, [key, value]) => sum + key.length + String(value).length,
    0,
  );
  if (size > 262_144)
    out.push({
      field: 'metadata.annotations',
      reason: 'FieldValueInvalid',
      message: 'Too long: may not be more than 262144 bytes',
    });
  return out;
}

/** Required fields of the built-in types, by schema; types are checked there as well. */
function validateBuiltin(object: KubeObject, served: Served): Violation[] {
  const { status: _status, ...rest } = asJson(object);
  return validateSchema(rest, withoutStatus(served.schema)).filter(
    ({ field }) => !field.startsWith('metadata.'),
  );
}

function withoutStatus(schema: Schema): Schema {
  const { status: _status, ...properties } = schema.properties ?? {};
  return { ...schema, properties, required: schema.required?.filter((name) => name !== 'status') };
}

function validateWorkload(object: KubeObject, before: KubeObject | undefined, served: Served): Violation[] {
  const out: Violation[] = [];
  const spec = asJson(object).spec as JsonObject;
  const selector = spec.selector as LabelSelector | undefined;
  const labels = (at(spec, 'template', 'metadata', 'labels') ?? {}) as Record<string, string>;
  if (isObject(selector)) {
    if (Object.keys(selector).length === 0)
      out.push(invalidValue('spec.selector', selector, 'empty selector is invalid for deployment'));
    else if (!matchesLabels(selector, labels))
      out.push(
        invalidValue('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'),
      );
  }
  if (before && !sameJson(at(before, 'spec', 'selector'), spec.selector))
    out.push(invalidValue('spec.selector', spec.selector, 'field is immutable'));
  if (typeof spec.replicas === 'number' && spec.replicas < 0)
    out.push(invalidValue('spec.replicas', spec.replicas, 'must be greater than or equal to 0'));
  if (served.kind === 'Deployment') {
    const { maxSurge, maxUnavailable } = (at(spec, 'strategy', 'rollingUpdate') ?? {}) as JsonObject;
    const zero = (value: Json | undefined) => value === 0 || value === '0%' || value === '0';
    if (zero(maxSurge) && zero(maxUnavailable))
      out.push(
        invalidValue(
          'spec.strategy.rollingUpdate.maxUnavailable',
          maxUnavailable,
          'may not be 0 when `maxSurge` is 0',
        ),
      );
    if (at(spec, 'strategy', 'type') === 'Recreate' && at(spec, 'strategy', 'rollingUpdate') !== undefined)
      out.push({
        field: 'spec.strategy.rollingUpdate',
        reason: 'FieldValueForbidden',
        message: "Forbidden: may not be specified when strategy `type` is 'Recreate'",
      });
  }
  if (served.kind !== 'Job' && at(spec, 'template', 'spec', 'restartPolicy') !== 'Always')
    out.push({
      field: 'spec.template.spec.restartPolicy',
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(at(spec, 'template', 'spec', 'restartPolicy'))}: supported values: "Always"`,
    });
  out.push(...validatePodSpec(at(spec, 'template', 'spec'), 'spec.template.spec'));
  return out;
}

function validatePodSpec(spec: Json | undefined, path: string): Violation[] {
  const containers = at(spec, 'containers');
  if (!Array.isArray(containers) || containers.length === 0) return [required(`${path}.containers`)];
  const out: Violation[] = [];
  const seen = new Set<string>();
  for (const [index, container] of containers.entries()) {
    const { name, image } = container as { name?: string; image?: string };
    const here = `${path}.containers[${index}]`;
    if (!image) out.push(required(`${here}.image`));
    if (name && !LABEL.test(name)) out.push(invalidValue(`${here}.name`, name, LABEL_NOTE));
    if (name && seen.has(name))
      out.push({
        field: `${here}.name`,
        reason: 'FieldValueDuplicate',
        message: `Duplicate value: "${name}"`,
      });
    seen.add(name ?? '');
  }
  return out;
}

/** What of a running pod's spec may still change. */
function validatePodUpdate(object: KubeObject, before: KubeObject): Violation[] {
  const fixed = (pod: KubeObject): Json => {
    const {
      activeDeadlineSeconds: _a,
      terminationGracePeriodSeconds: _t,
      tolerations: _o,
      nodeName: _n,
      ephemeralContainers: _e,
      schedulingGates: _s,
      ...spec
    } = (asJson(pod).spec ?? {}) as JsonObject;
    const images = (list: Json | undefined): Json =>
      Array.isArray(list)
        ? list.map((each) => ({ ...(each as JsonObject), image: null, resources: null }))
        : [];
    return { ...spec, containers: images(spec.containers), initContainers: images(spec.initContainers) };
  };
  if (sameJson(fixed(object), fixed(before))) return [];
  return [
    {
      field: 'spec',
      reason: 'FieldValueForbidden',
      message:
        'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    },
  ];
}

function validateService(object: KubeObject, before: KubeObject | undefined): Violation[] {
  const spec = asJson(object).spec as JsonObject;
  const out: Violation[] = [];
  const ports = Array.isArray(spec.ports) ? (spec.ports as JsonObject[]) : [];
  if (ports.length === 0 && spec.type !== 'ExternalName' && spec.clusterIP !== 'None')
    out.push(required('spec.ports'));
  for (const [index, { name, port }] of ports.entries()) {
    if (ports.length > 1 && !name) out.push(required(`spec.ports[${index}].name`));
    if (typeof port !== 'number' || port < 1 || port > 65_535)
      out.push(invalidValue(`spec.ports[${index}].port`, port, 'must be between 1 and 65535, inclusive'));
  }
  const address = at(before, 'spec', 'clusterIP');
  if (address && spec.type !== 'ExternalName' && spec.clusterIP !== address)
    out.push(invalidValue('spec.clusterIPs[0]', spec.clusterIP, 'may not change once set'));
  return out;
}

function validateImmutable(object: KubeObject, before: KubeObject | undefined): Violation[] {
  if (before?.immutable !== true) return [];
  return sameJson(
    [object.data, object.binaryData, object.immutable],
    [before.data, before.binaryData, before.immutable],
  )
    ? []
    : [
        {
          field: 'data',
          reason: 'FieldValueForbidden',
          message: 'Forbidden: field is immutable when `immutable` is set',
        },
      ];
}

function validateCrd(object: KubeObject): Violation[] {
  const spec = asJson(object).spec as JsonObject;
  const expected = `${String(at(spec, 'names', 'plural'))}.${String(spec.group)}`;
  const out: Violation[] = [];
  if (object.metadata.name !== expected)
    out.push(invalidValue('metadata.name', object.metadata.name, 'must be spec.names.plural+"."+spec.group'));
  const versions = Array.isArray(spec.versions) ? (spec.versions as JsonObject[]) : [];
  if (versions.filter(({ storage }) => storage === true).length !== 1)
    out.push(
      invalidValue(
        'spec.versions',
        versions.map(({ name }) => name),
        'must have exactly one version marked as storage version',
      ),
    );
  for (const [index, version] of versions.entries())
    if (!at(version, 'schema', 'openAPIV3Schema'))
      out.push(required(`spec.versions[${index}].schema.openAPIV3Schema`, 'schemas are required'));
  return out;
}

/** Throws 422 with every violation when an object may not be stored. */
export function validate(object: KubeObject, before: KubeObject | undefined, served: Served): void {
  const out = validateMetadata(object, served);
  if (served.builtin) {
    out.push(...validateBuiltin(object, served));
    if (['Deployment', 'ReplicaSet', 'StatefulSet', 'DaemonSet'].includes(served.kind))
      out.push(...validateWorkload(object, before, served));
    if (served.kind === 'Pod')
      out.push(
        ...validatePodSpec(asJson(object).spec, 'spec'),
        ...(before ? validatePodUpdate(object, before) : []),
      );
    if (served.kind === 'Service') out.push(...validateService(object, before));
    if (served.kind === 'ConfigMap' || served.kind === 'Secret')
      out.push(...validateImmutable(object, before));
    if (served.kind === 'CustomResourceDefinition') out.push(...validateCrd(object));
    if (before && served.kind.endsWith('Binding') && !sameJson(object.roleRef, before.roleRef))
      out.push(invalidValue('roleRef', object.roleRef, 'cannot change roleRef'));
  } else
    out.push(
      ...validateSchema(asJson(object), {
        ...served.schema,
        properties: { ...served.schema.properties, metadata: { type: 'object' } },
      }),
    );
  const seen = new Set<string>();
  const unique = out.filter(
    ({ field, message }) => !seen.has(`${field} ${message}`) && seen.add(`${field} ${message}`),
  );
  if (unique.length > 0) throw invalid(served.group, served.kind, object.metadata.name ?? '', unique);
}
