import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { renderTemplate } from '../src/analysis/template.ts';
import { metricTemplateSpecSchema } from '../src/api/metric-template.ts';
import { rolloutSpecSchema } from '../src/api/rollout.ts';
import { scrapeConfiguration } from '../src/cli/install/workloads.ts';
import { renderFiles } from '../src/gitops/render.ts';

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

describe.each(files('{shop,rollouts}/*.yaml'))('$path', (file) => {
  const { objects, problems } = renderFiles([file]);

  test('is read without a problem', () => {
    expect(problems).toEqual([]);
    expect(objects.length).toBeGreaterThan(0);
  });

  test('every Rollout and MetricTemplate satisfies its schema', () => {
    for (const { object } of objects) {
      if (object.kind === 'Rollout') expect(issuesOf(rolloutSpecSchema.safeParse(object.spec))).toEqual([]);
      if (object.kind === 'MetricTemplate') {
        expect(issuesOf(metricTemplateSpecSchema.safeParse(object.spec))).toEqual([]);
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
      const { ports } = find('Service', service.name)?.spec as { ports: { port: number }[] };
      expect(ports.map(({ port }) => port)).toContain(service.port);
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

test('the scrape configuration is the one that the installation uses', () => {
  expect(parse(read('prometheus/scrape.yaml'))).toEqual(parse(scrapeConfiguration('5s')));
});

test.each(files('{argocd,flux}/*.yaml'))('$path is YAML with names and kinds', ({ text }) => {
  for (const document of parseAllDocuments(text)) {
    expect(document.errors).toEqual([]);
    expect(document.toJS()).toMatchObject({ apiVersion: expect.any(String), kind: expect.any(String) });
  }
});
