import type { QueryResult } from 'prometheus-query';
import type { Measurement, MetricProvider } from './ports.ts';

export interface PrometheusOptions {
  /** Root of the HTTP API, without /api/v1. */
  url: string;
  timeoutMs?: number;
  headers?: Record<string, string>;
}

/** Any server of the Prometheus HTTP API. Every way it can fail becomes a Measurement; nothing is thrown. */
export function prometheusProvider({
  url,
  timeoutMs = 5000,
  headers = {},
}: PrometheusOptions): MetricProvider {
  return {
    async query(expression, signal) {
      const failed = (message: string): Measurement => ({ kind: 'error', query: expression, message });
      if (signal.aborted) return failed('stopped before it was asked');
      try {
        const { PrometheusDriver } = await import('./driver.ts');
        // One driver a query: its interceptor is the only way to hand an AbortSignal to the request.
        const driver = new PrometheusDriver({
          endpoint: url,
          timeout: timeoutMs,
          headers,
          requestInterceptor: {
            onFulfilled: (config) => ({
              ...config,
              // The time-out of the library counts from the connection's silence; this one is the whole answer's.
              signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
              // Prometheus is a neighbour: never through the environment's proxy.
              proxy: false,
              maxContentLength: 8 * 1024 * 1024,
            }),
          },
        });
        return measurementOf(expression, await driver.instantQuery(expression));
      } catch (thrown) {
        if (signal.aborted) return failed('stopped before it was answered');
        return failed(explain(thrown, url, timeoutMs));
      }
    },
  };
}

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

/** prometheus-query rejects with plain objects; the server's own words are the most useful part of them. */
function explain(thrown: unknown, url: string, timeoutMs: number): string {
  const record = unwrap(thrown) as {
    errorType?: string;
    error?: string;
    code?: string;
    httpStatus?: number;
    prometheus?: { error?: string };
    message?: string;
  };
  const said = record.prometheus?.error;
  if (said) return `Prometheus refuses the query: ${said}`;
  switch (record.errorType) {
    case 'timeout_error':
      return `Prometheus at ${url} did not answer within ${timeoutMs} ms`;
    case 'network_error':
    case 'ssl_error':
      if (record.code === 'ERR_CANCELED') return `Prometheus at ${url} did not answer within ${timeoutMs} ms`;
      return `Prometheus at ${url} cannot be reached: ${record.error || record.code || 'no connection'}; check --prometheus-url`;
    case 'client_error':
      return `${url} did not answer as a Prometheus does; check --prometheus-url`;
    case 'http_error':
      return `Prometheus at ${url} answered ${record.httpStatus ?? 'an error'}: ${record.error ?? ''}`;
    default:
      return `Prometheus at ${url}: ${record.error ?? record.message ?? String(thrown)}`;
  }
}

/** The library wraps what it threw itself once more, as a network error with the first rejection in `original`. */
function unwrap(thrown: unknown): object {
  if (typeof thrown !== 'object' || thrown === null) return {};
  const { original } = thrown as { original?: { errorType?: string } };
  return original?.errorType ? original : thrown;
}
