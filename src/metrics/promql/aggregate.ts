import { keyOf, type Labels, NAME, onlyLabels, withLabel, withoutLabels } from '../labels.ts';
import type { Aggregate, AggregateOperator } from './ast.ts';
import { QueryError } from './errors.ts';
import { byValue, quantile, type Sample } from './values.ts';

interface Group {
  labels: Labels;
  samples: Sample[];
}

/** How an aggregation groups; caches by label set, because a range query asks for the same ones at every step. */
export class Grouping {
  readonly #names: ReadonlySet<string>;
  readonly #without: boolean;
  readonly #cache = new WeakMap<Labels, { key: string; labels: Labels }>();

  constructor({ grouping, without }: Pick<Aggregate, 'grouping' | 'without'>) {
    this.#names = new Set(without ? [...grouping, NAME] : grouping);
    this.#without = without;
  }

  group(samples: readonly Sample[]): Group[] {
    const groups = new Map<string, Group>();
    for (const sample of samples) {
      let entry = this.#cache.get(sample.labels);
      if (!entry) {
        const labels = this.#without
          ? withoutLabels(sample.labels, this.#names)
          : onlyLabels(sample.labels, this.#names);
        entry = { key: keyOf(labels), labels };
        this.#cache.set(sample.labels, entry);
      }
      const group = groups.get(entry.key);
      if (group) group.samples.push(sample);
      else groups.set(entry.key, { labels: entry.labels, samples: [sample] });
    }
    return [...groups.values()];
  }
}

export function aggregate(
  operator: AggregateOperator,
  groups: Group[],
  parameter: number | string | undefined,
): Sample[] {
  switch (operator) {
    case 'topk':
    case 'bottomk': {
      const k = parameter as number;
      if (!(Math.abs(k) < 2 ** 63)) throw new QueryError('execution', `Scalar value ${k} overflows int64`);
      return k < 1
        ? []
        : groups.flatMap(({ samples }) => extremes(samples, Math.trunc(k), operator === 'topk'));
    }
    case 'count_values':
      return together(groups.flatMap((group) => countValues(group, parameter as string)));
    default:
      return groups.map(({ labels, samples }) => ({
        labels,
        value: reduce(
          operator,
          samples.map((sample) => sample.value),
          parameter as number,
        ),
      }));
  }
}

function reduce(
  operator: Exclude<AggregateOperator, 'topk' | 'bottomk' | 'count_values'>,
  values: number[],
  parameter: number,
): number {
  switch (operator) {
    case 'sum':
      return values.reduce((total, value) => total + value, 0);
    case 'avg':
      return mean(values);
    case 'min':
      return values.reduce((best, value) => (best > value || Number.isNaN(best) ? value : best));
    case 'max':
      return values.reduce((best, value) => (best < value || Number.isNaN(best) ? value : best));
    case 'count':
      return values.length;
    case 'group':
      return 1;
    case 'stdvar':
      return variance(values);
    case 'stddev':
      return Math.sqrt(variance(values));
    case 'quantile':
      return quantile(parameter, values);
  }
}

/** An incremental mean, so that great values do not overflow; infinities stay what they are. */
function mean(values: number[]): number {
  let result = values[0]!;
  for (let index = 1; index < values.length; index += 1) {
    const value = values[index]!;
    const count = index + 1;
    if (Math.abs(result) === Number.POSITIVE_INFINITY) {
      if (value === result || Number.isFinite(value)) continue;
    }
    result += value / count - result / count;
  }
  return result;
}

function variance(values: number[]): number {
  let average = values[0]!;
  // Welford's method; the first value contributes nothing.
  let squares = 0;
  for (let index = 1; index < values.length; index += 1) {
    const delta = values[index]! - average;
    average += delta / (index + 1);
    squares += delta * (values[index]! - average);
  }
  return squares / values.length;
}

function extremes(samples: Sample[], k: number, top: boolean): Sample[] {
  // NaN loses on both ends; equal values keep their order.
  const order = (a: Sample, b: Sample) => {
    if (Number.isNaN(a.value) || Number.isNaN(b.value)) return -byValue(a.value, b.value);
    return top ? -byValue(a.value, b.value) : byValue(a.value, b.value);
  };
  return [...samples].sort(order).slice(0, k);
}

function countValues({ labels, samples }: Group, label: string): Sample[] {
  if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label))
    throw new QueryError('execution', `invalid label name "${label}"`);
  const counts = new Map<string, number>();
  for (const { value } of samples) {
    const text = formatNumber(value);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].map(([text, value]) => ({ labels: withLabel(labels, label, text), value }));
}

/** The label of the counts may be one that is grouped by: groups that differed in nothing else are one then. */
function together(counts: Sample[]): Sample[] {
  const byLabels = new Map<string, Sample>();
  for (const { labels, value } of counts) {
    const key = keyOf(labels);
    byLabels.set(key, { labels, value: value + (byLabels.get(key)?.value ?? 0) });
  }
  return [...byLabels.values()];
}

/** A float as Prometheus writes one: shortest digits, never an exponent, `+Inf`, `-Inf`, `NaN`. */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (Object.is(value, -0)) return '-0';
  const text = String(value);
  const parts = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(text);
  if (!parts) return text;
  const [, sign, lead, rest = '', exponentText] = parts;
  const digits = lead! + rest;
  const point = 1 + Number(exponentText);
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return point >= digits.length
    ? sign + digits.padEnd(point, '0')
    : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}
