import type { RevisionRef } from './ports.ts';

/** Where the numbers come from: the callers' proxies (they see connect failures too) or the called pods' own. */
export type Source = 'outbound' | 'inbound';

/** Windows of the built-in queries, in milliseconds. */
export interface Windows {
  /** What a metric is judged over. */
  judged: number;
  /** Age of the step and of the run. */
  step: number;
  run: number;
}

/** Label values go into double quotes; PromQL escapes as Go does. */
export const quote = (value: string): string => JSON.stringify(value);

/** Prometheus wants whole numbers: `90s`, never `1.5m`. At least a second. */
export const promDuration = (milliseconds: number): string =>
  `${Math.max(1, Math.ceil(milliseconds / 1000))}s`;

/**
 * The window of one look: never longer than `over`, never reaching much behind the beginning of the step (what an
 * earlier weight did is not this one's evidence), never shorter than what `increase` needs, which is two scrapes.
 */
export function judgedWindow(overMs: number, stepAgeMs: number, scrapeIntervalMs: number): number {
  return Math.max(Math.min(overMs, stepAgeMs), Math.ceil(2.5 * scrapeIntervalMs));
}

/** Matchers of everything that was sent to the Service, whichever revision answered. */
function serviceMatchers(source: Source, ref: RevisionRef): string[] {
  if (source === 'inbound') {
    return [
      'direction="inbound"',
      `namespace=${quote(ref.namespace)}`,
      `deployment=${quote(ref.deployment)}`,
    ];
  }
  const services = [ref.service, ...(ref.alsoServices ?? [])];
  const service =
    services.length === 1
      ? `dst_service=${quote(ref.service)}`
      : `dst_service=~${quote(services.map((name) => name.replaceAll('.', '\\.')).join('|'))}`;
  return ['direction="outbound"', `dst_namespace=${quote(ref.namespace)}`, service];
}

function selector(
  source: Source,
  ref: RevisionRef,
  revision: string | undefined,
  more: string[] = [],
): string {
  const label = source === 'outbound' ? 'dst_revision' : 'revision';
  const own = revision === undefined ? [] : [`${label}=${quote(revision)}`];
  return `{${[...serviceMatchers(source, ref), ...own, ...more].join(',')}}`;
}

/**
 * Share of requests that succeeded. What the proxy itself had to answer (no endpoint, connect failure, timeout) is in
 * the denominator as a failure. Without a single success there is no success series: that is 0, not "no data".
 */
export function successRateQuery(
  source: Source,
  ref: RevisionRef,
  revision: string,
  windowMs: number,
): string {
  const window = promDuration(windowMs);
  const all = `sum(increase(response_total${selector(source, ref, revision)}[${window}]))`;
  const good = `sum(increase(response_total${selector(source, ref, revision, ['classification="success"'])}[${window}]))`;
  return `(${good} or vector(0)) / ${all}`;
}

/** A quantile of the response latency in seconds; the proxies' histogram counts milliseconds. */
export function latencyQuery(
  source: Source,
  ref: RevisionRef,
  revision: string,
  quantile: number,
  windowMs: number,
): string {
  const buckets = `rate(response_latency_ms_bucket${selector(source, ref, revision)}[${promDuration(windowMs)}])`;
  return `histogram_quantile(${quantile}, sum by (le) (${buckets})) / 1000`;
}

/**
 * By how much counters grew over an age. `increase` alone loses what a series counted before its first scrape, which
 * for a canary that has just begun is most of it; a series that was not there at the beginning counts from zero.
 */
function grown(series: string, ageMs: number): string {
  const age = `${Math.max(1, Math.floor(ageMs / 1000))}s`;
  return `sum((${series} unless (${series} offset ${age})) or increase(${series}[${age}]))`;
}

/** Requests of one revision since the step began. */
export function requestsQuery(source: Source, ref: RevisionRef, revision: string, ageMs: number): string {
  return grown(`response_total${selector(source, ref, revision)}`, ageMs);
}

/** Failed requests of one revision since the run began. */
export function failedRequestsQuery(
  source: Source,
  ref: RevisionRef,
  revision: string,
  ageMs: number,
): string {
  return grown(`response_total${selector(source, ref, revision, ['classification="failure"'])}`, ageMs);
}

/** Requests that meshed callers sent to the Service at all: decides which source is read. */
export function meshedCallersQuery(ref: RevisionRef, windowMs: number): string {
  return `sum(increase(response_total${selector('outbound', ref, undefined)}[${promDuration(windowMs)}]))`;
}
