import type { MetricSpec } from '../api/rollout.ts';
import { parseDuration } from '../lib/duration.ts';
import { type Logger, silentLogger } from '../lib/log.ts';
import type { Judge, JudgeMemory, Measurement } from './ports.ts';
import {
  failedRequestsQuery,
  judgedWindow,
  meshedCallersQuery,
  requestsQuery,
  type Source,
} from './queries.ts';
import { builtIn, type CustomSources, isCustom, readCustom, readingOf } from './readings.ts';
import { decide } from './verdict.ts';

export interface JudgeOptions extends CustomSources {
  log?: Logger;
  /** How often the backend scrapes: the shortest sensible window follows from it. */
  scrapeIntervalMs?: number;
}

/** Not a metric's name (they are lower case): what the run has cost so far, kept for when Prometheus is gone; which side was read. */
const RUN = '$run';

/**
 * Threshold analysis: reads each metric once a look, everything at the same time and Weir's own queries in one
 * request, and leaves the verdict to `decide`.
 */
export function createJudge(options: JudgeOptions): Judge {
  const { provider, log = silentLogger, scrapeIntervalMs = 1000 } = options;
  return {
    async look(input, signal) {
      const stepAge = Math.max(0, input.now - input.stepStartedAt);
      const runAge = Math.max(0, input.now - input.runStartedAt);
      const { revisions: ref, spec } = input;
      const windowOf = ({ over }: MetricSpec) => judgedWindow(parseDuration(over), stepAge, scrapeIntervalMs);

      const builtIns = (source: Source) => ({
        requests: requestsQuery(source, ref, ref.canary, stepAge),
        failed: failedRequestsQuery(source, ref, ref.canary, runAge),
        metrics: spec.metrics
          .filter((metric) => !isCustom(metric))
          .map((metric) => builtIn(metric, source, ref, windowOf(metric))),
      });
      const callers = meshedCallersQuery(ref, Math.max(stepAge, 60_000));
      const outbound = builtIns('outbound');
      const queriesOf = ({ requests, failed, metrics }: typeof outbound) => [
        requests,
        failed,
        ...metrics.flatMap(({ canary, stable }) => (stable ? [canary, stable] : [canary])),
      ];
      // Where no caller was meshed none will be at the next look, mostly: both sides are then asked for at once.
      let inbound = input.memory[RUN]?.unmeshed === true ? builtIns('inbound') : undefined;
      const [measured, customs] = await Promise.all([
        provider.queries([callers, ...queriesOf(outbound), ...(inbound ? queriesOf(inbound) : [])], signal),
        Promise.all(
          spec.metrics
            .filter(isCustom)
            .map((metric) => readCustom(metric, { ...options, ref, window: windowOf(metric) }, signal)),
        ),
      ]);
      const of = (query: string): Measurement =>
        measured.get(query) ?? { kind: 'error', query, message: 'the query was not answered' };

      // The callers' view holds as soon as one caller is meshed; the two are never summed.
      const seen = of(callers);
      const unmeshed =
        (seen.kind === 'no-data' || (seen.kind === 'value' && seen.value === 0)) &&
        of(outbound.requests).kind !== 'value';
      if (unmeshed && !inbound) {
        inbound = builtIns('inbound');
        for (const [query, measurement] of await provider.queries(queriesOf(inbound), signal)) {
          measured.set(query, measurement);
        }
      }
      const source = unmeshed && inbound ? inbound : outbound;
      const [requests, failed] = [of(source.requests), of(source.failed)];
      const readings = source.metrics.map((metric) => readingOf(metric, of));

      const bySpec = new Map([...readings, ...customs].map((reading) => [reading.spec, reading]));
      const verdict = decide({
        spec,
        readings: spec.metrics.map((metric) => bySpec.get(metric)!),
        requests: requests.kind === 'value' ? requests.value : requests.kind === 'no-data' ? 0 : undefined,
        memory: input.memory,
        alone: input.alone === true,
        at: new Date(input.now).toISOString(),
      });
      const failedRequests = failedSoFar(input, requests, failed);
      log.debug(
        {
          namespace: ref.namespace,
          service: ref.service,
          decision: verdict.decision,
          reason: verdict.reason,
        },
        'looked at the metrics',
      );
      return {
        ...verdict,
        failedRequests,
        memory: {
          ...verdict.memory,
          [RUN]: {
            failures: 0,
            startedAt: input.runStartedAt,
            ...(failedRequests === undefined ? {} : { failedRequests }),
            ...(unmeshed ? { unmeshed } : {}),
          },
        },
      };
    },
  };
}

/** Never less than an earlier look of the same run saw: a metrics store that restarted forgets, the users do not. */
function failedSoFar(
  { memory, runStartedAt }: { memory: JudgeMemory; runStartedAt: number },
  requests: Measurement,
  failed: Measurement,
): number | undefined {
  const kept = memory[RUN];
  const before =
    kept?.startedAt === runStartedAt && typeof kept.failedRequests === 'number'
      ? kept.failedRequests
      : undefined;
  const now =
    failed.kind === 'value'
      ? Math.round(failed.value)
      : failed.kind === 'no-data' && requests.kind === 'value'
        ? 0
        : undefined;
  if (now === undefined) return before;
  return Math.max(now, before ?? 0);
}
