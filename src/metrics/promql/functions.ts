import { type Labels, labelOf, labelsOf, NAME, withLabel, withoutName } from '../labels.ts';
import { compileAnchored } from '../regex.ts';
import type { VectorSelector } from './ast.ts';
import { QueryError } from './errors.ts';
import { byValue, refuseDuplicates, type Sample } from './values.ts';

const date = (read: (moment: Date) => number) => (seconds: number) =>
  Number.isFinite(seconds) ? read(new Date(Math.trunc(seconds) * 1000)) : Number.NaN;

const dayOfYear = (moment: Date) =>
  Math.floor((moment.getTime() - Date.UTC(moment.getUTCFullYear(), 0, 1)) / 86_400_000) + 1;

/** Dates of Unix seconds, in UTC. Without an argument they tell the evaluation time. */
export const DATE_FUNCTIONS: ReadonlyMap<string, (seconds: number) => number> = new Map([
  ['minute', date((moment) => moment.getUTCMinutes())],
  ['hour', date((moment) => moment.getUTCHours())],
  ['day_of_week', date((moment) => moment.getUTCDay())],
  ['day_of_month', date((moment) => moment.getUTCDate())],
  ['day_of_year', date(dayOfYear)],
  [
    'days_in_month',
    date((moment) => new Date(Date.UTC(moment.getUTCFullYear(), moment.getUTCMonth() + 1, 0)).getUTCDate()),
  ],
  ['month', date((moment) => moment.getUTCMonth() + 1)],
  ['year', date((moment) => moment.getUTCFullYear())],
]);

/** Functions of one value. `a` and `b` are the scalar arguments. */
export const VALUE_FUNCTIONS: ReadonlyMap<string, (value: number, a: number, b: number) => number> = new Map<
  string,
  (value: number, a: number, b: number) => number
>([
  ['abs', Math.abs],
  ['acos', Math.acos],
  ['acosh', Math.acosh],
  ['asin', Math.asin],
  ['asinh', Math.asinh],
  ['atan', Math.atan],
  ['atanh', Math.atanh],
  ['ceil', Math.ceil],
  ['cos', Math.cos],
  ['cosh', Math.cosh],
  ['deg', (value) => (value * 180) / Math.PI],
  ['exp', Math.exp],
  ['floor', Math.floor],
  ['ln', Math.log],
  ['log10', Math.log10],
  ['log2', Math.log2],
  ['rad', (value) => (value * Math.PI) / 180],
  ['sgn', (value) => (value > 0 ? 1 : value < 0 ? -1 : value)],
  ['sin', Math.sin],
  ['sinh', Math.sinh],
  ['sqrt', Math.sqrt],
  ['tan', Math.tan],
  ['tanh', Math.tanh],
  ['clamp', (value, least, most) => Math.max(least, Math.min(most, value))],
  ['clamp_min', (value, least) => Math.max(least, value)],
  ['clamp_max', (value, most) => Math.min(most, value)],
  [
    'round',
    (value, nearest) => {
      const inverse = 1 / nearest;
      return Math.floor(value * inverse + 0.5) / inverse;
    },
  ],
]);

export function mapValues(samples: Sample[], change: (value: number) => number): Sample[] {
  return refuseDuplicates(
    samples.map(({ labels, value }) => ({ labels: withoutName(labels), value: change(value) })),
  );
}

export function sortByValue(samples: Sample[], descending: boolean): Sample[] {
  // NaN last either way.
  return [...samples].sort((a, b) => {
    if (Number.isNaN(a.value) || Number.isNaN(b.value)) return -byValue(a.value, b.value);
    return descending ? byValue(b.value, a.value) : byValue(a.value, b.value);
  });
}

const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Go's `$1`, `${name}` and `$$` in a replacement. */
export function expand(template: string, match: RegExpExecArray): string {
  return template.replace(
    /\$(?:\$|(\w+)|\{(\w+)\})/g,
    (whole, bare: string | undefined, braced: string | undefined) => {
      if (whole === '$$') return '$';
      const name = bare ?? braced!;
      return (/^\d+$/.test(name) ? match[Number(name)] : match.groups?.[name]) ?? '';
    },
  );
}

export function labelReplace(
  samples: Sample[],
  [target, replacement, source, pattern]: [string, string, string, string],
): Sample[] {
  let regex: RegExp;
  try {
    regex = compileAnchored(pattern);
  } catch {
    throw new QueryError('execution', `invalid regular expression in label_replace(): ${pattern}`);
  }
  if (!LABEL_NAME.test(target))
    throw new QueryError('execution', `invalid destination label name in label_replace(): ${target}`);
  return refuseDuplicates(
    samples.map((sample) => {
      const match = regex.exec(labelOf(sample.labels, source));
      return match
        ? { labels: withLabel(sample.labels, target, expand(replacement, match)), value: sample.value }
        : sample;
    }),
  );
}

export function labelJoin(samples: Sample[], [target, separator, ...sources]: string[]): Sample[] {
  if (!LABEL_NAME.test(target!))
    throw new QueryError('execution', `invalid destination label name in label_join(): ${target}`);
  for (const source of sources)
    if (!LABEL_NAME.test(source))
      throw new QueryError('execution', `invalid source label name in label_join(): ${source}`);
  return refuseDuplicates(
    samples.map(({ labels, value }) => ({
      labels: withLabel(labels, target!, sources.map((source) => labelOf(labels, source)).join(separator)),
      value,
    })),
  );
}

/** What `absent` can tell of a selector that found nothing: its equality matchers that name a label once. */
export function absentLabels(selector: VectorSelector | undefined): Labels {
  const labels = new Map<string, string>();
  const seen = new Set<string>();
  for (const { name, operator, value } of selector?.matchers ?? []) {
    if (name === NAME) continue;
    if (operator === '=' && !seen.has(name)) labels.set(name, value);
    else labels.delete(name);
    seen.add(name);
  }
  return labelsOf(labels);
}
