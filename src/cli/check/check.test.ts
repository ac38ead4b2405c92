import { describe, expect, test } from '@jest/globals';
import type { KubeClient } from '../../kube/types.ts';
import { AppError } from '../../lib/errors.ts';
import { type CheckGroup, failed, ok, warning } from './model.ts';
import { renderResults, runChecks, succeeded } from './run.ts';

const context = { client: {} as KubeClient, namespace: 'weir', signal: new AbortController().signal };
const groups: CheckGroup[] = [
  {
    name: 'First',
    checks: [
      { name: 'good', hint: '', run: async () => ok('is there') },
      { name: 'several', hint: '', run: async () => [ok('one'), warning('two', 'look at two')] },
    ],
  },
  {
    name: 'Second',
    fatal: true,
    checks: [
      {
        name: 'broken',
        hint: 'mend it',
        run: async () => {
          throw new AppError('Unavailable', 'cannot be reached');
        },
      },
    ],
  },
  { name: 'Third', checks: [{ name: 'never', hint: '', run: async () => failed('not asked', '') }] },
];

describe('checks', () => {
  test('what throws has failed with its own hint; after a fatal failure nothing is asked', async () => {
    const results = await runChecks(groups, context);
    expect(results.map(({ group, check, status }) => `${group} ${check} ${status}`)).toEqual([
      'First good ok',
      'First several ok',
      'First several warning',
      'Second broken failed',
    ]);
    expect(succeeded(results)).toBe(false);
    expect(succeeded(results.slice(0, 3))).toBe(true);
  });

  test('a person reads groups, marks and hints; short shows only what needs a look', async () => {
    const results = await runChecks(groups, context);
    expect(renderResults(results, 'table', {})).toBe(
      [
        'First',
        '√ good: is there',
        '√ several: one',
        '! several: two',
        '    look at two',
        '',
        'Second',
        '× broken: cannot be reached',
        '    mend it',
        '',
        '2 ok, 1 with warnings, 1 failed',
        '',
      ].join('\n'),
    );
    expect(renderResults(results, 'short', {})).not.toContain('good');
  });

  test('a program reads JSON', async () => {
    const results = await runChecks(groups, context);
    expect(JSON.parse(renderResults(results, 'json'))).toMatchObject({
      success: false,
      checks: { length: 4 },
    });
  });
});
