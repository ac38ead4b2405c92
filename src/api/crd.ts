import { kinds } from './kinds.ts';
import type { KubeObject, ResourceKind } from './meta.ts';
import { metricTemplateSpecSchema } from './metric-template.ts';
import { PHASES, rolloutSpecSchema } from './rollout.ts';
import { type SchemaNode, schemaOf, withRule } from './structural.ts';
import { POLICY_SETTINGS, trafficPolicySpecSchema } from './traffic-policy.ts';
import { TRAFFIC_SPLIT_VERSIONS, trafficSplitSpecSchema } from './traffic-split.ts';

interface PrinterColumn {
  name: string;
  type: 'string' | 'integer' | 'date';
  jsonPath: string;
  priority?: number;
}

const text: SchemaNode = { type: 'string' };
const integer: SchemaNode = { type: 'integer' };
const number: SchemaNode = { type: 'number' };
const object = (properties: Record<string, SchemaNode>): SchemaNode => ({ type: 'object', properties });
const list = (items: SchemaNode): SchemaNode => ({ type: 'array', items });

const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

function rolloutSpec(): SchemaNode {
  const spec = schemaOf(rolloutSpecSchema);
  const exactlyOne = (path: string, a: string, b: string) =>
    withRule(spec, path, `has(self.${a}) != has(self.${b})`, `give exactly one of ${a} and ${b}`);
  exactlyOne('strategy', 'canary', 'blueGreen');
  exactlyOne('strategy.canary', 'steps', 'weights');
  exactlyOne('strategy.canary.steps[]', 'weight', 'pause');
  exactlyOne('windows[]', 'allow', 'freeze');
  const metrics = 'analysis.metrics[]';
  withRule(
    spec,
    metrics,
    'has(self.threshold) || has(self.compare)',
    'give a threshold, or compare: {to: stable}',
  );
  withRule(
    spec,
    metrics,
    '!(has(self.prometheus) && has(self.templateRef))',
    'give prometheus or templateRef, not both',
  );
  withRule(
    spec,
    metrics,
    "has(self.prometheus) || has(self.templateRef) || self.name in ['success-rate', 'latency']",
    'built-in metrics are success-rate and latency; any other name needs prometheus.query or templateRef',
  );
  withRule(
    spec,
    metrics,
    '!has(self.compare) || !(has(self.prometheus) || has(self.templateRef))',
    'compare works on the built-in metrics; use threshold with a query',
  );
  return spec;
}

const conditions: SchemaNode = {
  ...list({
    ...object({
      type: text,
      status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
      reason: text,
      message: text,
      lastTransitionTime: text,
      observedGeneration: { type: 'integer', format: 'int64' },
    }),
    required: ['type', 'status'],
  }),
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
};

const revision = object({
  digest: text,
  replicaSet: text,
  hash: text,
  images: list(text),
  startedAt: text,
});

/**
 * One field, as far as ownership goes (KEP-555): the controller alone writes it, and to keep a record of each of its hundred fields is
 * a good part of what writing it costs an API server.
 */
const rolloutStatus = (): SchemaNode => ({
  ...object({
    observedGeneration: { type: 'integer', format: 'int64' },
    phase: { type: 'string', enum: [...PHASES] },
    message: text,
    conditions,
    stable: revision,
    canary: revision,
    step: object({ index: integer, of: integer, weight: integer, since: text }),
    traffic: object({
      stable: integer,
      canary: integer,
      acknowledged: object({ proxies: integer, of: integer }),
      version: text,
    }),
    analysis: object({
      verdict: text,
      requests: number,
      failedRequests: number,
      metrics: list(
        object({
          name: text,
          verdict: text,
          canary: number,
          stable: number,
          threshold: text,
          unit: text,
          samples: number,
          failures: integer,
          query: text,
          message: text,
          at: text,
        }),
      ),
    }),
    history: list(object({ at: text, from: text, to: text, reason: text, message: text, by: text })),
    // What the controller needs to go on after a restart; its shape is the controller's own affair.
    machine: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  }),
  'x-kubernetes-map-type': 'atomic',
});

function trafficPolicySpec(): SchemaNode {
  const spec = schemaOf(trafficPolicySpecSchema);
  withRule(
    spec,
    '',
    POLICY_SETTINGS.map((setting) => `has(self.${setting})`).join(' || '),
    `give at least one of ${POLICY_SETTINGS.join(', ')}`,
  );
  withRule(
    spec,
    'targetRefs[]',
    '!(has(self.sectionName) && has(self.port))',
    'give sectionName or port, not both',
  );
  // Of strings with a known length: the API server estimates what a rule may cost.
  const same = (field: string, none: string) =>
    `(has(a.${field}) ? a.${field} : ${none}) == (has(b.${field}) ? b.${field} : ${none})`;
  withRule(
    spec,
    'targetRefs',
    `self.all(a, self.exists_one(b, a.name == b.name && ${same('sectionName', "''")} && ${same('port', '0')}))`,
    'the same target is given twice',
  );
  withRule(
    spec,
    'breaker',
    'self.consecutive > 0 || self.successRate > 0.0',
    'give consecutive or successRate: with both 0 it never opens',
  );
  withRule(spec, 'fault', 'has(self.abort) || has(self.delay)', 'give abort, delay or both');
  withRule(
    spec,
    'timeouts',
    "!has(self.request) || !has(self.backendRequest) || duration(self.request) == duration('0s') || duration(self.backendRequest) <= duration(self.request)",
    'backendRequest must be at most request, which it is a part of',
  );
  for (const path of [
    'timeouts.request',
    'timeouts.backendRequest',
    'breaker.window',
    'breaker.eject',
    'fault.delay.for',
  ])
    withRule(spec, path, "duration(self) <= duration('1h')", 'must be at most 1h');
  for (const path of ['breaker.window', 'breaker.eject', 'fault.delay.for'])
    withRule(spec, path, "duration(self) > duration('0s')", 'must be more than 0');
  return spec;
}

const trafficPolicyStatus = (): SchemaNode =>
  object({
    observedGeneration: { type: 'integer', format: 'int64' },
    conditions,
    ancestors: list(
      object({
        ancestorRef: object({ group: text, kind: text, name: text, sectionName: text, port: integer }),
        controllerName: text,
        conditions,
      }),
    ),
  });

interface Version {
  name: string;
  storage: boolean;
  spec: SchemaNode;
  status?: SchemaNode;
  columns: PrinterColumn[];
}

function definition(kind: ResourceKind, shortNames: string[], versions: Version[]): KubeObject {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${kind.plural}.${kind.group}`,
      labels: { 'app.kubernetes.io/part-of': 'weir' },
    },
    spec: {
      group: kind.group,
      scope: 'Namespaced',
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.kind.toLowerCase(),
        shortNames,
        categories: ['weir'],
      },
      versions: versions.map(({ name, storage, spec, status, columns }) => ({
        name,
        served: true,
        storage,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: {
              apiVersion: text,
              kind: text,
              metadata: { type: 'object' },
              spec,
              ...(status ? { status } : {}),
            },
          },
        },
        ...(status ? { subresources: { status: {} } } : {}),
        additionalPrinterColumns: columns,
      })),
    },
  };
}

/** The definitions that `weir install` prints and `crds/` holds, in the order they are applied. */
export function customResourceDefinitions(): KubeObject[] {
  const split = schemaOf(trafficSplitSpecSchema);
  const splitColumns: PrinterColumn[] = [{ name: 'Service', type: 'string', jsonPath: '.spec.service' }, AGE];
  return [
    definition(
      kinds.Rollout,
      ['ro'],
      [
        {
          name: kinds.Rollout.version,
          storage: true,
          spec: rolloutSpec(),
          status: rolloutStatus(),
          columns: [
            { name: 'Status', type: 'string', jsonPath: '.status.phase' },
            { name: 'Weight', type: 'integer', jsonPath: '.status.traffic.canary' },
            { name: 'Canary', type: 'string', jsonPath: '.status.canary.images[0]' },
            { name: 'Stable', type: 'string', jsonPath: '.status.stable.images[0]' },
            AGE,
            { name: 'Message', type: 'string', jsonPath: '.status.message' },
          ],
        },
      ],
    ),
    definition(
      kinds.MetricTemplate,
      ['mt'],
      [
        {
          name: kinds.MetricTemplate.version,
          storage: true,
          spec: schemaOf(metricTemplateSpecSchema),
          columns: [{ name: 'Unit', type: 'string', jsonPath: '.spec.unit' }, AGE],
        },
      ],
    ),
    definition(
      kinds.TrafficPolicy,
      ['tp'],
      [
        {
          name: kinds.TrafficPolicy.version,
          storage: true,
          spec: trafficPolicySpec(),
          status: trafficPolicyStatus(),
          columns: [
            { name: 'Target', type: 'string', jsonPath: '.spec.targetRefs[0].name' },
            {
              name: 'Accepted',
              type: 'string',
              jsonPath: '.status.conditions[?(@.type=="Accepted")].status',
            },
            { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].reason' },
            {
              name: 'Conflicted',
              type: 'string',
              jsonPath: '.status.conditions[?(@.type=="Conflicted")].status',
            },
            AGE,
            {
              name: 'Message',
              type: 'string',
              jsonPath: '.status.conditions[?(@.type=="Accepted")].message',
            },
          ],
        },
      ],
    ),
    definition(
      kinds.TrafficSplit,
      ['ts'],
      TRAFFIC_SPLIT_VERSIONS.toSorted().map((name) => ({
        name,
        storage: name === kinds.TrafficSplit.version,
        spec: split,
        columns: splitColumns,
      })),
    ),
  ];
}
