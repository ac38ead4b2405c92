import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { MetricTemplate } from '../api/metric-template.ts';
import { renderQuery, renderTemplate } from './template.ts';

const given = { namespace: 'shop', service: 'web', canary: 'abc', stable: 'def', window: 60_000 };
const template = (query: string, args: object[] = []): MetricTemplate => ({
  apiVersion: 'weir.dev/v1alpha1',
  kind: 'MetricTemplate',
  metadata: { name: 'orders', namespace: 'shop' },
  spec: { query, args, unit: 'ratio' },
});

describe('rendering a query', () => {
  test('the built-in arguments need no declaration', () => {
    expect(renderQuery('sum(rate(x{ns="{{ namespace }}",rev={{canary}}}[{{ window }}]))', given)).toBe(
      'sum(rate(x{ns="shop",rev="abc"}[60s]))',
    );
  });

  test('typed arguments, with defaults, take the form their place needs', () => {
    const declared = [
      { name: 'path', type: 'string' },
      { name: 'limit', type: 'number', default: 5 },
      { name: 'strict', type: 'boolean', default: true },
      { name: 'over', type: 'duration', default: '1m30s' },
    ];
    const query = 'sum(x{path="{{ path }}",strict="{{ strict }}"}[{{ over }}]) > {{ limit }} * {{ strict }}';
    expect(renderTemplate(template(query, declared), { path: '/pay' }, given)).toEqual({
      query: 'sum(x{path="/pay",strict="true"}[90s]) > 5 * 1',
      unit: 'ratio',
    });
  });

  test.each([
    ['an unknown placeholder', 'x{{ nothing }}', {}, /\{\{ nothing \}\}, which is no argument/],
    ['an argument that is not declared', 'x', { y: 1 }, /has no argument "y": it declares a/],
    ['a missing value', 'x', {}, /needs a value for "a"/],
    ['text where a number goes', 'x > {{ a }}', { a: '1) or vector(1' }, /"a" must be a number/],
  ])('%s is refused with what to do', (_name, query, args, message) => {
    const declared = _name === 'an unknown placeholder' ? [] : [{ name: 'a', type: 'number' }];
    expect(() => renderTemplate(template(query, declared), args, given)).toThrow(message);
  });

  test('a comment in the query cannot hide a quote', () => {
    expect(renderQuery('up # it\'s "\n + {{ namespace }}', given)).toBe('up \n + "shop"');
  });

  test('no string value can leave its literal', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        for (const [query, before, after] of [
          ['x{a="{{ v }}"}', 'x{a=', '}'],
          ['x{a={{ v }}}', 'x{a=', '}'],
        ] as const) {
          const rendered = renderTemplate(template(query, [{ name: 'v' }]), { v: text }, given).query;
          const literal = rendered.slice(before.length, rendered.length - after.length);
          expect(JSON.parse(literal)).toBe(text);
        }
        const single = renderTemplate(template("x{a='{{ v }}'}", [{ name: 'v' }]), { v: text }, given).query;
        expect(single.slice(5, -2).replace(/\\[\s\S]/g, '')).not.toContain("'");
      }),
    );
  });
});
