import type { KubeObject } from '../../api/meta.ts';
import {
  CONTROLLER_SERVICE_ACCOUNT,
  GATE_CONFIG_MAP,
  labels,
  PINS_CONFIG_MAP,
  serviceAccountUser,
} from '../../api/names.ts';
import { type InstallOptions, PART_OF } from './options.ts';

const GROUP_VERSION = 'admissionregistration.k8s.io/v1';

const param = { apiVersion: 'v1', kind: 'ConfigMap' };
const paramRef = (name: string) => ({ name, parameterNotFoundAction: 'Allow' });

const deployments = {
  matchPolicy: 'Equivalent',
  resourceRules: [
    { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['deployments'] },
  ],
};
const services = {
  matchPolicy: 'Equivalent',
  // Nobody's pin stands on a Service that Weir made. Told by labels, of the object before and after, this costs nothing; told by an
  // expression it would cost the conversion of the parameter.
  objectSelector: { matchExpressions: [{ key: labels.role, operator: 'DoesNotExist' }] },
  resourceRules: [
    { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['services'] },
  ],
};

const guarded = {
  name: 'guarded',
  expression: "has(params.data) && ('deployment.' + object.metadata.name) in params.data",
};

const wouldRun = { name: 'would-run', expression: '!(has(object.spec.paused) && object.spec.paused)' };

const policy = (kind: string, name: string, spec: object): KubeObject => ({
  apiVersion: GROUP_VERSION,
  kind,
  metadata: { name, labels: PART_OF },
  spec,
});

/**
 * The gate inside the API server (KEP-3962, KEP-3488): it holds while every process of Weir is down. The parameter is
 * one ConfigMap for each namespace, and one for its pins, not the Rollouts: with 1,000 of those as parameters one Deployment update
 * costs seconds, with one object that names 1,001 Deployments it costs milliseconds.
 */
export function gatePolicies({
  namespace,
  namespaces = [],
}: Pick<InstallOptions, 'namespace'> & Partial<InstallOptions>): KubeObject[] {
  // A binding to some namespaces: elsewhere even a ConfigMap of that name gates nothing.
  const served =
    namespaces.length > 0
      ? {
          matchResources: {
            namespaceSelector: {
              matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'In', values: namespaces }],
            },
          },
        }
      : {};
  const bound = { paramRef: paramRef(GATE_CONFIG_MAP), ...served };
  const weir = `'${serviceAccountUser(namespace, CONTROLLER_SERVICE_ACCOUNT)}'`;
  const pinned = "params.data['pin.' + object.metadata.name]";
  return [
    policy('MutatingAdmissionPolicy', 'gate.weir.dev', {
      failurePolicy: 'Fail',
      reinvocationPolicy: 'IfNeeded',
      paramKind: param,
      matchConstraints: deployments,
      matchConditions: [
        guarded,
        wouldRun,
        {
          name: 'template-changed-or-held',
          expression:
            'object.spec.template != oldObject.spec.template || (has(oldObject.spec.paused) && oldObject.spec.paused' +
            ` && request.userInfo.username != ${weir})`,
        },
      ],
      mutations: [
        // An ApplyConfiguration is merged as by server-side apply, which is two fifths of what the gate would cost then.
        {
          patchType: 'JSONPatch',
          jsonPatch: { expression: '[JSONPatch{op: "add", path: "/spec/paused", value: true}]' },
        },
      ],
    }),
    policy('MutatingAdmissionPolicyBinding', 'gate.weir.dev', { policyName: 'gate.weir.dev', ...bound }),
    // Mutating policies run in no fixed order, and one that did not match is not invoked again: this is the backstop.
    policy('ValidatingAdmissionPolicy', 'gate-backstop.weir.dev', {
      failurePolicy: 'Fail',
      paramKind: param,
      matchConstraints: deployments,
      matchConditions: [
        guarded,
        // What the gate has paused ends here: validations, their messages and annotations would each convert the parameter once more.
        wouldRun,
        { name: 'template-changed', expression: 'object.spec.template != oldObject.spec.template' },
      ],
      validations: [
        {
          expression: 'has(object.spec.paused) && object.spec.paused',
          messageExpression:
            "'Rollout ' + params.data['deployment.' + object.metadata.name] + ' guards this Deployment, " +
            "but an admission plug-in changed its template after the gate'",
        },
      ],
    }),
    policy('ValidatingAdmissionPolicyBinding', 'gate-backstop.weir.dev', {
      policyName: 'gate-backstop.weir.dev',
      validationActions: ['Deny'],
      ...bound,
    }),
    policy('MutatingAdmissionPolicy', 'pin.weir.dev', {
      failurePolicy: 'Ignore',
      reinvocationPolicy: 'IfNeeded',
      paramKind: param,
      matchConstraints: services,
      matchConditions: [
        { name: 'not-weir', expression: `request.userInfo.username != ${weir}` },
        {
          name: 'pinned',
          expression: "has(params.data) && ('pin.' + object.metadata.name) in params.data",
        },
        {
          name: 'same-selector',
          expression:
            "has(object.spec.selector) && object.spec.selector.all(k, k == 'pod-template-hash'" +
            ` || (k + '=' + object.spec.selector[k]) in ${pinned}.split('|'))` +
            ` && size(${pinned}.split('|'))` +
            " == size(object.spec.selector) + ('pod-template-hash' in object.spec.selector ? 0 : 1)",
        },
      ],
      mutations: [
        {
          patchType: 'JSONPatch',
          jsonPatch: {
            expression:
              '[JSONPatch{op: "add", path: "/spec/selector/pod-template-hash", ' +
              `value: ${pinned}.split('|')[0]}]`,
          },
        },
      ],
    }),
    policy('MutatingAdmissionPolicyBinding', 'pin.weir.dev', {
      policyName: 'pin.weir.dev',
      paramRef: paramRef(PINS_CONFIG_MAP),
      ...served,
    }),
  ];
}
