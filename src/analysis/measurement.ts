import type { QueryResult } from 'prometheus-query';
import type { Measurement } from './ports.ts';

/** One number out of whatever a query answered. */
export function measurementOf(query: string, { resultType, result }: QueryResult): Measurement {
  const type: string = resultType;
  if (type !== 'vector' && type !== 'scalar') {
    return {
      kind: 'error',
      query,
      message: `the query yields a ${type}, not one number: aggregate it, for example with sum() or last_over_time()`,
    };
  }
  if (type === 'vector' && result.length > 1) {
    return {
      kind: 'error',
      query,
      message: `the query yields ${result.length} series, not one number: aggregate it, for example with sum()`,
    };
  }
  if (type === 'vector' && result.length === 0) {
    return { kind: 'no-data', query, message: 'the query yields no series' };
  }
  // The library hands a scalar through as [time, "text"] and a vector's value through parseFloat.
  const value: unknown = type === 'scalar' ? Number(result[1]) : result[0]?.value?.value;
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    return { kind: 'no-data', query, message: 'the query yields no number (a division by nothing?)' };
  }
  return { kind: 'value', query, value };
}
