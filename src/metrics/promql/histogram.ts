import { keyOf, type Labels, labelOf, NAME, withoutLabels } from '../labels.ts';
import { promNumber } from './literals.ts';
import type { Sample } from './values.ts';

interface Bucket {
  bound: number;
  count: number;
}

const BUCKET_LABELS = new Set(['le', NAME]);

/** prometheus/promql/quantile.go, bucketQuantile (2.42). Buckets in any order, cumulative counts. */
export function bucketQuantile(q: number, input: readonly Bucket[]): number {
  if (Number.isNaN(q)) return Number.NaN;
  if (q < 0) return Number.NEGATIVE_INFINITY;
  if (q > 1) return Number.POSITIVE_INFINITY;
  const sorted = [...input].sort((a, b) => a.bound - b.bound || 0);
  if (sorted.at(-1)?.bound !== Number.POSITIVE_INFINITY) return Number.NaN;
  const buckets: Bucket[] = [];
  for (const { bound, count } of sorted) {
    const last = buckets.at(-1);
    if (last?.bound === bound) last.count += count;
    else buckets.push({ bound, count });
  }
  // Counts of one histogram scraped half a moment apart may shrink with the bound: they may not.
  let most = Number.NEGATIVE_INFINITY;
  for (const bucket of buckets) {
    if (bucket.count > most) most = bucket.count;
    else if (bucket.count < most) bucket.count = most;
  }
  if (buckets.length < 2) return Number.NaN;
  const observations = buckets.at(-1)!.count;
  if (observations === 0) return Number.NaN;
  let rank = q * observations;
  let index = buckets.slice(0, -1).findIndex((bucket) => bucket.count >= rank);
  if (index < 0) index = buckets.length - 1;
  if (index === buckets.length - 1) return buckets[buckets.length - 2]!.bound;
  const bucket = buckets[index]!;
  if (index === 0 && bucket.bound <= 0) return bucket.bound;
  const below = index > 0 ? buckets[index - 1]! : { bound: 0, count: 0 };
  const count = bucket.count - below.count;
  rank -= below.count;
  return below.bound + (bucket.bound - below.bound) * (rank / count);
}

const signatures = new WeakMap<Labels, { key: string; labels: Labels; bound: number | undefined }>();

export function histogramQuantile(q: number, samples: readonly Sample[]): Sample[] {
  const groups = new Map<string, { labels: Labels; buckets: Bucket[] }>();
  for (const { labels, value } of samples) {
    let signature = signatures.get(labels);
    if (!signature) {
      const rest = withoutLabels(labels, BUCKET_LABELS);
      signature = { key: keyOf(rest), labels: rest, bound: promNumber(labelOf(labels, 'le')) };
      signatures.set(labels, signature);
    }
    if (signature.bound === undefined) continue;
    let group = groups.get(signature.key);
    if (!group) {
      group = { labels: signature.labels, buckets: [] };
      groups.set(signature.key, group);
    }
    group.buckets.push({ bound: signature.bound, count: value });
  }
  return [...groups.values()].map(({ labels, buckets }) => ({ labels, value: bucketQuantile(q, buckets) }));
}
