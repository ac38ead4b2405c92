import { compareLabels, keyOf, type Labels } from '../labels.ts';
import type { Querier } from '../storage/store.ts';
import type { Expression } from './ast.ts';
import { typeOf } from './check.ts';
import { QueryError } from './errors.ts';
import { Evaluator } from './evaluator.ts';
import { DEFAULT_ENGINE, type EngineOptions } from './options.ts';
import type { RangeSeries, Sample } from './values.ts';

export type QueryResult =
  | { type: 'scalar'; time: number; value: number }
  | { type: 'string'; time: number; value: string }
  | { type: 'vector'; time: number; samples: Sample[] }
  | { type: 'matrix'; series: RangeSeries[] };

/** The answer at one moment (ms). Pure: the same store, query and time give the same answer. */
export function evaluateInstant(
  expression: Expression,
  time: number,
  querier: Querier,
  options: EngineOptions = DEFAULT_ENGINE,
): QueryResult {
  const evaluator = new Evaluator(querier, { start: time, end: time, step: 1 }, options);
  evaluator.prepare(expression);
  switch (typeOf(expression)) {
    case 'scalar':
      return { type: 'scalar', time, value: evaluator.scalar(expression, time) };
    case 'string':
      return { type: 'string', time, value: evaluator.string(expression) };
    case 'vector':
      return { type: 'vector', time, samples: evaluator.vector(expression, time) };
    case 'matrix':
      return {
        type: 'matrix',
        series: [...evaluator.matrix(expression, time).series].sort((a, b) =>
          compareLabels(a.labels, b.labels),
        ),
      };
  }
}

/** The answers from `start` to `end` every `step` (ms). */
export function evaluateRange(
  expression: Expression,
  range: { start: number; end: number; step: number },
  querier: Querier,
  options: EngineOptions = DEFAULT_ENGINE,
): QueryResult {
  const type = typeOf(expression);
  if (type !== 'scalar' && type !== 'vector') {
    const word = type === 'matrix' ? 'range vector' : type;
    throw new QueryError(
      'bad_data',
      `invalid expression type "${word}" for range query, must be Scalar or instant Vector`,
    );
  }
  const evaluator = new Evaluator(querier, range, options);
  evaluator.prepare(expression);
  const found = new Map<string, { labels: Labels; times: number[]; values: number[] }>();
  const keys = new WeakMap<Labels, string>();
  for (let time = range.start; time <= range.end; time += range.step) {
    options.checkpoint?.();
    const samples =
      type === 'scalar'
        ? [{ labels: [], value: evaluator.scalar(expression, time) }]
        : evaluator.vector(expression, time);
    for (const { labels, value } of samples) {
      let key = keys.get(labels);
      if (key === undefined) {
        key = keyOf(labels);
        keys.set(labels, key);
      }
      let series = found.get(key);
      if (!series) {
        series = { labels, times: [], values: [] };
        found.set(key, series);
      }
      series.times.push(time);
      series.values.push(value);
    }
  }
  const series = [...found.values()]
    .sort((a, b) => compareLabels(a.labels, b.labels))
    .map(({ labels, times, values }) => ({
      labels,
      times: Float64Array.from(times),
      values: Float64Array.from(values),
    }));
  return { type: 'matrix', series };
}
