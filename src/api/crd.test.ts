import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { customResourceDefinitions } from './crd.ts';
import { rolloutSpecSchema } from './rollout.ts';
import type { SchemaNode } from './structural.ts';

interface Definition {
  spec: {
    names: { kind: string };
    versions: { name: string; storage: boolean; schema: { openAPIV3Schema: SchemaNode } }[];
  };
}

/** The rules of a structural schema: KEP-1111, and what the API server checks on top. */
function breaches(node: SchemaNode, path: string): string[] {
  const open =
    node['x-kubernetes-preserve-unknown-fields'] === true || node['x-kubernetes-int-or-string'] === true;
  const found: string[] = [];
  if (!node.type && !open) found.push(`${path}: no type`);
  for (const keyword of [
    '$ref',
    'definitions',
    'oneOf',
    'anyOf',
    'allOf',
    'not',
    'exclusiveMinimum',
    'patternProperties',
    'const',
  ]) {
    if (keyword === 'exclusiveMinimum' && typeof node[keyword] === 'boolean') continue;
    if (keyword in node) found.push(`${path}: ${keyword}`);
  }
  if (node.additionalProperties === false) found.push(`${path}: additionalProperties: false`);
  if (node.properties && node.additionalProperties)
    found.push(`${path}: properties beside additionalProperties`);
  if (node.type === 'array' && !node.items) found.push(`${path}: array without items`);
  for (const name of node.required ?? [])
    if (!node.properties?.[name]) found.push(`${path}: required ${name} is no property`);
  for (const [name, child] of Object.entries(node.properties ?? {})) {
    if (path === '' && name === 'metadata') continue;
    found.push(...breaches(child, `${path}.${name}`));
  }
  if (node.items) found.push(...breaches(node.items, `${path}[]`));
  if (typeof node.additionalProperties === 'object')
    found.push(...breaches(node.additionalProperties, `${path}{}`));
  return found;
}

describe('custom resource definitions', () => {
  const definitions = customResourceDefinitions() as unknown as Definition[];

  test('are structural', () => {
    for (const { spec } of definitions) {
      for (const { schema } of spec.versions) expect(breaches(schema.openAPIV3Schema, '')).toEqual([]);
    }
  });

  test('store exactly one version each; TrafficSplit serves v1alpha2 and v1alpha4', () => {
    for (const { spec } of definitions) expect(spec.versions.filter(({ storage }) => storage).length).toBe(1);
    expect(
      definitions
        .find(({ spec }) => spec.names.kind === 'TrafficSplit')
        ?.spec.versions.map(({ name }) => name),
    ).toEqual(['v1alpha2', 'v1alpha4']);
  });

  test('carry the defaults that zod fills in', () => {
    const { properties } = definitions[0]!.spec.versions[0]!.schema.openAPIV3Schema.properties!.spec!;
    const parsed = rolloutSpecSchema.parse({
      targetRef: { name: 'web' },
      service: { name: 'web', port: 80 },
      strategy: { canary: { weights: [5] } },
    });
    expect(properties!.progressDeadline!.default).toBe(parsed.progressDeadline);
    expect(properties!.analysis!.properties!.minRequests!.default).toBe(parsed.analysis.minRequests);
    expect(parsed.analysis.metrics.map(({ name, failureLimit }) => [name, failureLimit])).toEqual([
      ['success-rate', 3],
      ['latency', 3],
    ]);
  });

  test('say in CEL what zod refines', () => {
    const steps =
      definitions[0]!.spec.versions[0]!.schema.openAPIV3Schema.properties!.spec!.properties!.strategy!
        .properties!.canary!.properties!.steps!;
    expect(steps.items!['x-kubernetes-validations']).toEqual([
      { rule: 'has(self.weight) != has(self.pause)', message: 'give exactly one of weight and pause' },
    ]);
  });
});

describe('a threshold', () => {
  test('without limits is refused by the CRD as by zod', () => {
    const metric = (customResourceDefinitions() as unknown as Definition[])[0]!.spec.versions[0]!.schema
      .openAPIV3Schema.properties!.spec!.properties!.analysis!.properties!.metrics!.items!;
    expect(metric.properties!.threshold!.minProperties).toBe(1);
    const withThreshold = (limits: object) =>
      rolloutSpecSchema.safeParse({
        targetRef: { name: 'web' },
        service: { name: 'web', port: 80 },
        strategy: { canary: { weights: [5] } },
        analysis: { metrics: [{ name: 'latency', threshold: limits }] },
      }).success;
    expect(withThreshold({})).toBe(false);
    expect(withThreshold({ max: '500ms' })).toBe(true);
  });
});

describe('a malformed Rollout names the field', () => {
  const good = {
    targetRef: { name: 'web' },
    service: { name: 'web', port: 80 },
    strategy: { canary: { weights: [5] } },
  };
  test.each([
    [{ targetRef: {} }, 'targetRef.name'],
    [{ service: { name: 'web', port: 0 } }, 'service.port'],
    [{ strategy: {} }, 'strategy'],
    [{ strategy: { canary: { weights: [101] } } }, 'strategy.canary.weights.0'],
    [{ strategy: { canary: { steps: [{ weight: 5, pause: {} }] } } }, 'strategy.canary.steps.0'],
    [{ strategy: { canary: { weights: [5] }, blueGreen: {} } }, 'strategy'],
    [{ strategy: { canary: { weights: [5], dwell: '1 minute' } } }, 'strategy.canary.dwell'],
    [{ analysis: { metrics: [{ name: 'mine', threshold: { min: 1 } }] } }, 'analysis.metrics.0.name'],
    [{ analysis: { metrics: [{ name: 'latency' }] } }, 'analysis.metrics.0'],
    [
      { analysis: { metrics: [{ name: 'latency', threshold: { max: 'fast' } }] } },
      'analysis.metrics.0.threshold.max',
    ],
    [{ analysis: { noData: 'panic' } }, 'analysis.noData'],
    [{ windows: [{ for: '1h' }] }, 'windows.0'],
    [{ watch: 'long' }, 'watch'],
    [{ retries: 3 }, ''],
  ])('%j', (change, field) => {
    const result = rolloutSpecSchema.safeParse({ ...good, ...change });
    expect(result.error?.issues.map(({ path }) => path.join('.'))).toContain(field);
  });
});

describe('YAML as kubectl, Argo CD and Flux read it (1.1, where on, off, yes, no, y and n are booleans)', () => {
  const booleans = /^(y|n|yes|no|on|off|true|false)$/i;
  const names = (schema: unknown): string[] =>
    typeof schema !== 'object' || schema === null
      ? []
      : Object.entries(schema).flatMap(([key, value]) => [
          ...(key === 'properties' ? Object.keys(value as object) : []),
          ...names(value),
        ]);

  test('no field of a CRD has such a name', () => {
    expect(
      customResourceDefinitions()
        .flatMap(names)
        .filter((name) => booleans.test(name)),
    ).toEqual([]);
  });

  test('no key of the examples is one there', () => {
    const keys = (value: unknown): string[] =>
      typeof value !== 'object' || value === null
        ? []
        : [...(Array.isArray(value) ? [] : Object.keys(value)), ...Object.values(value).flatMap(keys)];
    const files = readdirSync('examples', { recursive: true, encoding: 'utf8' }).filter((each) =>
      each.endsWith('.yaml'),
    );
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      const documents = parseAllDocuments(readFileSync(join('examples', file), 'utf8'), { version: '1.1' });
      const found = [documents].flat().flatMap((each) => keys(each.toJSON()));
      expect({ file, found: found.filter((key) => booleans.test(key)) }).toEqual({ file, found: [] });
    }
  });
});
