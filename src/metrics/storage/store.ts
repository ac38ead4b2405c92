import { keyOf, type Labels, labelOf } from '../labels.ts';
import type { Matcher } from '../matcher.ts';
import { MemorySeries, type SeriesData } from './series.ts';

export interface StoreOptions {
  /** Milliseconds that samples are kept. */
  retention: number;
  /** Bytes of samples above which the oldest go before their time. */
  maxBytes: number;
}

export interface StoreStats {
  series: number;
  samples: number;
  bytes: number;
}

/** What the evaluator reads from. Pure: no clock, no I/O. */
export interface Querier {
  select(matchers: readonly Matcher[], from: number, to: number): SeriesData[];
}

/** All series in memory, with an index from label values to series. */
export class MetricStore implements Querier {
  readonly #options: StoreOptions;
  readonly #series = new Map<string, MemorySeries>();
  /** Label name -> value -> series. */
  readonly #postings = new Map<string, Map<string, Set<MemorySeries>>>();
  #strings = new Map<string, string>();
  #effectiveRetention: number;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#effectiveRetention = options.retention;
  }

  /** The series of a label set, made when new. Hold it, but look again once it is no longer `alive`. */
  series(labels: Labels): MemorySeries {
    const key = keyOf(labels);
    let series = this.#series.get(key);
    if (!series) {
      series = new MemorySeries(labels.map((text) => this.#intern(text)));
      this.#series.set(key, series);
      for (let index = 0; index < labels.length; index += 2) {
        const values = getOrInsert(this.#postings, series.labels[index]!, () => new Map());
        getOrInsert(values, series.labels[index + 1]!, () => new Set()).add(series);
      }
    }
    return series;
  }

  /** One copy of every name and value: thousands of series share them. */
  #intern(text: string): string {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    this.#strings.set(text, text);
    return text;
  }

  /** False when the sample was out of order or contradicts one of the same time. */
  append(labels: Labels, time: number, value: number, stale = false): boolean {
    return this.series(labels).append(time, value, stale);
  }

  select(matchers: readonly Matcher[], from: number, to: number): SeriesData[] {
    const result: SeriesData[] = [];
    for (const series of this.find(matchers, from, to)) {
      const data = series.read(from, to);
      if (data.times.length > 0) result.push(data);
    }
    return result;
  }

  /** Series that match and have a sample between two times (by their first and last sample). */
  *find(
    matchers: readonly Matcher[],
    from = Number.NEGATIVE_INFINITY,
    to = Number.POSITIVE_INFINITY,
  ): Iterable<MemorySeries> {
    const candidates = this.#candidates(matchers);
    for (const series of candidates) {
      if (series.lastTime < from || series.firstTime > to) continue;
      if (matchers.every((matcher) => matcher.matches(labelOf(series.labels, matcher.name)))) yield series;
    }
  }

  /** The smallest set that surely holds every match: the postings of the most selective matcher. */
  #candidates(matchers: readonly Matcher[]): Iterable<MemorySeries> {
    let best: Set<MemorySeries>[] | undefined;
    let bestSize = Number.POSITIVE_INFINITY;
    for (const matcher of matchers) {
      // A matcher that the empty value satisfies also matches series without the label: no use as a start.
      if (matcher.matches('')) continue;
      const values = this.#postings.get(matcher.name);
      if (!values) return [];
      const sets: Set<MemorySeries>[] = [];
      let size = 0;
      if (matcher.values) {
        for (const value of new Set(matcher.values)) {
          const set = values.get(value);
          if (set) sets.push(set);
          size += set?.size ?? 0;
        }
      } else if (matchers.length === 1 || values.size <= 1000 || best === undefined) {
        for (const [value, set] of values) {
          if (!matcher.matches(value)) continue;
          sets.push(set);
          size += set.size;
        }
      } else continue;
      if (size < bestSize) {
        best = sets;
        bestSize = size;
      }
    }
    return best ? best.values().flatMap((set) => set.values()) : this.#series.values();
  }

  labelNames(matchers: readonly Matcher[], from: number, to: number): string[] {
    const names = new Set<string>();
    for (const series of this.find(matchers, from, to))
      for (let index = 0; index < series.labels.length; index += 2) names.add(series.labels[index]!);
    return [...names].sort();
  }

  labelValues(name: string, matchers: readonly Matcher[], from: number, to: number): string[] {
    const values = new Set<string>();
    for (const series of this.find(matchers, from, to)) {
      const value = labelOf(series.labels, name);
      if (value !== '') values.add(value);
    }
    return [...values].sort();
  }

  /** Drops what is older than the retention, and more when the samples take more memory than allowed. */
  collect(now: number): void {
    this.#effectiveRetention = Math.min(this.#options.retention, this.#effectiveRetention * 1.1);
    this.#truncate(now - this.#effectiveRetention);
    for (let round = 0; round < 40 && this.stats().bytes > this.#options.maxBytes; round += 1) {
      let oldest = now;
      for (const series of this.#series.values()) oldest = Math.min(oldest, series.firstTime);
      this.#effectiveRetention = Math.min(this.#effectiveRetention, now - oldest) * 0.9;
      this.#truncate(now - this.#effectiveRetention);
    }
  }

  #truncate(before: number): void {
    const size = this.#series.size;
    for (const [key, series] of this.#series) {
      series.truncate(before);
      if (series.lastTime >= before) continue;
      series.alive = false;
      this.#series.delete(key);
      for (let index = 0; index < series.labels.length; index += 2) {
        const values = this.#postings.get(series.labels[index]!);
        const set = values?.get(series.labels[index + 1]!);
        set?.delete(series);
        if (set?.size === 0) values?.delete(series.labels[index + 1]!);
        if (values?.size === 0) this.#postings.delete(series.labels[index]!);
      }
    }
    if (this.#series.size === size) return;
    this.#strings = new Map();
    for (const [name, values] of this.#postings) {
      this.#strings.set(name, name);
      for (const value of values.keys()) this.#strings.set(value, value);
    }
  }

  stats(): StoreStats {
    const stats = { series: this.#series.size, samples: 0, bytes: 0 };
    for (const series of this.#series.values()) {
      stats.samples += series.count;
      stats.bytes += series.byteLength;
    }
    return stats;
  }
}

function getOrInsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
