import type { QueryResult } from 'prometheus-query';
import { linked } from '../lib/linked.ts';
import { measurementOf } from './measurement.ts';
import type { Measurement, MetricProvider } from './ports.ts';
import { apart, united } from './union.ts';

export interface PrometheusOptions {
  /** Root of the HTTP API, without /api/v1. */
  url: string;
  timeoutMs?: number;
  headers?: Record<string, string>;
}

let loaded: Promise<typeof import('./driver.ts')> | undefined;
/** Resolving an import again takes longer than all else that is ours of a query. */
const library = () => (loaded ??= import('./driver.ts'));

/**
 * The answer to one query, as it came.
 *
 * @throws {Error} whose message is for a person
 */
export async function askPrometheus(
  { url, timeoutMs = 5000, headers = {} }: PrometheusOptions,
  expression: string,
  signal: AbortSignal,
): Promise<QueryResult> {
  if (signal.aborted) throw new Error('stopped before it was asked');
  const { own, unlink } = linked(signal);
  const timer = setTimeout(() => own.abort(), timeoutMs);
  try {
    const { PrometheusDriver } = await library();
    // One driver a query: its interceptor is the only way to hand an AbortSignal to the request.
    const driver = new PrometheusDriver({
      endpoint: url,
      timeout: timeoutMs,
      headers,
      requestInterceptor: {
        onFulfilled: (config) => ({
          ...config,
          // The time-out of the library counts from the connection's silence; this one is the whole answer's.
          signal: own.signal,
          // Prometheus is a neighbour: never through the environment's proxy.
          proxy: false,
          maxContentLength: 8 * 1024 * 1024,
        }),
      },
    });
    return await driver.instantQuery(expression);
  } catch (thrown) {
    throw new Error(signal.aborted ? 'stopped before it was answered' : explain(thrown, url, timeoutMs), {
      cause: thrown,
    });
  } finally {
    clearTimeout(timer);
    unlink();
  }
}

/** Any server of the Prometheus HTTP API. Every way it can fail becomes a Measurement; nothing is thrown. */
export function prometheusProvider(options: PrometheusOptions): MetricProvider {
  const ask = (expression: string, signal: AbortSignal) => askPrometheus(options, expression, signal);
  return {
    async query(expression, signal) {
      try {
        return measurementOf(expression, await ask(expression, signal));
      } catch (thrown) {
        return { kind: 'error', query: expression, message: (thrown as Error).message };
      }
    },
    async queries(expressions, signal) {
      const measured = await Promise.all(
        united(expressions).map(async ({ union, parts }) => {
          try {
            return apart(parts, await ask(union, signal));
          } catch (thrown) {
            const { message } = thrown as Error;
            return parts.map((query): Measurement => ({ kind: 'error', query, message }));
          }
        }),
      );
      return new Map(measured.flat().map((measurement) => [measurement.query, measurement]));
    },
  };
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
