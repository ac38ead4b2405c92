import { AppError } from './errors.ts';

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
export const DURATION_PATTERN = '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$';

/** Milliseconds of a Go or Prometheus duration such as `10m`, `1h30m`, `250ms`. */
export function parseDuration(text: string): number {
  if (!new RegExp(DURATION_PATTERN).test(text)) {
    throw new AppError(
      'Invalid',
      `"${text}" is not a duration: write a number and a unit, such as 30s, 10m or 1h30m`,
    );
  }
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/g))
    total += Number(amount) * UNITS[unit!]!;
  return total;
}

/** The shortest way a person would write it: `90s` -> `1m30s`, `36h` -> `1d12h`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)}ms`;
  let rest = Math.round(milliseconds / 1000);
  const parts: string[] = [];
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const amount = Math.floor(rest / size);
    if (amount > 0) parts.push(`${amount}${unit}`);
    rest %= size;
  }
  return parts.slice(0, 2).join('') || '0s';
}
