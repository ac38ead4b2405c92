import type { AnalysisSpec, MetricSpec, MetricStatus } from '../api/rollout.ts';
import { parseDuration } from '../lib/duration.ts';
import type { JudgeMemory, Measurement, Verdict } from './ports.ts';

export type Unit = 'ratio' | 'percent' | 'seconds' | 'milliseconds' | 'count';

/** What was measured for one metric at one look. `stable` only where the metric compares. */
export interface MetricReading {
  spec: MetricSpec;
  unit: Unit;
  canary: Measurement;
  stable?: Measurement;
}

export interface Look {
  spec: AnalysisSpec;
  readings: MetricReading[];
  /** Canary requests since the step began; undefined when nobody knows. */
  requests: number | undefined;
  memory: JudgeMemory;
  /** All requests go to the canary. */
  alone?: boolean;
  /** RFC 3339. */
  at: string;
}

/** A limit in the unit of the value: `99%` is 0.99 of a ratio, `500ms` is 0.5 of seconds, numbers are taken as written. */
export function limitIn(unit: Unit, limit: number | string): number {
  if (typeof limit === 'number') return limit;
  if (limit.endsWith('%')) {
    const percent = Number(limit.slice(0, -1));
    return unit === 'percent' ? percent : percent / 100;
  }
  const milliseconds = parseDuration(limit);
  return unit === 'milliseconds' ? milliseconds : milliseconds / 1000;
}

/** As a person would say it: `98.21%`, `412ms`, `3.2`. */
export function say(unit: Unit, value: number): string {
  switch (unit) {
    case 'ratio':
      return `${round(value * 100)}%`;
    case 'percent':
      return `${round(value)}%`;
    case 'seconds':
      return value < 1 ? `${round(value * 1000)}ms` : `${round(value)}s`;
    case 'milliseconds':
      return `${round(value)}ms`;
    case 'count':
      return String(round(value));
  }
}

const round = (value: number): number => Number(value.toPrecision(4));

/** What the rounding of a division or two may add: who is exactly at a limit keeps it. */
const HAIR = 1e-9;

type Judgement = { ok: boolean; threshold: string; message: string };

function againstThreshold({ spec, unit }: MetricReading, value: number): Judgement | undefined {
  if (!spec.threshold) return undefined;
  const { min, max } = spec.threshold;
  const parts: string[] = [];
  let ok = true;
  if (min !== undefined) {
    parts.push(`>= ${min}`);
    const limit = limitIn(unit, min);
    ok &&= value >= limit - Math.abs(limit) * HAIR;
  }
  if (max !== undefined) {
    parts.push(`<= ${max}`);
    const limit = limitIn(unit, max);
    ok &&= value <= limit + Math.abs(limit) * HAIR;
  }
  const threshold = parts.join(' and ');
  return { ok, threshold, message: `${say(unit, value)}, must be ${threshold}` };
}

/**
 * Plain comparison: the canary may be `ratio` times as bad as stable plus `absolute`. "Bad" is the error rate for a
 * success rate and the time itself for a latency.
 */
function againstStable({ spec, unit }: MetricReading, canary: number, stable: number): Judgement | undefined {
  if (!spec.compare) return undefined;
  const { ratio, absolute } = spec.compare.tolerance;
  const slack = absolute === undefined ? 0 : limitIn(unit, absolute);
  const rate = spec.name === 'success-rate';
  const allowed = (rate ? 1 - stable : stable) * ratio + slack;
  const ok = (rate ? 1 - canary : canary) <= allowed + HAIR;
  const threshold = rate ? `>= ${say(unit, 1 - allowed)}` : `<= ${say(unit, allowed)}`;
  return {
    ok,
    threshold: `${threshold} (stable ${say(unit, stable)})`,
    message: `${say(unit, canary)}, must be ${threshold} because stable has ${say(unit, stable)}`,
  };
}

type Kept = JudgeMemory[string] | undefined;

/** Without requests of its own stable is what it was when it last had some in this run. */
function sideOfStable({ stable }: MetricReading, alone: boolean, kept: Kept): Measurement | undefined {
  const before = kept?.stable;
  if (!alone || !stable || stable.kind === 'error' || typeof before !== 'number') return stable;
  return { kind: 'value', query: stable.query, value: before };
}

function judge(reading: MetricReading, look: Look, kept: Kept): MetricStatus {
  const { spec, unit, canary } = reading;
  const stable = sideOfStable(reading, look.alone === true, kept);
  const failures = kept?.failures ?? 0;
  const base: MetricStatus = {
    name: spec.name,
    verdict: 'hold',
    unit,
    failures,
    query: canary.query,
    at: look.at,
    ...(look.requests === undefined ? {} : { samples: Math.round(look.requests) }),
    ...(canary.kind === 'value' ? { canary: canary.value } : {}),
    ...(stable?.kind === 'value' ? { stable: stable.value } : {}),
    ...(spec.threshold ? { threshold: limits(spec) } : {}),
  };
  const broken = [canary, stable].find((side) => side?.kind === 'error');
  if (broken?.kind === 'error')
    return { ...base, verdict: 'error', query: broken.query, message: broken.message };
  const missing = [canary, stable].find((side) => side?.kind === 'no-data');
  const limited = canary.kind === 'value' ? againstThreshold(reading, canary.value) : undefined;
  // A limit that is not kept needs nothing to compare with.
  if (canary.kind !== 'value' || (missing?.kind === 'no-data' && limited?.ok !== false)) {
    const why = missing?.kind === 'no-data' ? missing.message : 'no data';
    switch (spec.noData ?? look.spec.noData) {
      case 'hold':
        return { ...base, message: why };
      case 'pass':
        return { ...base, verdict: 'pass', message: `${why}; passes because noData is "pass"` };
      case 'fail':
        return {
          ...base,
          verdict: 'fail',
          failures: failures + 1,
          message: `${why}; fails because noData is "fail"`,
        };
    }
  }
  const judgements = [
    limited,
    stable?.kind === 'value' ? againstStable(reading, canary.value, stable.value) : undefined,
  ].filter((judgement) => judgement !== undefined);
  const worst = judgements.find(({ ok }) => !ok) ?? judgements[0];
  const threshold = judgements.map((judgement) => judgement.threshold).join(' and ');
  if (!worst || worst.ok) {
    return { ...base, verdict: 'pass', failures: 0, threshold, message: worst?.message ?? '' };
  }
  // A high quantile of a handful of requests is one request, and the first ones of a fresh process are its slowest.
  // Errors are judged from the first request on.
  if (isLatency(spec) && (look.requests ?? 0) < look.spec.minRequests) {
    const seen = Math.round(look.requests ?? 0);
    return {
      ...base,
      threshold,
      message: `${worst.message}; too early to count, ${seen} of ${look.spec.minRequests} requests so far`,
    };
  }
  return { ...base, verdict: 'fail', failures: failures + 1, threshold, message: worst.message };
}

const isLatency = (spec: MetricSpec): boolean =>
  spec.name === 'latency' && !spec.prometheus && !spec.templateRef;

const limits = ({ threshold }: MetricSpec): string =>
  [
    threshold?.min === undefined ? [] : [`>= ${threshold.min}`],
    threshold?.max === undefined ? [] : [`<= ${threshold.max}`],
  ]
    .flat()
    .join(' and ');

/** How many failed looks in a row roll back; 0 and 1 both mean the first. */
const limitOf = (spec: MetricSpec): number => Math.max(1, spec.failureLimit);

/** Under what each is remembered. Two may have one name: a latency at two quantiles. */
function keysOf(readings: MetricReading[]): { key: string; reading: MetricReading }[] {
  const seen = new Map<string, number>();
  return readings.map((reading) => {
    const { name } = reading.spec;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return { key: count === 1 ? name : `${name}#${count}`, reading };
  });
}

/**
 * The pure judge. Fails when a metric has failed `failureLimit` looks in a row; errors and missing data hold, they
 * are not failures; passes only when every metric passes and the step has its requests.
 */
export function decide(look: Look): Omit<Verdict, 'failedRequests'> {
  const judged = keysOf(look.readings).map(({ key, reading }) => {
    const kept = look.memory[key];
    const status = judge(reading, look, kept);
    const { failures = 0, stable = kept?.stable } = status;
    const limit = limitOf(reading.spec);
    return { key, limit, failures, status, kept: { failures, ...(stable === undefined ? {} : { stable }) } };
  });
  const metrics = judged.map(({ status }) => status);
  const memory: JudgeMemory = Object.fromEntries(judged.map(({ key, kept }) => [key, kept]));
  const answer = (decision: Verdict['decision'], reason: string, message: string) => ({
    decision,
    reason,
    message,
    metrics,
    requests: look.requests,
    memory,
  });

  const failing = judged.filter(({ status }) => status.verdict === 'fail');
  const failed = failing.find(({ failures, limit }) => failures >= limit);
  if (failed) {
    const { failures, status } = failed;
    const times = failures === 1 ? '' : `, ${failures} looks in a row`;
    return answer('fail', 'MetricFailed', `${status.name}: ${status.message}${times}`);
  }
  const [first] = failing;
  if (first) {
    const { failures, limit, status } = first;
    const message = `${status.name}: ${status.message}; failed look ${failures} of ${limit}`;
    return answer('hold', 'MetricFailing', message);
  }
  const broken = metrics.find(({ verdict }) => verdict === 'error');
  if (broken) {
    return answer(
      'hold',
      'MetricError',
      `${broken.name}: ${broken.message}; holding until it can be measured`,
    );
  }
  const { minRequests } = look.spec;
  if (minRequests > 0 && (look.requests ?? 0) < minRequests) {
    const seen = Math.floor(look.requests ?? 0);
    return answer('hold', 'TooFewRequests', `${seen} of ${minRequests} requests to the canary in this step`);
  }
  const waiting = metrics.find(({ verdict }) => verdict === 'hold');
  if (waiting) return answer('hold', 'NoData', `${waiting.name}: ${waiting.message}`);
  return answer(
    'pass',
    'MetricsPassed',
    metrics.map(({ name, message }) => (message ? `${name} ${message}` : name)).join('; '),
  );
}
