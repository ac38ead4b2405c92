import { describe, expect, test } from '@jest/globals';
import { type Rollout, rolloutSpecSchema } from '../api/rollout.ts';
import { cachedService } from './cached.ts';
import type { Service } from './objects.ts';
import { parseSpec, rivalOf, serviceProblem, specOf } from './parse.ts';

const good = {
  targetRef: { name: 'web' },
  service: { name: 'web', port: 80 },
  strategy: { canary: { weights: [10] } },
};
const rollout = (spec: unknown, name = 'web', more: Partial<Rollout['metadata']> = {}): Rollout => ({
  apiVersion: 'weir.dev/v1alpha1',
  kind: 'Rollout',
  metadata: { name, namespace: 'shop', uid: name, creationTimestamp: '2026-01-05T12:00:00Z', ...more },
  spec,
});

test.each<[object, string, RegExp]>([
  [{ service: { name: 'web', port: 0 } }, 'InvalidSpec', /spec\.service\.port: /],
  [{ strategy: { canary: { weights: [10, 120] } } }, 'InvalidSpec', /spec\.strategy\.canary\.weights\[1\]: /],
  [{ strategy: {} }, 'InvalidSpec', /exactly one of canary and blueGreen/],
  [{ watch: 'soon' }, 'InvalidSpec', /spec\.watch: /],
  [{ windows: [{ allow: '61 * * * *', for: '1h' }] }, 'InvalidSpec', /windows/],
  [{ windows: [{ allow: '0 9 * * *', for: '1h', timeZone: 'Mars/Base' }] }, 'InvalidSpec', /Mars\/Base/],
  [{ typo: true }, 'InvalidSpec', /typo/],
  [{ targetRef: { name: 'web', kind: 'StatefulSet' } }, 'UnsupportedTarget', /StatefulSet web/],
])('%j names the field', (change, reason, message) => {
  expect(parseSpec(rollout({ ...good, ...change }))).toMatchObject({
    problem: { reason, message: expect.stringMatching(message) },
  });
});

test('a good spec comes with its defaults', () => {
  expect(parseSpec(rollout(good))).toMatchObject({
    spec: { onDelete: 'Hold', progressDeadline: '10m', analysis: { noData: 'hold', minRequests: 50 } },
  });
});

test('a change that cannot be understood leaves a run what it is judged and rolled back by', () => {
  const before = parseSpec(rollout(good));
  const cron = parseSpec(rollout({ ...good, watch: '3m', windows: [{ allow: '61 * * * *', for: '1h' }] }));
  expect(cron).toMatchObject({ spec: { watch: '3m', windows: [] }, problem: { reason: 'InvalidSpec' } });
  expect(specOf(cron, before.spec)).toBe(cron);
  const typo = parseSpec(rollout({ ...good, typo: true }));
  expect(specOf(typo, before.spec)).toEqual({ spec: before.spec, problem: typo.problem });
  expect(specOf(typo, undefined)).toBe(typo);
  expect(specOf(before, cron.spec)).toBe(before);
});

describe('two Rollouts on one Deployment', () => {
  const spec = rolloutSpecSchema.parse(good);
  const older = rollout(good, 'older', { creationTimestamp: '2026-01-05T11:00:00Z' });
  test('the older one has it', () => {
    const all = [older, rollout(good)];
    expect(rivalOf(all[1]!, spec, all)?.message).toContain('older Rollout older');
    expect(rivalOf(older, spec, all)).toBeUndefined();
  });
  test('never two at once: the older one waits for a run of the younger, which is told and held', () => {
    const at = (phase: string, of = rollout(good)) => ({ ...of, status: { phase } }) as typeof of;
    for (const phase of ['Preparing', 'Progressing', 'Watching', 'Promoting', 'RollingBack']) {
      const all = [older, at(phase)];
      expect(rivalOf(older, spec, all)?.message).toContain('is being rolled out by Rollout');
      expect(rivalOf(all[1]!, spec, all)?.message).toContain('older Rollout older');
    }
    const ended = [older, at('Failed')];
    expect(rivalOf(older, spec, ended)).toBeUndefined();
    const both = [at('Progressing', older), at('Progressing')];
    expect(rivalOf(both[0]!, spec, both)).toBeUndefined();
  });
  test.each([
    [{}, 'Service web belongs to the older Rollout older'],
    [{ service: { name: 'web-canary', port: 80 } }, 'Service web-canary belongs to'],
    [
      { service: { name: 'api', port: 80 }, strategy: { blueGreen: { preview: { service: 'web' } } } },
      'Service web belongs to',
    ],
  ])('one that writes the same Service %j is a rival whatever its Deployment is', (more, message) => {
    const other = { ...older, spec: { ...good, targetRef: { name: 'api' }, ...more } };
    const problem = rivalOf(rollout(good), spec, [other, rollout(good)]);
    expect(problem).toMatchObject({ reason: 'ServiceTaken', message: expect.stringContaining(message) });
    expect(problem?.message).toContain('point spec.service elsewhere');
  });
  test('another namespace, another kind or another name is no rival', () => {
    const others = [
      { ...older, metadata: { ...older.metadata, namespace: 'else' } },
      {
        ...older,
        spec: { ...good, targetRef: { kind: 'StatefulSet', name: 'web' }, service: { name: 'db', port: 80 } },
      },
      { ...older, spec: { ...good, targetRef: { name: 'api' }, service: { name: 'api', port: 80 } } },
      { ...older, spec: undefined },
    ];
    expect(rivalOf(rollout(good), spec, others)).toBeUndefined();
  });
});

test('the root Service has the port and a selector', () => {
  const spec = rolloutSpecSchema.parse(good);
  const problem = (body: Service['spec']) =>
    serviceProblem(spec, cachedService({ metadata: { name: 'web' }, spec: body }), { namespace: 'shop' });
  expect(problem({ selector: { app: 'web' }, ports: [{ port: 80 }] })).toBeUndefined();
  expect(problem({ selector: { app: 'web' }, ports: [{ port: 81 }] })?.message).toContain(
    'has no port 80, only 81',
  );
  expect(problem({ ports: [{ port: 80 }] })?.reason).toBe('NoSelector');
});
