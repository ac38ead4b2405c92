import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { prometheusProvider } from '../src/analysis/index.ts';
import { renderTemplate } from '../src/analysis/template.ts';
import { customResourceDefinitions } from '../src/api/crd.ts';
import { metricTemplateSpecSchema } from '../src/api/metric-template.ts';
import { rolloutSpecSchema } from '../src/api/rollout.ts';
import { trafficPolicySpecSchema } from '../src/api/traffic-policy.ts';
import { scrapeConfiguration } from '../src/cli/install/workloads.ts';
import { renderFiles } from '../src/gitops/render.ts';
import { silentLogger } from '../src/lib/log.ts';
import { parseConfig, startMetricsStore } from '../src/metrics/index.ts';

const here = dirname(fileURLToPath(import.meta.url));
const read = (path: string) => readFileSync(join(here, path), 'utf8');
const files = (pattern: string) =>
  globSync(pattern, { cwd: here })
    .sort()
    .map((path) => ({ path, text: read(path) }));

/** A mistake in the spec and the message about it, in one line. */
const issuesOf = (result: {
  success: boolean;
  error?: { issues: { path: PropertyKey[]; message: string }[] };
}) => result.error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];

describe.each(files('{shop,rollouts,policies}/*.yaml'))('$path', (file) => {
  const { objects, problems } = renderFiles([file]);

  test('is read without a problem', () => {
    expect(problems).toEqual([]);
    expect(objects.length).toBeGreaterThan(0);
  });

  test('every Rollout, MetricTemplate and TrafficPolicy satisfies its schema', () => {
    for (const { object } of objects) {
      if (object.kind === 'Rollout') expect(issuesOf(rolloutSpecSchema.safeParse(object.spec))).toEqual([]);
      if (object.kind === 'MetricTemplate') {
        expect(issuesOf(metricTemplateSpecSchema.safeParse(object.spec))).toEqual([]);
      }
      if (object.kind === 'TrafficPolicy') {
        expect(issuesOf(trafficPolicySpecSchema.safeParse(object.spec))).toEqual([]);
      }
    }
  });
});

describe('the shop', () => {
  const { objects } = renderFiles(files('shop/*.yaml'));
  const all = (kind: string) => objects.map(({ object }) => object).filter((object) => object.kind === kind);
  const find = (kind: string, name: string) => all(kind).find(({ metadata }) => metadata.name === name);

  test('every Rollout names a Deployment and a Service with that port', () => {
    expect(all('Rollout').map(({ metadata }) => metadata.name)).toEqual(['orders', 'payments', 'web']);
    for (const rollout of all('Rollout')) {
      const { targetRef, service } = rolloutSpecSchema.parse(rollout.spec);
      expect(find('Deployment', targetRef.name)).toBeDefined();
      const { ports } = find('Service', service.name)!.spec as { ports: { port: number }[] };
      expect(ports.map(({ port }) => port)).toContain(service.port);
    }
  });

  test('every policy targets a Service and a port of it', () => {
    const policies = renderFiles(files('policies/*.yaml')).objects.map(({ object }) => object);
    expect(policies.length).toBeGreaterThan(2);
    for (const policy of policies) {
      for (const { name, sectionName } of trafficPolicySpecSchema.parse(policy.spec).targetRefs) {
        const { ports } = find('Service', name)!.spec as { ports: { name?: string }[] };
        if (sectionName) expect(ports.map((port) => port.name)).toContain(sectionName);
      }
    }
  });

  test('each service can be broken by one variable, and the namespace is meshed', () => {
    for (const name of ['web', 'orders', 'payments']) {
      expect(read(`shop/${name}.yaml`)).toMatch(/name: ERROR_RATE, value: "0"/);
    }
    expect(find('Namespace', 'shop')?.metadata.labels).toEqual({ 'weir.dev/inject': 'enabled' });
  });
});

test('the metric template renders with the arguments of its Rollout', () => {
  const { objects } = renderFiles(files('rollouts/metric-template.yaml'));
  const [template, rollout] = objects.map(({ object }) => object);
  const metric = rolloutSpecSchema
    .parse(rollout?.spec)
    .analysis.metrics.find(({ templateRef }) => templateRef);
  const given = { namespace: 'shop', service: 'payments', canary: 'abc', stable: 'def', window: 60_000 };
  const { query, unit } = renderTemplate(template as never, metric?.templateRef?.args ?? {}, given);
  expect(unit).toBe('ratio');
  expect(query).toContain('route="/pay",code!~"5.."}[60s]'.replace(',', ', '));
  expect(query).not.toContain('{{');
});

test('the Argo CD ConfigMap carries the Lua check of the folder', () => {
  const { data } = parse(read('argocd/argocd-cm.yaml')) as { data: Record<string, string> };
  expect(data['resource.customizations.health.weir.dev_Rollout']?.trim()).toBe(
    read('argocd/health.lua').trim(),
  );
});

test('every alert has an expression, a severity, a summary and says what to do', () => {
  const { groups } = parse(read('prometheus/alerts.yaml')) as {
    groups: {
      rules: {
        alert: string;
        expr: string;
        labels: { severity: string };
        annotations: Record<string, string>;
      }[];
    }[];
  };
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.map(({ alert }) => alert)).toEqual(
    expect.arrayContaining(['WeirRolloutStuck', 'WeirGateOpen']),
  );
  for (const { expr, labels, annotations } of rules) {
    expect(expr).toMatch(/weir_/);
    expect(labels.severity).toMatch(/^(warning|critical)$/);
    expect(Object.keys(annotations)).toEqual(['summary', 'description']);
  }
});

test('every alert is PromQL that the metrics store evaluates', async () => {
  const store = await startMetricsStore({
    config: parseConfig('scrape_configs: []\n'),
    host: '127.0.0.1',
    port: 0,
    log: silentLogger,
  });
  try {
    const { groups } = parse(read('prometheus/alerts.yaml')) as { groups: { rules: { expr: string }[] }[] };
    const provider = prometheusProvider({ url: store.url });
    for (const { expr } of groups.flatMap(({ rules }) => rules)) {
      expect(await provider.query(expr, AbortSignal.timeout(5000))).not.toMatchObject({ kind: 'error' });
    }
  } finally {
    await store.stop();
  }
});

test('the scrape configuration is the one that the installation uses', () => {
  expect(parse(read('prometheus/scrape.yaml'))).toEqual(parse(scrapeConfiguration('5s')));
});

test.each(files('{argocd,flux}/*.yaml'))('$path is YAML with names and kinds', ({ text }) => {
  for (const document of parseAllDocuments(text)) {
    expect(document.errors).toEqual([]);
    expect(document.toJS()).toMatchObject({ apiVersion: expect.any(String), kind: expect.any(String) });
  }
});

describe('against the schemas of the CRDs, as an API server with strict validation reads them', () => {
  interface Schema {
    type?: string;
    properties?: Record<string, Schema>;
    additionalProperties?: Schema | boolean;
    items?: Schema;
    pattern?: string;
    enum?: unknown[];
    required?: string[];
    'x-kubernetes-preserve-unknown-fields'?: boolean;
    'x-kubernetes-int-or-string'?: boolean;
  }
  const typeOf = (value: unknown) =>
    Array.isArray(value)
      ? 'array'
      : Number.isInteger(value)
        ? 'integer'
        : value === null
          ? 'null'
          : typeof value;

  function mistakes(value: unknown, schema: Schema, at: string): string[] {
    const type = typeOf(value);
    if (schema['x-kubernetes-int-or-string'] || schema['x-kubernetes-preserve-unknown-fields']) return [];
    if (schema.type && schema.type !== type && !(schema.type === 'number' && type === 'integer')) {
      return [`${at}: is ${type}, must be ${schema.type}`];
    }
    if (schema.enum && !schema.enum.includes(value)) return [`${at}: ${value} is none of ${schema.enum}`];
    if (schema.pattern && typeof value === 'string' && !new RegExp(schema.pattern).test(value)) {
      return [`${at}: "${value}" does not match ${schema.pattern}`];
    }
    if (Array.isArray(value)) {
      return value.flatMap((item, index) => mistakes(item, schema.items ?? {}, `${at}[${index}]`));
    }
    if (type !== 'object') return [];
    const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value as object, name));
    return [
      ...missing.map((name) => `${at}.${name}: is required`),
      ...Object.entries(value as object).flatMap(([name, inner]) => {
        const property = schema.properties?.[name] ?? schema.additionalProperties;
        if (property === undefined && schema.properties) return [`${at}.${name}: unknown field`];
        return typeof property === 'object' ? mistakes(inner, property, `${at}.${name}`) : [];
      }),
    ];
  }

  const schemas = new Map(
    customResourceDefinitions().map(({ spec }) => {
      const { names, versions } = spec as {
        names: { kind: string };
        versions: { storage: boolean; schema: { openAPIV3Schema: Schema } }[];
      };
      return [names.kind, versions.find(({ storage }) => storage)!.schema.openAPIV3Schema.properties!.spec!];
    }),
  );

  test.each(files('{shop,rollouts,policies}/*.yaml'))('$path', (file) => {
    for (const { object } of renderFiles([file]).objects) {
      const schema = schemas.get(object.kind ?? '');
      if (schema) expect(mistakes(object.spec, schema, object.metadata.name)).toEqual([]);
    }
  });

  test('the page about Rollouts has every field, with its default', () => {
    const page = readFileSync(join(here, '../docs/rollout.md'), 'utf8');
    const table = page.slice(page.indexOf('## Fields'), page.indexOf('| elsewhere'));
    const quoted = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text!);
    const written = new Map(
      table.split('\n').flatMap((row) => {
        const [, fields, defaults] = row.split('|');
        return quoted(fields).map((field, at) => [field, quoted(defaults)[at]] as const);
      }),
    );
    const words = new Set(quoted(table).flatMap((text) => text.split(/[.:[\]]+/)));
    const missing: string[] = [];
    const visit = ({ properties = {}, items }: Schema, at: string) => {
      if (items) visit(items, `${at}[]`);
      for (const [name, inner] of Object.entries(properties)) {
        const path = at === '' ? name : `${at}.${name}`;
        const { default: value } = inner as { default?: unknown };
        if (path.startsWith('analysis.metrics[].') && inner.properties) {
          // Told on the page about analysis.
          if (!words.has(name)) missing.push(path);
          continue;
        }
        if (inner.properties === undefined && !written.has(path) && !words.has(name)) missing.push(path);
        const said =
          typeof value === 'object' || value === undefined || value === '' ? undefined : String(value);
        if (written.has(path) ? written.get(path) !== said : said !== undefined)
          missing.push(`${path}: default ${said}`);
        visit(inner, path);
      }
    };
    visit(schemas.get('Rollout')!, '');
    expect(missing).toEqual([]);
  });

  test('the page about TrafficPolicies shows what the API server takes', () => {
    const page = readFileSync(join(here, '../docs/traffic-policy.md'), 'utf8');
    const shown = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => parse(text!));
    const objects = shown.filter(({ kind }) => kind === 'TrafficPolicy');
    expect(objects).toHaveLength(2);
    const refs = shown.find(({ targetRefs }) => targetRefs);
    objects.push({ metadata: { name: 'refs' }, spec: { ...refs, maxInFlight: 1 } });
    for (const { metadata, spec } of objects) {
      expect(mistakes(spec, schemas.get('TrafficPolicy')!, metadata.name)).toEqual([]);
      expect(issuesOf(trafficPolicySpecSchema.safeParse(spec))).toEqual([]);
    }
  });

  test('the reading is strict: a mistake in a field is found', () => {
    expect(mistakes({ targetRef: { name: 'Web' }, step: 1 }, schemas.get('Rollout')!, 'web')).not.toEqual([]);
  });
});
