import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { rolloutSpecSchema, type WindowSpec } from '../api/rollout.ts';
import { windowProblems, windowState } from './windows.ts';

const at = (text: string): number => Date.parse(text);
const open = (windows: WindowSpec[], text: string): boolean => windowState(windows, at(text)).open;
const weekdays: WindowSpec[] = [{ allow: '0 9 * * 1-5', for: '8h', timeZone: 'Europe/Copenhagen' }];

describe('windows', () => {
  test('none: always open', () => {
    expect(windowState([], 0)).toEqual({ open: true, next: undefined, message: '' });
  });

  // Clocks go forward on 2026-03-29 and back on 2026-10-25 in Copenhagen: nine o'clock there is not nine in UTC.
  test.each([
    ['2026-03-27T07:59:59Z', false],
    ['2026-03-27T08:00:01Z', true],
    ['2026-03-30T06:59:59Z', false],
    ['2026-03-30T07:00:01Z', true],
    ['2026-03-30T14:59:59Z', true],
    ['2026-03-30T15:00:01Z', false],
    ['2026-10-23T07:00:01Z', true],
    ['2026-10-26T07:30:00Z', false],
    ['2026-10-26T08:00:01Z', true],
    ['2026-03-28T10:00:00Z', false],
  ])('local nine to five on weekdays: %s is %s', (when, expected) => {
    expect(open(weekdays, when)).toBe(expected);
  });

  test('a freeze wins over allow, and says so', () => {
    const windows: WindowSpec[] = [
      { allow: '0 0 * * *', for: '24h', timeZone: 'UTC' },
      { freeze: '0 0 24 12 *', for: '72h', timeZone: 'UTC' },
    ];
    expect(open(windows, '2026-12-23T12:00:00Z')).toBe(true);
    expect(open(windows, '2026-12-26T23:00:00Z')).toBe(false);
    expect(windowState(windows, at('2026-12-25T12:00:00Z')).message).toContain('frozen');
    expect(open(windows, '2026-12-27T00:00:01Z')).toBe(true);
  });

  test('asked in any order, it is open for three minutes of seven', () => {
    const windows: WindowSpec[] = [{ allow: '*/7 * * * *', for: '3m', timeZone: 'UTC' }];
    const midnight = at('2026-03-30T00:00:00Z');
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 86_400 }), { maxLength: 20 }), (seconds) => {
        for (const second of seconds) {
          const now = midnight + second * 1000;
          const sinceStart = ((second / 60) % 60) % 7;
          const { open, next } = windowState(windows, now);
          expect([second, open]).toEqual([second, sinceStart < 3]);
          expect(next).toBeGreaterThan(now);
        }
      }),
    );
  });

  test('tells when to look again', () => {
    expect(windowState(weekdays, at('2026-03-30T06:00:00Z')).next).toBe(at('2026-03-30T07:00:00Z'));
    expect(windowState(weekdays, at('2026-03-30T10:00:00Z')).next).toBe(at('2026-03-30T15:00:00Z'));
  });

  test('a bad expression and a bad zone name their fields', () => {
    const spec = rolloutSpecSchema.parse({
      targetRef: { name: 'web' },
      service: { name: 'web', port: 80 },
      strategy: { canary: { weights: [10] } },
      windows: [
        { allow: 'whenever', for: '1h' },
        { freeze: '0 0 * * *', for: '1h', timeZone: 'Mars/Base' },
      ],
    });
    expect(windowProblems(spec).map(({ path }) => path)).toEqual([
      ['spec', 'windows', 0, 'allow'],
      ['spec', 'windows', 1, 'timeZone'],
    ]);
  });
});
