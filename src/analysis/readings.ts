import type { MetricTemplate } from '../api/metric-template.ts';
import type { MetricSpec } from '../api/rollout.ts';
import { toAppError } from '../lib/errors.ts';
import type { Measurement, MetricProvider, RevisionRef } from './ports.ts';
import { latencyQuery, type Source, successRateQuery } from './queries.ts';
import { type BuiltInArguments, renderQuery, renderTemplate } from './template.ts';
import type { MetricReading, Unit } from './verdict.ts';

/** One of Weir's own metrics, before it was asked for. */
export interface BuiltIn {
  spec: MetricSpec;
  unit: Unit;
  /** Milliseconds. */
  window: number;
  /** Queries; that of stable only where the two are compared. */
  canary: string;
  stable: string | undefined;
}

export interface CustomSources {
  provider: MetricProvider;
  /** Finds a MetricTemplate; undefined when there is none. */
  templates: (
    namespace: string,
    name: string,
  ) => MetricTemplate | undefined | Promise<MetricTemplate | undefined>;
}

/** Whether the query is the user's. */
export const isCustom = ({ prometheus, templateRef }: MetricSpec): boolean =>
  prometheus !== undefined || templateRef !== undefined;

export function builtIn(spec: MetricSpec, source: Source, ref: RevisionRef, window: number): BuiltIn {
  const isLatency = spec.name === 'latency';
  const query = (revision: string) =>
    isLatency
      ? latencyQuery(source, ref, revision, spec.quantile ?? 0.99, window)
      : successRateQuery(source, ref, revision, window);
  return {
    spec,
    unit: isLatency ? 'seconds' : 'ratio',
    window,
    canary: query(ref.canary),
    stable: spec.compare ? query(ref.stable) : undefined,
  };
}

export function readingOf(
  { spec, unit, window, canary, stable }: BuiltIn,
  of: (query: string) => Measurement,
): MetricReading {
  return {
    spec,
    unit,
    canary: explainNoData(of(canary), 'canary', window),
    stable: stable === undefined ? undefined : explainNoData(of(stable), 'stable', window),
  };
}

/** A query of the user's goes alone: its errors are its own. */
export async function readCustom(
  spec: MetricSpec,
  { provider, templates, ref, window }: CustomSources & { ref: RevisionRef; window: number },
  signal: AbortSignal,
): Promise<MetricReading> {
  const { namespace, service, canary, stable } = ref;
  const given: BuiltInArguments = { namespace, service, canary, stable, window };
  const failed = (message: string): MetricReading => ({
    spec,
    unit: 'count',
    canary: { kind: 'error', query: spec.prometheus?.query ?? '', message },
  });
  try {
    if (!spec.templateRef) {
      const query = renderQuery(spec.prometheus!.query, given);
      return { spec, unit: 'count', canary: await provider.query(query, signal) };
    }
    const { name, args } = spec.templateRef;
    const template = await templates(namespace, name);
    if (!template) {
      return failed(
        `there is no MetricTemplate "${name}" in namespace ${namespace}: create it or correct templateRef.name`,
      );
    }
    const { query, unit } = renderTemplate(template, args, given);
    return { spec, unit, canary: await provider.query(query, signal) };
  } catch (thrown) {
    return failed(toAppError(thrown).message);
  }
}

function explainNoData(measurement: Measurement, side: 'canary' | 'stable', windowMs: number): Measurement {
  if (measurement.kind !== 'no-data') return measurement;
  const seconds = Math.max(1, Math.ceil(windowMs / 1000));
  return { ...measurement, message: `no requests to the ${side} were measured in the last ${seconds}s` };
}
