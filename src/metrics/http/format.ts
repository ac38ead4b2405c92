import { toRecord } from '../labels.ts';
import { formatNumber } from '../promql/aggregate.ts';
import { QueryError } from '../promql/errors.ts';
import type { QueryResult } from '../promql/evaluate.ts';
import { promDuration } from '../promql/literals.ts';

/** The `data` of an answer, as the Prometheus HTTP API has it. */
export function formatResult(result: QueryResult): { resultType: string; result: unknown } {
  switch (result.type) {
    case 'scalar':
      return { resultType: 'scalar', result: [result.time / 1000, formatNumber(result.value)] };
    case 'string':
      return { resultType: 'string', result: [result.time / 1000, result.value] };
    case 'vector':
      return {
        resultType: 'vector',
        result: result.samples.map(({ labels, value }) => ({
          metric: toRecord(labels),
          value: [result.time / 1000, formatNumber(value)],
        })),
      };
    case 'matrix':
      return {
        resultType: 'matrix',
        result: result.series.map(({ labels, times, values }) => ({
          metric: toRecord(labels),
          values: Array.from(times, (time, index) => [time / 1000, formatNumber(values[index]!)]),
        })),
      };
  }
}

export function badParameter(name: string, message: string): QueryError {
  return new QueryError('bad_data', `invalid parameter "${name}": ${message}`);
}

/** Milliseconds of a time parameter: Unix seconds or RFC 3339. */
export function parseTime(name: string, text: string | null, fallback?: number): number {
  if (text === null || text === '') {
    if (fallback !== undefined) return fallback;
    throw badParameter(name, 'cannot parse "" to a valid timestamp');
  }
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return Math.round(seconds * 1000);
  const parsed = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (Number.isNaN(parsed)) throw badParameter(name, `cannot parse "${text}" to a valid timestamp`);
  return parsed;
}

/** Milliseconds of a duration parameter: seconds as a number, or `1m30s`. */
export function parseStep(name: string, text: string | null): number {
  const seconds = Number(text ?? '');
  const value = text && Number.isFinite(seconds) ? seconds * 1000 : promDuration(text ?? '');
  if (value === undefined) throw badParameter(name, `cannot parse "${text ?? ''}" to a valid duration`);
  return Math.round(value);
}
