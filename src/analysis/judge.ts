import type { MetricTemplate } from '../api/metric-template.ts';
import type { MetricSpec } from '../api/rollout.ts';
import { parseDuration } from '../lib/duration.ts';
import { toAppError } from '../lib/errors.ts';
import { type Logger, silentLogger } from '../lib/log.ts';
import type { Judge, JudgeInput, JudgeMemory, Measurement, MetricProvider } from './ports.ts';
import {
  failedRequestsQuery,
  judgedWindow,
  latencyQuery,
  meshedCallersQuery,
  requestsQuery,
  type Source,
  successRateQuery,
} from './queries.ts';
import { type BuiltInArguments, renderQuery, renderTemplate } from './template.ts';
import { decide, type MetricReading, type Unit } from './verdict.ts';

export interface JudgeOptions {
  provider: MetricProvider;
  /** Finds a MetricTemplate; undefined when there is none. */
  templates: (
    namespace: string,
    name: string,
  ) => MetricTemplate | undefined | Promise<MetricTemplate | undefined>;
  log?: Logger;
  /** How often the backend scrapes: the shortest sensible window follows from it. */
  scrapeIntervalMs?: number;
}

/** Not a metric's name (they are lower case): what the run has cost so far, kept for when Prometheus is gone. */
const RUN = '$run';

/** Threshold analysis: reads each metric once a look, all queries at the same time, and leaves the verdict to `decide`. */
export function createJudge(options: JudgeOptions): Judge {
  const { provider, log = silentLogger, scrapeIntervalMs = 1000 } = options;
  return {
    async look(input, signal) {
      const stepAge = Math.max(0, input.now - input.stepStartedAt);
      const runAge = Math.max(0, input.now - input.runStartedAt);
      const ref = input.revisions;
      const ask = (query: string) => provider.query(query, signal);

      const readAll = async (source: Source) => {
        const [requests, failed, readings] = await Promise.all([
          ask(requestsQuery(source, ref, ref.canary, stepAge)),
          ask(failedRequestsQuery(source, ref, ref.canary, runAge)),
          Promise.all(
            input.spec.metrics.map((metric) =>
              read(
                metric,
                source,
                input,
                judgedWindow(parseDuration(metric.over), stepAge, scrapeIntervalMs),
              ),
            ),
          ),
        ]);
        return { requests, failed, readings };
      };
      const read = async (
        spec: MetricSpec,
        source: Source,
        { revisions }: JudgeInput,
        window: number,
      ): Promise<MetricReading> => {
        if (spec.prometheus || spec.templateRef) return custom(spec, revisions, window);
        const unit: Unit = spec.name === 'latency' ? 'seconds' : 'ratio';
        const build = (revision: string) =>
          spec.name === 'latency'
            ? latencyQuery(source, revisions, revision, spec.quantile ?? 0.99, window)
            : successRateQuery(source, revisions, revision, window);
        const [canary, stable] = await Promise.all([
          ask(build(revisions.canary)),
          spec.compare ? ask(build(revisions.stable)) : undefined,
        ]);
        return {
          spec,
          unit,
          canary: explainNoData(canary, 'canary', window),
          stable: stable && explainNoData(stable, 'stable', window),
        };
      };
      const custom = async (
        spec: MetricSpec,
        { namespace, service, canary, stable }: JudgeInput['revisions'],
        window: number,
      ): Promise<MetricReading> => {
        const given: BuiltInArguments = { namespace, service, canary, stable, window };
        try {
          if (!spec.templateRef) {
            return { spec, unit: 'count', canary: await ask(renderQuery(spec.prometheus!.query, given)) };
          }
          const { name, args } = spec.templateRef;
          const template = await options.templates(namespace, name);
          if (!template) {
            const message = `there is no MetricTemplate "${name}" in namespace ${namespace}: create it or correct templateRef.name`;
            return { spec, unit: 'count', canary: { kind: 'error', query: '', message } };
          }
          const { query, unit } = renderTemplate(template, args, given);
          return { spec, unit, canary: await ask(query) };
        } catch (thrown) {
          const { message } = toAppError(thrown);
          return {
            spec,
            unit: 'count',
            canary: { kind: 'error', query: spec.prometheus?.query ?? '', message },
          };
        }
      };

      const callersWindow = Math.max(stepAge, 60_000);
      const [outbound, callers] = await Promise.all([
        readAll('outbound'),
        ask(meshedCallersQuery(ref, callersWindow)),
      ]);
      // The callers' view holds as soon as one caller is meshed; the two are never summed.
      const unmeshed = callers.kind === 'no-data' || (callers.kind === 'value' && callers.value === 0);
      const { requests, failed, readings } =
        unmeshed && outbound.requests.kind !== 'value' ? await readAll('inbound') : outbound;

      const verdict = decide({
        spec: input.spec,
        readings,
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

function explainNoData(measurement: Measurement, side: 'canary' | 'stable', windowMs: number): Measurement {
  if (measurement.kind !== 'no-data') return measurement;
  const seconds = Math.max(1, Math.ceil(windowMs / 1000));
  return { ...measurement, message: `no requests to the ${side} were measured in the last ${seconds}s` };
}
