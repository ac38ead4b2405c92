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

/** Not a metric's name (they are lower case): what the run has cost so far, kept for when Prometheus is gone. */
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

      const readBuiltIn = async (source: Source, ...also: string[]) => {
        const requests = requestsQuery(source, ref, ref.canary, stepAge);
        const failed = failedRequestsQuery(source, ref, ref.canary, runAge);
        const metrics = spec.metrics
          .filter((metric) => !isCustom(metric))
          .map((metric) => builtIn(metric, source, ref, windowOf(metric)));
        const queries = metrics.flatMap(({ canary, stable }) => (stable ? [canary, stable] : [canary]));
        const measured = await provider.queries([requests, failed, ...queries, ...also], signal);
        const of = (query: string): Measurement =>
          measured.get(query) ?? { kind: 'error', query, message: 'the query was not answered' };
        return {
          of,
          requests: of(requests),
          failed: of(failed),
          readings: metrics.map((metric) => readingOf(metric, of)),
        };
      };

      const callers = meshedCallersQuery(ref, Math.max(stepAge, 60_000));
      const [outbound, customs] = await Promise.all([
        readBuiltIn('outbound', callers),
        Promise.all(
          spec.metrics
            .filter(isCustom)
            .map((metric) => readCustom(metric, { ...options, ref, window: windowOf(metric) }, signal)),
        ),
      ]);
      // The callers' view holds as soon as one caller is meshed; the two are never summed.
      const seen = outbound.of(callers);
      const unmeshed = seen.kind === 'no-data' || (seen.kind === 'value' && seen.value === 0);
      const { requests, failed, readings } =
        unmeshed && outbound.requests.kind !== 'value' ? await readBuiltIn('inbound') : outbound;

      const bySpec = new Map([...readings, ...customs].map((reading) => [reading.spec, reading]));
      const verdict = decide({
        spec,
        readings: spec.metrics.map((metric) => bySpec.get(metric)!),
        requests: requests.kind === 'value' ? requests.value : requests.kind === 'no-data' ? 0 : undefined,
        memory: input.memory,
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
          ...(failedRequests === undefined
            ? {}
            : { [RUN]: { failures: 0, startedAt: input.runStartedAt, failedRequests } }),
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
