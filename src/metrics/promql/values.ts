import { keyOf, type Labels } from '../labels.ts';
import { QueryError } from './errors.ts';

export interface Sample {
  labels: Labels;
  value: number;
  /** Of the sample itself, ms; only plain selectors keep it (for `timestamp`). */
  time?: number;
}

/** The samples of one series inside a range, stale markers left out. */
export interface RangeSeries {
  labels: Labels;
  times: Float64Array;
  values: Float64Array;
}

/** A range vector at one evaluation time; the window is closed on both sides, as in Prometheus 2. */
export interface RangeVector {
  series: RangeSeries[];
  /** Milliseconds. */
  start: number;
  end: number;
}

/** Two series with equal labels in one vector would be two answers to one question. */
export function refuseDuplicates(samples: Sample[]): Sample[] {
  if (samples.length < 2) return samples;
  const seen = new Set<string>();
  for (const { labels } of samples) {
    const key = keyOf(labels);
    if (seen.has(key))
      throw new QueryError('execution', 'vector cannot contain metrics with the same labelset');
    seen.add(key);
  }
  return samples;
}

/** The quantile of values in any order, interpolated; NaN sorts first. */
export function quantile(q: number, values: readonly number[]): number {
  if (values.length === 0 || Number.isNaN(q)) return Number.NaN;
  if (q < 0) return Number.NEGATIVE_INFINITY;
  if (q > 1) return Number.POSITIVE_INFINITY;
  const sorted = [...values].sort(byValue);
  const rank = q * (sorted.length - 1);
  const lower = Math.max(0, Math.floor(rank));
  const upper = Math.min(sorted.length - 1, lower + 1);
  const weight = rank - Math.floor(rank);
  return sorted[lower]! * (1 - weight) + sorted[upper]! * weight;
}

export function byValue(a: number, b: number): number {
  if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : -1;
  if (Number.isNaN(b)) return 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Neumaier's compensated sum, as Prometheus adds over time. */
export class KahanSum {
  sum = 0;
  compensation = 0;

  add(value: number): void {
    const total = this.sum + value;
    this.compensation +=
      Math.abs(this.sum) >= Math.abs(value) ? this.sum - total + value : value - total + this.sum;
    this.sum = total;
  }

  get value(): number {
    return Number.isFinite(this.sum) ? this.sum + this.compensation : this.sum;
  }
}
