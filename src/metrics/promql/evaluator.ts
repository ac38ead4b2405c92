import type { Labels } from '../labels.ts';
import { withoutName } from '../labels.ts';
import type { SeriesData } from '../storage/series.ts';
import type { Querier } from '../storage/store.ts';
import { aggregate, Grouping } from './aggregate.ts';
import {
  type Aggregate,
  type Binary,
  type Expression,
  type MatrixSelector,
  type Subquery,
  unwrap,
  type VectorSelector,
} from './ast.ts';
import { scalarBinary, VectorMatcher, vectorScalar } from './binary.ts';
import { callScalar, callVector } from './calls.ts';
import { typeOf } from './check.ts';
import { QueryError } from './errors.ts';
import { type EngineOptions, shifted } from './options.ts';
import { type RangeSeries, type RangeVector, refuseDuplicates, type Sample } from './values.ts';

/** The stretch of time a query covers; `@ start()` and `@ end()` refer to it. ms. */
export interface QueryRange {
  start: number;
  end: number;
  step: number;
}

/**
 * Computes one query, moment by moment. Selectors are read from the store once, by `prepare`, for all moments of the
 * query; then everything is a pure function of those samples.
 */
export class Evaluator {
  readonly options: EngineOptions;
  readonly #querier: Querier;
  readonly #range: QueryRange;
  readonly #data = new Map<VectorSelector, SeriesData[]>();
  readonly #groupings = new Map<Aggregate, Grouping>();
  readonly #matchers = new Map<Binary, VectorMatcher>();
  readonly #subqueries = new Map<Subquery, Map<number, Sample[]>>();
  #samples = 0;

  constructor(querier: Querier, range: QueryRange, options: EngineOptions) {
    this.#querier = querier;
    this.#range = range;
    this.options = options;
  }

  /** Reads what the selectors under an expression need when it is evaluated between two times. */
  prepare(expression: Expression, from = this.#range.start, to = this.#range.end): void {
    switch (expression.type) {
      case 'vector-selector':
        this.#read(expression, from, to, this.options.lookback);
        return;
      case 'matrix-selector':
        this.#read(expression.selector, from, to, expression.range);
        return;
      case 'subquery':
        this.prepare(
          expression.expression,
          shifted(expression, from, this.#range) - expression.range,
          shifted(expression, to, this.#range),
        );
        return;
      case 'call':
        for (const arg of expression.args) this.prepare(arg, from, to);
        return;
      case 'aggregate':
        if (expression.parameter) this.prepare(expression.parameter, from, to);
        this.prepare(expression.expression, from, to);
        return;
      case 'binary':
        this.prepare(expression.left, from, to);
        this.prepare(expression.right, from, to);
        return;
      case 'paren':
      case 'unary':
        this.prepare(expression.expression, from, to);
        return;
      case 'number':
      case 'string':
        return;
    }
  }

  #read(selector: VectorSelector, from: number, to: number, reach: number): void {
    this.options.checkpoint?.();
    const data = this.#querier.select(
      selector.matchers,
      shifted(selector, from, this.#range) - reach,
      shifted(selector, to, this.#range),
    );
    for (const { times } of data) this.#samples += times.length;
    if (this.#samples > this.options.maxSamples)
      throw new QueryError(
        'execution',
        'query processing would load too many samples into memory in query execution: ask for less time or fewer series',
      );
    this.#data.set(selector, data);
  }

  string(expression: Expression): string {
    const inner = unwrap(expression);
    return inner.type === 'string' ? inner.value : '';
  }

  scalar(expression: Expression, time: number): number {
    switch (expression.type) {
      case 'number':
        return expression.value;
      case 'paren':
        return this.scalar(expression.expression, time);
      case 'unary': {
        const value = this.scalar(expression.expression, time);
        return expression.operator === '-' ? -value : value;
      }
      case 'binary':
        return scalarBinary(
          expression,
          this.scalar(expression.left, time),
          this.scalar(expression.right, time),
        );
      case 'call':
        return callScalar(this, expression, time);
      default:
        throw new QueryError('execution', `a ${expression.type} is not a scalar`);
    }
  }

  vector(expression: Expression, time: number): Sample[] {
    switch (expression.type) {
      case 'vector-selector':
        return this.#instant(expression, time);
      case 'paren':
        return this.vector(expression.expression, time);
      case 'unary': {
        const samples = this.vector(expression.expression, time);
        if (expression.operator === '+') return samples;
        return refuseDuplicates(
          samples.map(({ labels, value }) => ({ labels: withoutName(labels), value: -value })),
        );
      }
      case 'aggregate':
        return this.#aggregate(expression, time);
      case 'binary':
        return this.#binary(expression, time);
      case 'call':
        return callVector(this, expression, time);
      default:
        throw new QueryError('execution', `a ${expression.type} is not an instant vector`);
    }
  }

  matrix(expression: Expression, time: number): RangeVector {
    const inner = unwrap(expression);
    if (inner.type === 'matrix-selector') return this.#window(inner, time);
    if (inner.type === 'subquery') return this.#subquery(inner, time);
    throw new QueryError('execution', `a ${inner.type} is not a range vector`);
  }

  #instant(selector: VectorSelector, time: number): Sample[] {
    const at = shifted(selector, time, this.#range);
    const oldest = at - this.options.lookback;
    const result: Sample[] = [];
    for (const { labels, times, values, stale } of this.#data.get(selector)!) {
      const index = upperBound(times, at) - 1;
      if (index < 0 || times[index]! < oldest || stale?.[index]) continue;
      result.push({ labels, value: values[index]!, time: times[index]! });
    }
    return result;
  }

  #window({ selector, range }: MatrixSelector, time: number): RangeVector {
    const end = shifted(selector, time, this.#range);
    const start = end - range;
    const series: RangeSeries[] = [];
    for (const { labels, times, values, stale } of this.#data.get(selector)!) {
      const from = lowerBound(times, start);
      const to = upperBound(times, end);
      if (to <= from) continue;
      const window = { labels, times: times.subarray(from, to), values: values.subarray(from, to) };
      const kept = stale?.subarray(from, to).includes(1)
        ? dropStale(window, stale.subarray(from, to))
        : window;
      if (kept.times.length > 0) series.push(kept);
    }
    return { series, start, end };
  }

  /** Evaluates the inner expression at every multiple of the step inside the window. */
  #subquery(node: Subquery, time: number): RangeVector {
    const end = shifted(node, time, this.#range);
    const start = end - node.range;
    const step = node.step ?? this.options.defaultStep;
    let cache = this.#subqueries.get(node);
    if (!cache) {
      cache = new Map();
      this.#subqueries.set(node, cache);
    }
    for (const moment of cache.keys()) if (moment < start) cache.delete(moment);
    const found = new Map<Labels, { times: number[]; values: number[] }>();
    const canonical = new Map<string, Labels>();
    for (let moment = Math.ceil(start / step) * step; moment <= end; moment += step) {
      this.options.checkpoint?.();
      let samples = cache.get(moment);
      if (!samples) {
        samples = this.vector(node.expression, moment);
        cache.set(moment, samples);
        this.#samples += samples.length;
        if (this.#samples > this.options.maxSamples)
          throw new QueryError(
            'execution',
            'query processing would load too many samples into memory in query execution',
          );
      }
      for (const { labels, value } of samples) {
        let own = found.get(labels);
        if (!own) {
          const key = labels.join('\u{10FFFF}');
          const known = canonical.get(key);
          own = (known && found.get(known)) ?? { times: [], values: [] };
          if (!known) canonical.set(key, labels);
          found.set(known ?? labels, own);
        }
        own.times.push(moment);
        own.values.push(value);
      }
    }
    const series = [...found].map(([labels, { times, values }]) => ({
      labels,
      times: Float64Array.from(times),
      values: Float64Array.from(values),
    }));
    return { series, start, end };
  }

  #aggregate(node: Aggregate, time: number): Sample[] {
    let grouping = this.#groupings.get(node);
    if (!grouping) {
      grouping = new Grouping(node);
      this.#groupings.set(node, grouping);
    }
    const { parameter, operator } = node;
    const argument =
      parameter === undefined
        ? undefined
        : operator === 'count_values'
          ? this.string(parameter)
          : this.scalar(parameter, time);
    return aggregate(operator, grouping.group(this.vector(node.expression, time)), argument);
  }

  #binary(node: Binary, time: number): Sample[] {
    const leftScalar = typeOf(node.left) === 'scalar';
    const rightScalar = typeOf(node.right) === 'scalar';
    if (leftScalar)
      return vectorScalar(node, this.vector(node.right, time), this.scalar(node.left, time), true);
    if (rightScalar)
      return vectorScalar(node, this.vector(node.left, time), this.scalar(node.right, time), false);
    let matcher = this.#matchers.get(node);
    if (!matcher) {
      matcher = new VectorMatcher(node);
      this.#matchers.set(node, matcher);
    }
    return matcher.evaluate(this.vector(node.left, time), this.vector(node.right, time));
  }
}

/** The first index whose time is not before. */
function lowerBound(times: Float64Array, time: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle]! < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first index whose time is after. */
function upperBound(times: Float64Array, time: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle]! <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function dropStale({ labels, times, values }: RangeSeries, stale: Uint8Array): RangeSeries {
  return {
    labels,
    times: times.filter((_, index) => !stale[index]),
    values: values.filter((_, index) => !stale[index]),
  };
}
