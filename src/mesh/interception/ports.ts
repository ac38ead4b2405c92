import { AppError } from '../../lib/errors.ts';
import type { PortRange } from './rules.ts';

/** `25, 3306,8000-8100`; `field` is what an error names. Sorted, and ranges that touch are one. */
export function parsePorts(text: string, field: string): PortRange[] {
  const ranges = text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
    .map((each) => {
      const match = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(each);
      const from = Number(match?.[1]);
      const to = Number(match?.[2] ?? match?.[1]);
      if (!match || from < 1 || to > 65_535 || from > to)
        throw new AppError(
          'Invalid',
          `${field}: "${each}" is neither a port nor a range of them: write e.g. 25,3306,8000-8100`,
        );
      return { from, to };
    })
    .sort((a, b) => a.from - b.from || a.to - b.to);
  const merged: PortRange[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last && range.from <= last.to + 1) last.to = Math.max(last.to, range.to);
    else merged.push(range);
  }
  return merged;
}

/** The same from an annotation that anybody may have written: what is no port is left out. */
export function readPorts(text: string | undefined): PortRange[] {
  return (text ?? '').split(',').flatMap((each) => {
    try {
      return parsePorts(each, '');
    } catch {
      return [];
    }
  });
}

export const formatPorts = (ranges: PortRange[]): string =>
  ranges.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)).join(',');

export const inPorts = (ranges: readonly PortRange[], port: number): boolean =>
  ranges.some(({ from, to }) => port >= from && port <= to);
