import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { Rollout } from '../../api/rollout.ts';
import { stripColour } from '../render/colour.ts';
import { lintFiles, lintText } from './lint.ts';
import { historyTable, rolloutCard, rolloutTable, whyText } from './view.ts';
import { EXIT, outcomeOf, plainLine } from './watch.ts';

const NOW = Date.parse('2026-03-01T10:00:00Z');

const running: Rollout = {
  apiVersion: 'weir.dev/v1alpha1',
  kind: 'Rollout',
  metadata: { name: 'web', namespace: 'shop', creationTimestamp: '2026-03-01T08:00:00Z' },
  spec: {},
  status: {
    phase: 'Progressing',
    message: 'step 2 of 3: 20 % to weir-sample:v2',
    conditions: [
      {
        type: 'NoMeshedCaller',
        status: 'True',
        reason: 'Unmeshed',
        message: 'no caller is meshed',
        lastTransitionTime: '2026-03-01T09:00:00Z',
      },
    ],
    stable: { digest: 'a', replicaSet: 'web-1', hash: '1', images: ['weir-sample:v1'] },
    canary: { digest: 'b', replicaSet: 'web-2', hash: '2', images: ['weir-sample:v2'] },
    step: { index: 1, of: 3, weight: 20, since: '2026-03-01T09:59:00Z' },
    traffic: { stable: 80, canary: 20, acknowledged: { proxies: 3, of: 4 } },
    analysis: {
      verdict: 'pass',
      failedRequests: 2,
      metrics: [
        {
          name: 'success-rate',
          verdict: 'pass',
          canary: 0.998,
          unit: 'ratio',
          threshold: '>= 99%',
          samples: 500,
          query: 'sum(x)',
        },
      ],
    },
    history: [
      {
        at: '2026-03-01T09:59:30Z',
        from: 'Preparing',
        to: 'Progressing',
        reason: 'CanaryReady',
        message: 'ready',
        by: 'kim',
      },
    ],
  },
};

describe('rollout views', () => {
  test('history tells who paused and resumed, and when', () => {
    const entry = { from: 'Progressing', to: 'Progressing', message: 'said' } as const;
    const history = [
      { ...entry, at: '2026-03-01T10:00:00Z', reason: 'Paused', by: 'ann' },
      { ...entry, at: '2026-03-01T10:05:00Z', reason: 'Resumed', by: 'bob' },
    ];
    const lines = historyTable({ ...running, status: { ...running.status!, history } }).split('\n');
    expect(lines[1]).toMatch(/^2026-03-01T10:00:00Z .* Paused +ann +said/);
    expect(lines[2]).toMatch(/^2026-03-01T10:05:00Z .* Resumed +bob +said/);
  });

  test('the card shows weights, acknowledgement, metrics, loud conditions and who did it', () => {
    const text = stripColour(rolloutCard(running, NOW));
    expect(text).toContain('shop/web  Progressing  step 2/3');
    expect(text).toMatch(/stable .* 80% {2}weir-sample:v1/);
    expect(text).toMatch(/canary .* 20% {2}weir-sample:v2 {2}2\n/);
    expect(text).toContain('acknowledged by 3 of 4 proxies');
    expect(text).toContain('99.80%');
    expect(text).toContain('! NoMeshedCaller: no caller is meshed');
    expect(text).toContain('30s ago: Preparing -> Progressing, CanaryReady by kim');
  });

  test('a card shows no traffic where nothing is known of any, and who holds the run', () => {
    const status = { ...running.status!, stable: undefined, canary: undefined, traffic: undefined };
    expect(rolloutCard({ ...running, status }, NOW)).not.toContain('100%');
    const metadata = { ...running.metadata, annotations: { 'weir.dev/paused': '{}' } };
    expect(rolloutCard({ ...running, metadata }, NOW)).toMatch(
      /^shop\/web {2}Progressing, paused {2}step 2\/3\n/,
    );
    expect(rolloutTable([{ ...running, metadata }], NOW)).toContain('  Progressing, paused  ');
    expect(plainLine({ ...running, metadata })).toMatch(/^Progressing, paused {2}canary/);
    const resting = {
      ...running,
      metadata,
      status: { ...running.status!, phase: 'Healthy' as const, canary: undefined },
    };
    expect(plainLine(resting)).toMatch(/^Healthy {2}/);
  });

  test('a list on a terminal has one row for each Rollout, elsewhere all of the message', () => {
    const status = { ...running.status!, message: 'a long story '.repeat(20) };
    const told = { ...running, status };
    const rows = stripColour(rolloutTable([told], NOW, { isTTY: true, columns: 120 })).split('\n');
    expect(rows[1]).toHaveLength(120);
    expect(rows[1]).toMatch(/a long.*…$/);
    expect(rolloutTable([told], NOW, {})).toContain(status.message.trim());
  });

  test('the table of metrics on a card stays within a terminal', () => {
    const [metric] = running.status!.analysis!.metrics;
    const metrics = [{ ...metric!, message: 'the query yields no series, '.repeat(9) }];
    const told = { ...running, status: { ...running.status!, analysis: { verdict: 'hold', metrics } } };
    const rows = stripColour(rolloutCard(told, NOW, { isTTY: true, columns: 100 })).split('\n');
    expect(rows.find((row) => row.includes('success-rate'))).toMatch(/^.{50,98}…$/);
    expect(rolloutCard(told, NOW, {})).toContain(metrics[0]!.message.trim());
  });

  test('a Rollout that no controller has seen says what to do', () => {
    expect(rolloutCard({ ...running, status: undefined }, NOW)).toContain('weir check');
  });

  test('the table has one line per Rollout', () => {
    expect(stripColour(rolloutTable([running], NOW)).split('\n')[1]).toMatch(
      /^shop +web +Progressing +20% +2\/3 +weir-sample:v2 +weir-sample:v1 +2h /,
    );
  });

  test('why names value, limit, samples, query and the cost', () => {
    const text = stripColour(whyText(running, NOW));
    for (const part of [
      '99.80% over 500 requests',
      '>= 99%',
      'sum(x)',
      'failed user requests in this run: 2',
    ])
      expect(text).toContain(part);
  });

  test('outcomes and plain lines', () => {
    const at = (phase: 'Healthy' | 'Failed') => ({ ...running, status: { ...running.status!, phase } });
    expect(outcomeOf(running, undefined)).toBeUndefined();
    expect(outcomeOf(at('Healthy'), undefined)).toBe(EXIT.promoted);
    expect(outcomeOf(at('Healthy'), 'v2')).toBeUndefined();
    expect(outcomeOf(at('Failed'), undefined)).toBe(EXIT.rolledBack);
    expect(plainLine(running)).toContain('Progressing  canary weir-sample:v2 20%');
  });
});

describe('lint', () => {
  const good =
    'apiVersion: weir.dev/v1alpha1\nkind: Rollout\nmetadata: {name: web}\nspec:\n  targetRef: {name: web}\n  service: {name: web, port: 80}\n  strategy:\n    canary:\n      weights: [5, 20]\n';

  test('a good Rollout has no problems; other kinds are left alone', () => {
    expect(lintText(`${good}---\nkind: Service\napiVersion: v1\n`, 'a.yaml')).toEqual({
      problems: [],
      rollouts: 1,
      others: 0,
    });
  });

  test('each problem has its line, field and remedy', () => {
    const { problems } = lintText(good.replace('[5, 20]', '[5, 120]'), 'a.yaml');
    expect(problems).toEqual([
      expect.objectContaining({
        line: 9,
        object: 'web',
        field: 'spec.strategy.canary.weights[1]',
        message: expect.stringContaining('at most 100'),
      }),
    ]);
  });

  test('a cron expression that the API server lets through is found', () => {
    const { problems } = lintText(`${good}  windows:\n    - { allow: "61 * * * *", for: 1h }\n`, 'a.yaml');
    expect(problems).toEqual([
      expect.objectContaining({
        line: 11,
        field: 'spec.windows[0].allow',
        message: expect.stringContaining('is not a cron expression'),
      }),
    ]);
  });

  test('a green that nobody will call is a warning, unless something else judges it', () => {
    const blueGreen = good.replace('canary:\n      weights: [5, 20]', 'blueGreen: {dwell: 1m}');
    expect(lintText(blueGreen, 'a.yaml').problems).toEqual([
      expect.objectContaining({
        warning: true,
        field: 'spec.analysis',
        message: expect.stringContaining('green has no user traffic before it goes live'),
      }),
    ]);
    for (const more of [
      '  analysis: {noData: pass}\n',
      '  analysis: {metrics: [{name: errors, prometheus: {query: vector(0)}, threshold: {max: 1}}]}\n',
    ]) {
      expect(lintText(`${blueGreen}${more}`, 'a.yaml').problems).toEqual([]);
    }
    const preview = blueGreen.replace('{dwell: 1m}', '{dwell: 1m, preview: {service: web-preview}}');
    expect(lintText(preview, 'a.yaml').problems).toEqual([]);
    const directory = mkdtempSync(join(tmpdir(), 'weir-lint-'));
    const written: string[] = [];
    writeFileSync(join(directory, 'web.yaml'), blueGreen);
    expect(lintFiles([join(directory, 'web.yaml')], (text) => written.push(text))).toBe(0);
    expect(written.join('')).toMatch(
      /:1?\d: warning: web spec\.analysis: green .*\n1 Rollout, no problems, 1 warning\n$/,
    );
    rmSync(directory, { recursive: true });
  });

  test('what a person gets wrong is told by field, in their words, for every kind of Weir', () => {
    const told = (text: string) =>
      lintText(text, 'a.yaml').problems.map(({ field, message }) => `${field}: ${message}`);
    const manifest = (kind: string, spec: string, apiVersion = 'weir.dev/v1alpha1') =>
      `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\nspec: ${spec}\n`;
    expect(told(manifest('Rollout', '{service: {name: web, port: http}}', 'weir.dev/v1'))).toEqual([
      'apiVersion: must be weir.dev/v1alpha1',
      'spec.targetRef: is missing: it must be an object of fields',
      'spec.service.port: must be a number, not a string',
      'spec.strategy: is missing: it must be an object of fields',
    ]);
    expect(told(good.replace('{name: web}\n  service', '{kind: StatefulSet, name: web}\n  service'))).toEqual(
      [expect.stringContaining('spec.targetRef.kind: StatefulSet (apps/v1) cannot be rolled out')],
    );
    expect(
      told(`${good}  analysis: {metrics: [{name: success-rate, threshold: {min: 99}}], interval: 5}\n`),
    ).toEqual(['spec.analysis.interval: must be a duration such as 30s, 10m or 1h30m']);
    expect(told(`${good}  analysis: {metrics: [{name: success-rate, threshold: {min: 99}}]}\n`)).toEqual([
      expect.stringContaining(
        'threshold.min: a success rate is a share from 0 to 1: for 99 percent write 99%',
      ),
    ]);
    expect(told(manifest('TrafficPolicy', '{targetRefs: [], retries: {max: 11, retryOn: [all]}}'))).toEqual([
      'spec.targetRefs: must not be empty',
      'spec.retries.max: must be at most 10',
      'spec.retries.retryOn[0]: must be one of connect, 5xx',
    ]);
    expect(told(manifest('MetricTemplate', '{query: 5}'))).toEqual([
      'spec.query: must be a string, not a number',
    ]);
    const split = manifest(
      'TrafficSplit',
      '{service: web, backends: [{service: a, weight: -1}]}',
      'split.smi-spec.io/v1',
    );
    expect(told(split)).toEqual([
      'apiVersion: must be split.smi-spec.io/v1alpha4 or split.smi-spec.io/v1alpha2',
      'spec.backends[0].weight: must be at least 0',
    ]);
    expect(told(good.replace('weights:', 'maxWeight: 50\n      weights:'))).toEqual([
      'spec.strategy.canary.maxWeight: unknown field "maxWeight": the fields here are steps, weights, dwell, progression, replicas',
    ]);
    expect(told(`${good}  analysis: {metrics: [{name: latency, threshold: {max: 500}}]}\n`)).toEqual([
      'spec.analysis.metrics[0].threshold.max: a number is seconds: for 500 milliseconds write 500ms',
    ]);
    expect(told(good.replace('[5, 20]', '[50, 20, 60]'))).toEqual([
      expect.stringMatching(/^spec\.strategy\.canary\.weights\[1\]: 20 % after 50 %: .*ascending/),
    ]);
    expect(
      told(
        good.replace('weights: [5, 20]', 'steps: [{weight: 50}, {pause: {}}, {weight: 50}, {weight: 70}]'),
      ),
    ).toEqual([expect.stringMatching(/^spec\.strategy\.canary\.steps\[2\]\.weight: 50 % after 50 %/)]);
    expect(told(manifest('Rolout', '{}'))).toEqual([
      expect.stringContaining('kind: there is no Rolout in weir.dev'),
    ]);
  });

  test('broken YAML is one problem, not a crash', () => {
    expect(lintText('kind: Rollout\n  bad: [', 'a.yaml').problems.length).toBeGreaterThan(0);
  });

  test('broken YAML is told in a line, and a file with nothing of Weir in it is not called right', () => {
    const directory = mkdtempSync(join(tmpdir(), 'weir-lint-'));
    const told = (text: string) => {
      let written = '';
      writeFileSync(join(directory, 'a.yaml'), text);
      lintFiles([join(directory, 'a.yaml')], (more) => {
        written += more;
      });
      return written;
    };
    expect(told('kind: [Rollout\n')).toMatch(/^\S+a\.yaml:\d: \w.* at line \d, column \d+\n1 problem\n$/);
    expect(told('kind: Deployment\napiVersion: apps/v1\n')).toMatch(/^nothing of Weir in \S+a\.yaml\n$/);
    rmSync(directory, { recursive: true });
  });
});
